"""What a run did: where every frame went, and how long things took."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from perception.types import FrameResult

SAMPLES_KEPT = 20_000


@dataclass(slots=True)
class Ledger:
    """Where every frame of a stream went.

    Attributes:
        claimed: by the container; None when it does not say.
        decoded: handed over by the source.
        corrupt: damaged and skipped by the decoder.
        dropped: by the freshness policy of a live source.
        stale: older than the run's age limit when their turn came, and skipped.
        unprocessed: decoded, but the run was stopped before their turn.
        inferred: went through the pipeline.
        written: results that every sink has taken; equals `inferred` when there is no sink.
    """

    claimed: int | None = None
    decoded: int = 0
    corrupt: int = 0
    dropped: int = 0
    stale: int = 0
    unprocessed: int = 0
    inferred: int = 0
    written: int = 0

    @property
    def adds_up(self) -> bool:
        gone = self.dropped + self.stale + self.unprocessed
        return self.decoded == self.inferred + gone and self.inferred == self.written

    def as_dict(self) -> dict[str, int | bool | None]:
        return asdict(self) | {"adds_up": self.adds_up}


class Samples:
    """The newest `limit` numbers, 8 bytes each: a run of days needs no more memory than one of minutes."""

    def __init__(self, limit: int = SAMPLES_KEPT) -> None:
        self._values = array("d")
        self._limit = limit
        self._next = 0

    def append(self, value: float) -> None:
        if len(self._values) < self._limit:
            self._values.append(value)
        else:
            self._values[self._next] = value
            self._next = (self._next + 1) % self._limit

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[float]:
        """Oldest first."""
        yield from self._values[self._next :]
        yield from self._values[: self._next]


@dataclass(slots=True)
class Report:
    """What a run did: the ledger, and times from the last SAMPLES_KEPT frames (bounded memory).

    `stopped` is True when it was asked to end early; `objects` counts detections by class, `tracks` the
    tracks begun by task.
    """

    source: str = ""
    ledger: Ledger = field(default_factory=Ledger)
    wall_s: float = 0.0
    stopped: bool = False
    first_result_s: float | None = None
    damage: list[str] = field(default_factory=list)
    objects: dict[str, int] = field(default_factory=dict)
    tracks: dict[str, int] = field(default_factory=dict)
    stages: dict[str, Samples] = field(default_factory=dict)
    latency: Samples = field(default_factory=Samples)

    @property
    def fps(self) -> float:
        """Results per second of wall time, from the start of the run to its last output closed."""
        return self.ledger.inferred / self.wall_s if self.wall_s > 0 else 0.0

    def add(self, result: FrameResult) -> None:
        self.latency.append(result.latency)
        for name, seconds in result.timings.items():
            self.stages.setdefault(name, Samples()).append(seconds)
        for found in result.detections.values():
            counts = np.bincount(found.class_id, minlength=len(found.classes))
            for class_id in np.flatnonzero(counts):
                name = found.classes[class_id]
                self.objects[name] = self.objects.get(name, 0) + int(counts[class_id])
        for task, tracks in result.tracks.items():
            # Ids count from 1 and are never used twice, so the highest one seen is their number.
            highest = int(tracks.track_id.max()) if len(tracks) else 0
            self.tracks[task] = max(self.tracks.get(task, 0), highest)

    def as_dict(self) -> dict[str, Any]:
        """As the last line of the record."""
        return {
            "source": self.source,
            "ledger": self.ledger.as_dict(),
            "stopped": self.stopped,
            "fps": round(self.fps, 2),
            "wall_s": round(self.wall_s, 3),
            "first_result_s": _rounded(self.first_result_s),
            "latency_ms": quantiles_ms(self.latency),
            "stages_ms": {name: quantiles_ms(values) for name, values in self.stages.items()},
            "objects": dict(sorted(self.objects.items())),
            "tracks": self.tracks,
            "damage": self.damage,
        }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)


def quantiles_ms(seconds: Sequence[float] | Samples) -> dict[str, float]:
    """p50, p95, p99 and max in milliseconds; empty when there are no samples."""
    if not seconds:
        return {}
    values = np.percentile(np.fromiter(seconds, float), [50, 95, 99, 100]) * 1000
    return dict(zip(("p50", "p95", "p99", "max"), values.round(3).tolist(), strict=True))
