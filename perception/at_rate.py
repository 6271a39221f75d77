"""How a pipeline does on a recording that comes at its own rate, as from a camera, whether anybody keeps up or not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perception.assemble import open_run
from perception.config import Config
from perception.runner import quantiles_ms
from perception.sources import LiveOptions, open_source


@dataclass(frozen=True, slots=True)
class AtRate:
    """What became of the frames.

    Attributes:
        rate: frames per second of the recording; None when it does not say.
        frames, inferred, dropped: counts; dropped are those that were too old when the pipeline was free.
        age_ms: of results, from the moment a camera would have given the frame: p50, p95, p99, max.
    """

    source: str
    rate: float | None
    frames: int
    inferred: int
    dropped: int
    age_ms: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    def __str__(self) -> str:
        share = 100 * self.dropped / max(1, self.frames)
        rate = f" of {self.rate:.2f} frames/s" if self.rate else ""
        ages = ", ".join(f"{name} {value:.1f}" for name, value in self.age_ms.items())
        return (
            f"{self.source} at its own rate{rate}\n"
            f"  {self.frames} frames, {self.inferred} inferred, {self.dropped} dropped ({share:.1f} %)\n"
            f"  ms from a frame's arrival to its result: {ages or 'none'}"
        )


def measure_at_rate(source: str | Path, config: Config) -> AtRate:
    """Play a recording once at its own rate through a pipeline without outputs.

    Raises:
        InputError: it cannot be read.
        RequestError: it has no times: pictures.
    """
    opened = open_source(source, options=LiveOptions(live=True))
    try:
        run = open_run(opened, config)
    except BaseException:
        opened.close()
        raise
    with run:
        report = run.drain()
    ledger = report.ledger
    rate = opened.info.rate
    return AtRate(
        source=opened.info.name,
        rate=None if rate is None else float(rate),
        frames=ledger.decoded,
        inferred=ledger.inferred,
        dropped=ledger.dropped,
        age_ms=quantiles_ms(report.latency),
    )
