"""Lane lines and drivable area over time: steady where the road is, quick where the car moves.

A line keeps one column per row. What is seen pulls it there: common motion (the car moves, the camera
nods) at once, the rest, which is noise, slowly. Lines fade in and out by seconds, not by frames.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perception.models.lane_lines import Stroke
from perception.types import F32

SETTLE_S = 0.2  # time constant of a line's shape
AREA_S = 0.15  # of the drivable area
FADE_S = 0.25  # of a line's score
HOLD_S = 0.4  # a row that was not seen again is kept so long
SHOW, HIDE = 0.45, 0.3  # scores at which a line appears and goes
GATE = 0.035  # of the width: lines further apart are different ones


@dataclass(slots=True)
class _Line:
    x: npt.NDArray[np.float64]  # (H,), NaN where there is no line
    seen: npt.NDArray[np.float64]  # (H,) time at which the row was seen
    score: float
    shown: bool


class LaneSmoother:
    """State of one stream.

    Args:
        settle_s: seconds in which a line takes up a new shape.
        max_gap_s: after a pause this long, everything starts afresh.
    """

    def __init__(self, *, settle_s: float = SETTLE_S, max_gap_s: float = 1.0) -> None:
        if settle_s < 0 or max_gap_s <= 0:
            raise ValueError(
                f"settle_s must be at least 0 and max_gap_s over 0, but are {settle_s}, {max_gap_s}"
            )
        self.settle_s, self.max_gap_s = settle_s, max_gap_s
        self._lines: list[_Line] = []
        self._area: F32 | None = None
        self._time: float | None = None

    def restart(self) -> None:
        """Forget everything."""
        self._lines, self._area, self._time = [], None, None

    def __call__(
        self, time: float, strokes: Sequence[Stroke], drivable: F32
    ) -> tuple[list[Stroke], F32]:
        """What to show at `time` seconds, given what was seen.

        Time that goes back, a long pause or masks of another size start afresh.
        """
        gap = 0.0 if self._time is None else time - self._time
        other = self._area is not None and self._area.shape != drivable.shape
        if gap < 0 or gap > self.max_gap_s or other:
            self.restart()
        fresh = self._time is None
        self._time = time
        self._follow(time, gap, strokes, drivable.shape, fresh)
        if self._area is None or fresh:
            self._area = drivable.copy()
        else:
            self._area += (drivable - self._area) * _share(gap, AREA_S)
        return [_stroke(line) for line in self._lines if line.shown], self._area

    def _follow(
        self,
        time: float,
        gap: float,
        strokes: Sequence[Stroke],
        shape: tuple[int, ...],
        fresh: bool,
    ) -> None:
        height, width = shape
        seen = np.full((len(strokes), height), np.nan)
        for row, stroke in zip(seen, strokes, strict=True):
            row[stroke.top : stroke.top + len(stroke.x)] = stroke.x
        fade = _share(gap, FADE_S)
        matched = _match(self._lines, seen, GATE * width)
        for i, line in enumerate(self._lines):
            if i in matched:
                self._pull(line, seen[matched[i]], time, gap)
                line.score += (strokes[matched[i]].score - line.score) * fade
            else:
                line.score -= line.score * fade
            line.x[time - line.seen > HOLD_S] = np.nan
            line.shown = line.score >= (HIDE if line.shown else SHOW)
        used = set(matched.values())
        for j, stroke in enumerate(strokes):
            if j in used:
                continue
            # On the first picture there is nothing to wait for.
            score = stroke.score if fresh else 0.5 * stroke.score
            stamp = np.where(np.isfinite(seen[j]), time, -np.inf)
            self._lines.append(_Line(seen[j], stamp, score, score >= SHOW))
        self._lines = [
            line
            for line in self._lines
            if line.score > 0.1 and np.count_nonzero(np.isfinite(line.x)) >= 3
        ]

    def _pull(self, line: _Line, seen: npt.NDArray[np.float64], time: float, gap: float) -> None:
        here = np.isfinite(seen)
        both = here & np.isfinite(line.x)
        rows = both.nonzero()[0]
        if len(rows) >= 3:
            off = seen[rows] - line.x[rows]
            # A straight-line fit of the difference is how the whole line moved.
            middle, shift = float(rows.sum()) / len(rows), float(off.sum()) / len(rows)
            spread = rows - middle
            turn = float(spread @ off) / float(spread @ spread)
            common = shift + turn * spread
            trust = min(max(float(np.abs(common).max()) / 2.0, 0.35), 1.0)
            moved = trust * common
            line.x += trust * (shift + turn * (np.arange(len(line.x)) - middle))
            line.x[rows] += (off - moved) * _share(gap, self.settle_s)
        new = here & ~both
        line.x[new] = seen[new]
        line.seen[here] = time


def _share(gap: float, constant: float) -> float:
    """How far a mean with this time constant goes in `gap` seconds."""
    return 1.0 if constant <= 0 else 1 - math.exp(-gap / constant)


def _match(lines: Sequence[_Line], seen: npt.NDArray[np.float64], gate: float) -> dict[int, int]:
    """Row of `seen` by line number, nearest first."""
    if not lines or not len(seen):
        return {}
    off = np.abs(np.stack([line.x for line in lines])[:, None] - seen[None])
    both = np.isfinite(off)
    count = both.sum(axis=2)
    distance = np.where(both, off, 0).sum(axis=2) / np.maximum(count, 1)
    pairs = [
        (distance[i, j], i, j) for i, j in np.argwhere((count >= 3) & (distance <= gate)).tolist()
    ]
    matched: dict[int, int] = {}
    for _, i, j in sorted(pairs):
        if i not in matched and j not in matched.values():
            matched[i] = j
    return matched


def _stroke(line: _Line) -> Stroke:
    rows = np.isfinite(line.x).nonzero()[0]
    first, end = int(rows[0]), int(rows[-1]) + 1
    x = line.x[first:end]
    if len(rows) < len(x):
        x = np.interp(np.arange(first, end), rows, line.x[rows])
    return Stroke(first, x.astype(np.float32), line.score)
