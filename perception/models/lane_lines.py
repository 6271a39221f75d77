"""From lane-paint probabilities to strokes: one line each, a column for every row it crosses.

Lines are found as drivers see them, from near to far: each row's runs of paint continue the strokes below
them. Everything is in pixels of the mask; a row or column number is the middle of its pixel.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from perception.types import F32

GAP = 0.06  # rows that a stroke may miss, of the mask's height
JOIN = 0.22  # rows between two strokes that may be one line, of the height
MIN_ROWS = 0.035  # of the height, at least 4
MIN_LENGTH = 0.07  # of the mask's width
FLAT = 9.0  # columns per row: flatter is a stop line or the edge of a shadow
WIDE = 0.3  # of the width: a wider run is no line seen from behind it
SURE = 0.45  # least score of a stroke: reflections and specks in a row have less
TAIL = 6  # rows that say where the next row's run is
FEWEST = 4  # rows of paint that may be part of a line
REACH = 16  # rows that say where a stroke is going beyond its end


@dataclass(frozen=True, slots=True)
class Stroke:
    """One line: `x` (N,) float32 is its column in rows top, top + 1, ... (far to near); score in 0..1."""

    top: int
    x: F32
    score: float

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        return np.arange(self.top, self.top + len(self.x))


@dataclass(slots=True)
class _Chain:
    """Runs linked from near to far."""

    row: list[int] = field(default_factory=list)
    x: list[float] = field(default_factory=list)
    width: list[float] = field(default_factory=list)
    score: list[float] = field(default_factory=list)
    slope: float = 0.0  # columns per row upwards

    def add(self, row: int, x: float, width: float, score: float) -> None:
        self.row.append(row)
        self.x.append(x)
        self.width.append(width)
        self.score.append(score)
        if len(self.row) > 2:
            back = max(0, len(self.row) - 1 - TAIL)
            self.slope = (x - self.x[back]) / (self.row[back] - row)


def find_strokes(probability: F32, *, min_score: float = 0.5) -> list[Stroke]:
    """The lines in a mask.

    Args:
        probability: (H, W) of lane paint, 0..1.
        min_score: pixels below are no paint.

    Returns:
        Strokes, the longest first.
    """
    height, width = probability.shape
    rows, xs, widths, scores = _runs(probability, min_score)
    chains = _link(rows, xs, widths, scores, height=height, width=width)
    chains = _join(chains, height=height)
    strokes = []
    for chain in chains:
        reach = abs(chain.x[0] - chain.x[-1])
        tall = chain.row[0] - chain.row[-1] + 1
        long_enough = np.hypot(reach, tall) >= MIN_LENGTH * width
        if tall < max(4, MIN_ROWS * height) or reach > FLAT * tall or not long_enough:
            continue
        stroke = _stroke(chain)
        if stroke.score >= SURE:
            strokes.append(stroke)
    return sorted(strokes, key=lambda stroke: -len(stroke.x))


def _runs(
    probability: F32, limit: float
) -> tuple[list[int], list[float], list[float], list[float]]:
    """Runs of paint in rows, the nearest row first: row, centre of gravity, width, mean probability."""
    width = probability.shape[1]
    flat = np.flatnonzero(probability >= limit)
    if not len(flat):
        return [], [], [], []
    row, column = np.divmod(flat, width)
    value = probability.ravel()[flat]
    # A run starts where the pixel before is not its neighbour, or is in another row.
    first = np.flatnonzero((np.diff(flat, prepend=-2) > 1) | (column == 0))
    weight = np.add.reduceat(value, first)
    x = np.add.reduceat(value * column, first) / weight
    wide = np.diff(first, append=len(flat))
    keep = np.flatnonzero(wide <= WIDE * width)[::-1]
    score = weight / wide
    return row[first][keep].tolist(), x[keep].tolist(), wide[keep].tolist(), score[keep].tolist()


def _link(
    rows: list[int],
    xs: list[float],
    widths: list[float],
    scores: list[float],
    *,
    height: int,
    width: int,
) -> list[_Chain]:
    """Continue chains from row to row."""
    gap = max(2, round(GAP * height))
    open_chains: list[_Chain] = []
    done: list[_Chain] = []
    start, count = 0, len(rows)
    while start < count:
        row = rows[start]
        end = start
        while end < count and rows[end] == row:
            end += 1
        pairs: list[tuple[float, int, _Chain, int]] = []
        still = []
        for chain in open_chains:
            missed = chain.row[-1] - row
            if missed > gap:
                done.append(chain)
                continue
            still.append(chain)
            ahead = chain.x[-1] + chain.slope * missed
            for i in range(start, end):
                # A run's middle is the surer the narrower it is; a young chain knows no direction yet.
                gate = 1.5 + 0.5 * widths[i] + 0.3 * abs(chain.slope) * missed
                if len(chain.row) < 4:
                    gate += 0.5 * chain.width[-1]
                distance = abs(xs[i] - ahead)
                if distance <= gate:
                    pairs.append((distance - 0.02 * len(chain.row), len(pairs), chain, i))
        open_chains = still
        taken: set[int] = set()
        grown: set[int] = set()
        for _, _, chain, i in sorted(pairs, key=lambda pair: pair[:2]):
            if i in taken or id(chain) in grown:
                continue
            taken.add(i)
            grown.add(id(chain))
            chain.add(row, xs[i], widths[i], scores[i])
        for i in range(start, end):
            if i not in taken:
                chain = _Chain()
                chain.add(row, xs[i], widths[i], scores[i])
                open_chains.append(chain)
        start = end
    return [chain for chain in done + open_chains if len(chain.row) >= FEWEST]


def _join(chains: list[_Chain], *, height: int) -> list[_Chain]:
    """Chains that continue each other across a gap (a dash, a car) become one, from near to far."""
    waiting = sorted(chains, key=lambda chain: -chain.row[0])
    joined = []
    while waiting:
        near = waiting.pop(0)
        while True:
            x, slope = _end(near, far=True)
            best, best_off = None, np.inf
            for chain in waiting:
                missed = near.row[-1] - chain.row[0]
                if not 0 < missed <= JOIN * height:
                    continue
                other_x, other_slope = _end(chain, far=False)
                if abs(slope - other_slope) > 0.35 + 0.25 * abs(slope):
                    continue
                off = abs(x + (slope + other_slope) / 2 * missed - other_x)
                if off <= 1.5 + 0.15 * missed * (1 + abs(slope)) and off < best_off:
                    best, best_off = chain, off
            if best is None:
                break
            waiting.remove(best)
            near.row += best.row
            near.x += best.x
            near.width += best.width
            near.score += best.score
        joined.append(near)
    return joined


def _end(chain: _Chain, *, far: bool) -> tuple[float, float]:
    """Column at an end of a chain, and columns per row upwards there.

    The outermost rows cut the paint askew, so they are not asked.
    """
    cut = 2 if len(chain.row) > 8 else 1 if len(chain.row) > 5 else 0
    inner = slice(cut, len(chain.row) - cut)
    part = slice(-REACH, None) if far else slice(None, REACH)
    row, x = np.array(chain.row[inner][part], np.float64), np.array(chain.x[inner][part])
    middle = row.mean()
    spread = row - middle
    slope = -float(spread @ (x - x.mean()) / max(1e-6, spread @ spread))
    return float(x.mean()) + slope * (middle - chain.row[-1 if far else 0]), slope


def _stroke(chain: _Chain) -> Stroke:
    """A smooth line through a chain: a cubic where one fits, the running mean where none does."""
    row = np.array(chain.row[::-1], np.float64)
    x = np.array(chain.x[::-1])
    score = np.array(chain.score[::-1])
    every = np.arange(row[0], row[-1] + 1)
    degree = 1 if len(row) < 8 else 2 if len(row) < 24 else 3
    middle, half = (row[0] + row[-1]) / 2, max(1.0, (row[-1] - row[0]) / 2)
    basis = _powers((row - middle) / half, degree)
    weight = score
    for _ in range(2):
        weighted = basis * weight**2
        factor = np.linalg.solve(weighted @ basis.T + 1e-9 * np.eye(degree + 1), weighted @ x)
        off = np.abs(factor @ basis - x)
        weight = score / (1 + (off / 1.5) ** 2)
    if weight @ off**2 < 0.8**2 * weight.sum():
        smooth = factor @ _powers((every - middle) / half, degree)
    else:
        filled = np.interp(every, row, x)
        padded = np.pad(filled, 3, mode="reflect", reflect_type="odd")
        smooth = np.convolve(padded, np.full(7, 1 / 7), mode="valid")
    covered = len(row) / len(every)
    sureness = float(score.mean()) * (0.5 + 0.5 * covered)
    return Stroke(int(row[0]), smooth.astype(np.float32), min(1.0, sureness))


def _powers(t: npt.NDArray[np.float64], degree: int) -> npt.NDArray[np.float64]:
    """(degree + 1, N): 1, t, t^2, ..."""
    rows = [np.ones_like(t), t]
    for _ in range(degree - 1):
        rows.append(rows[-1] * t)
    return np.stack(rows)
