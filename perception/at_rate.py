"""How a pipeline does on a recording that comes at its own rate, as from a camera, whether anybody keeps up or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from perception.assemble import open_run
from perception.config import Config
from perception.errors import InputError
from perception.evaluation.video import Answer, GroupScores, in_time, score_video
from perception.evaluation.video_truth import GroupTruth, read_video_truth
from perception.report import Report, quantiles_ms
from perception.sources import LiveOptions, SourceInfo, open_source

COLUMNS = ("ap50", "precision", "recall", "hota", "mota", "idf1", "switches")


@dataclass(frozen=True, slots=True)
class AtRate:
    """What became of the frames.

    Attributes:
        rate: frames per second of the recording; None when it does not say.
        frames, inferred, dropped: counts; dropped are those that were too old when the pipeline was free.
        age_ms: of results, from the moment a camera would have given the frame: p50, p95, p99, max.
        unhurried, under_load: scores by group of classes, of a run with all the time it wants and of the one
            at the recording's rate; empty without truth.
    """

    source: str
    rate: float | None
    frames: int
    inferred: int
    dropped: int
    age_ms: dict[str, float]
    unhurried: dict[str, GroupScores] = field(default_factory=dict)
    under_load: dict[str, GroupScores] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        figures = {name: getattr(self, name) for name in self.__slots__}
        for run in ("unhurried", "under_load"):
            figures[run] = {name: scores.as_dict() for name, scores in figures[run].items()}
        return figures

    def __str__(self) -> str:
        share = 100 * self.dropped / max(1, self.frames)
        rate = f" of {self.rate:.2f} frames/s" if self.rate else ""
        ages = ", ".join(f"{name} {value:.1f}" for name, value in self.age_ms.items())
        lines = [
            f"{self.source} at its own rate{rate}",
            f"  {self.frames} frames, {self.inferred} inferred, {self.dropped} dropped ({share:.1f} %)",
            f"  ms from a frame's arrival to its result: {ages or 'none'}",
        ]
        return "\n".join([*lines, *self._table()])

    def _table(self) -> list[str]:
        if not self.unhurried:
            return []
        lines = ["", f"{'':28}" + "".join(f"{name:>11}" for name in COLUMNS)]
        for name, unhurried in self.unhurried.items():
            for label, scores in (("unhurried", unhurried), ("at rate", self.under_load[name])):
                values = (getattr(scores, column) for column in COLUMNS)
                lines.append(f"{name:<16}{label:<12}" + "".join(f"{_cell(v):>11}" for v in values))
        return lines


def _cell(value: float | int | None) -> str:
    return "-" if value is None else f"{value:.1f}" if isinstance(value, float) else str(value)


def measure_at_rate(
    source: str | Path, config: Config, *, truth: str | Path | None = None
) -> AtRate:
    """Play a recording once at its own rate through a pipeline without outputs.

    Args:
        truth: what is on every frame; the recording is then also run with all the time it wants, and both runs are
            scored: each frame by the newest result there was when the next frame came.

    Raises:
        InputError: the recording or the truth cannot be read.
        RequestError: the source has no times: pictures.
    """
    groups = [] if truth is None else read_video_truth(truth)
    unhurried: dict[str, GroupScores] = {}
    under_load: dict[str, GroupScores] = {}
    info, report, late = _run(source, config, live=True, keep=bool(groups))
    if groups:
        _, _, answers = _run(source, config, live=False, keep=True)
        times = [answer.time for answer in answers]
        groups = _asked_for(groups, len(times))
        if not groups:
            raise InputError(f"{truth}: has no box on the {len(times)} frames of {info.name}")
        unhurried = score_video(groups, {answer.index: answer for answer in answers}, len(times))
        under_load = score_video(groups, in_time(late, times), len(times))
    ledger = report.ledger
    return AtRate(
        source=info.name,
        rate=None if info.rate is None else float(info.rate),
        frames=ledger.decoded,
        inferred=ledger.inferred,
        dropped=ledger.dropped,
        age_ms=quantiles_ms(report.latency),
        unhurried=unhurried,
        under_load=under_load,
    )


def _asked_for(groups: Sequence[GroupTruth], frames: int) -> list[GroupTruth]:
    """Groups that are asked for on some frame of the clip."""
    return [
        group for group in groups if ((group.boxes.frame < frames) & (group.boxes.score != 0)).any()
    ]


def _run(
    source: str | Path, config: Config, *, live: bool, keep: bool
) -> tuple[SourceInfo, Report, list[Answer]]:
    opened = open_source(source, options=LiveOptions(live=live))
    try:
        run = open_run(opened, config)
    except BaseException:
        opened.close()
        raise
    answers: list[Answer] = []
    with run:
        for result in run:
            if keep:
                answers.append(Answer.of(result, answers[-1] if answers else None))
    return opened.info, run.report, answers
