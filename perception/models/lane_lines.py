"""From lane-paint probabilities to strokes: one line each, a column for every row it crosses.

Lines are found as drivers see them, from near to far: each row's runs of paint continue the strokes below
them. Everything is in pixels of the mask; a row or column number is the middle of its pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perception.types import F32

F64 = npt.NDArray[np.float64]
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


@dataclass(frozen=True, slots=True)
class _Runs:
    """Runs of paint in rows, the nearest row first.

    Attributes:
        row: (N,) row numbers.
        x: (N,) centres of gravity.
        width: (N,) pixels.
        score: (N,) mean probabilities.
    """

    row: npt.NDArray[np.int64]
    x: F64
    width: npt.NDArray[np.int64]
    score: F64


class _Chain:
    """Runs linked from near to far, by their numbers, and where the last of them is."""

    __slots__ = ("last_row", "last_width", "last_x", "runs", "slope")

    def __init__(self, run: int, row: int, x: float, width: int) -> None:
        self.runs = [run]
        self.last_row, self.last_x, self.last_width = row, x, width
        self.slope = 0.0  # columns per row upwards


def find_strokes(probability: F32, *, min_score: float = 0.5) -> list[Stroke]:
    """The lines in a mask.

    Args:
        probability: (H, W) of lane paint, 0..1.
        min_score: pixels below are no paint.

    Returns:
        Strokes, the longest first.
    """
    height, width = probability.shape
    runs = _runs(probability, min_score)
    chains = _join(_link(runs, height=height, width=width), runs, height=height)
    lines = [chain for chain in chains if _is_line(chain, runs, height=height, width=width)]
    strokes = [stroke for stroke in _strokes(lines, runs) if stroke.score >= SURE]
    return sorted(strokes, key=lambda stroke: -len(stroke.x))


def _is_line(chain: list[int], runs: _Runs, *, height: int, width: int) -> bool:
    """Whether a chain is long and steep enough."""
    near, far = chain[0], chain[-1]
    reach = abs(float(runs.x[near] - runs.x[far]))
    tall = int(runs.row[near] - runs.row[far]) + 1
    long_enough = math.hypot(reach, tall) >= MIN_LENGTH * width
    return tall >= max(4, MIN_ROWS * height) and reach <= FLAT * tall and long_enough


def _runs(probability: F32, limit: float) -> _Runs:
    """The runs of paint of at least this probability that are not too wide for a line."""
    width = probability.shape[1]
    flat = np.flatnonzero(probability >= limit)
    row, column = np.divmod(flat, width)
    value = probability.ravel()[flat]
    # A run starts where the pixel before is not its neighbour, or is in another row.
    starts = column == 0
    starts[:1] = True
    starts[1:] |= flat[1:] - flat[:-1] > 1
    first = starts.nonzero()[0]
    if not len(first):
        none = np.zeros(0)
        return _Runs(none.astype(np.int64), none, none.astype(np.int64), none)
    weight = np.add.reduceat(value, first)
    x = np.add.reduceat(value * column, first) / weight
    wide = np.diff(first, append=len(flat))
    keep = np.flatnonzero(wide <= WIDE * width)[::-1]
    score = weight / wide
    return _Runs(row[first[keep]], x[keep], wide[keep], score[keep])


def _link(runs: _Runs, *, height: int, width: int) -> list[list[int]]:
    """Continue chains from row to row: the numbers of each chain's runs."""
    rows, xs, widths = runs.row.tolist(), runs.x.tolist(), runs.width.tolist()
    gap = max(2, round(GAP * height))
    open_chains: list[_Chain] = []
    done: list[_Chain] = []
    start, count = 0, len(rows)
    while start < count:
        row = rows[start]
        end = start + 1
        while end < count and rows[end] == row:
            end += 1
        pairs: list[tuple[float, int, int, int]] = []
        still = []
        for chain in open_chains:
            missed = chain.last_row - row
            if missed > gap:
                done.append(chain)
                continue
            still.append(chain)
            slope, length = chain.slope, len(chain.runs)
            ahead = chain.last_x + slope * missed
            lean = 0.3 * abs(slope) * missed
            for i in range(start, end):
                # A run's middle is the surer the narrower it is; a young chain knows no direction yet.
                gate = 1.5 + 0.5 * widths[i] + lean
                if length < 4:
                    gate += 0.5 * chain.last_width
                distance = abs(xs[i] - ahead)
                if distance <= gate:
                    pairs.append((distance - 0.02 * length, len(pairs), len(still) - 1, i))
        open_chains = still
        pairs.sort()
        taken: set[int] = set()
        grown: set[int] = set()
        for _, _, number, i in pairs:
            if i in taken or number in grown:
                continue
            taken.add(i)
            grown.add(number)
            chain, x = still[number], xs[i]
            chain.runs.append(i)
            chain.last_row, chain.last_x, chain.last_width = row, x, widths[i]
            if len(chain.runs) > 2:
                back = chain.runs[max(0, len(chain.runs) - 1 - TAIL)]
                chain.slope = (x - xs[back]) / (rows[back] - row)
        if len(taken) < end - start:
            for i in range(start, end):
                if i not in taken:
                    open_chains.append(_Chain(i, row, xs[i], widths[i]))
        start = end
    return [chain.runs for chain in done + open_chains if len(chain.runs) >= FEWEST]


def _join(chains: list[list[int]], runs: _Runs, *, height: int) -> list[list[int]]:
    """Chains that continue each other across a gap (a dash, a car) become one, from near to far."""
    waiting = sorted(chains, key=lambda chain: -runs.row[chain[0]])
    near_end = {id(chain): _end(chain, runs, far=False) for chain in waiting}
    joined = []
    while waiting:
        near = waiting.pop(0)
        while waiting:
            last, x, slope = _end(near, runs, far=True)
            best, best_off = None, np.inf
            for chain in waiting:
                first, other_x, other_slope = near_end[id(chain)]
                missed = last - first
                if not 0 < missed <= JOIN * height:
                    continue
                if abs(slope - other_slope) > 0.35 + 0.25 * abs(slope):
                    continue
                off = abs(x + (slope + other_slope) / 2 * missed - other_x)
                if off <= 1.5 + 0.15 * missed * (1 + abs(slope)) and off < best_off:
                    best, best_off = chain, off
            if best is None:
                break
            waiting.remove(best)
            near = near + best
        joined.append(near)
    return joined


def _end(chain: list[int], runs: _Runs, *, far: bool) -> tuple[int, float, float]:
    """Row and column at an end of a chain, and columns per row upwards there.

    The outermost rows cut the paint askew, so they are not asked.
    """
    cut = 2 if len(chain) > 8 else 1 if len(chain) > 5 else 0
    inner = chain[cut : len(chain) - cut]
    part = inner[-REACH:] if far else inner[:REACH]
    row, x = runs.row[part], runs.x[part]
    end = int(runs.row[chain[-1 if far else 0]])
    middle, mean = float(row.sum()) / len(row), float(x.sum()) / len(x)
    spread = row - middle
    slope = -float(spread @ (x - mean)) / max(1e-6, float(spread @ spread))
    return end, mean + slope * (middle - end), slope


def _strokes(chains: list[list[int]], runs: _Runs) -> list[Stroke]:
    """A smooth line through each chain, from far to near: a cubic where one fits, the running mean where none does.

    All at once, in arrays (chains, runs of the longest): shorter chains are filled up with runs of no weight.
    """
    if not chains:
        return []
    count = np.array([len(chain) for chain in chains])
    number = np.zeros((len(chains), count.max()), np.intp)
    for mine, chain in zip(number, chains, strict=True):
        mine[: len(chain)] = chain[::-1]
    there = np.arange(number.shape[1]) < count[:, None]
    row, x = runs.row[number], runs.x[number]
    trust = runs.score[number] * there
    first = row[:, 0]
    tall = row[np.arange(len(chains)), count - 1] + 1 - first
    middle = first + (tall - 1) / 2
    half = np.maximum(1.0, (tall - 1) / 2)
    degree = 1 + (count >= 8) + (count >= 24)
    basis = np.empty((len(chains), 4, number.shape[1]))
    basis[:, 0] = 1
    basis[:, 1] = (row - middle[:, None]) / half[:, None] * there
    for power in (2, 3):
        np.multiply(basis[:, power - 1], basis[:, 1], out=basis[:, power])
    basis *= (np.arange(4) <= degree[:, None])[..., None]
    weight = trust
    for _ in range(2):
        weighted = basis * (weight * weight)[:, None]
        normal = weighted @ basis.transpose(0, 2, 1)
        normal[:, range(4), range(4)] += 1e-9
        factor = np.linalg.solve(normal, weighted @ x[..., None])
        off = (basis * factor).sum(axis=1) - x
        weight = trust / (1 + (off / 1.5) ** 2)
    fits = (weight * off * off).sum(axis=1) < 0.8**2 * weight.sum(axis=1)
    t = (np.arange(tall.max()) + (first - middle)[:, None]) / half[:, None]
    cubic = ((factor[:, 3] * t + factor[:, 2]) * t + factor[:, 1]) * t + factor[:, 0]
    sureness = trust.sum(axis=1) / count * (0.5 + 0.5 * (count / tall))
    strokes = []
    for i, (n, rows, start) in enumerate(
        zip(count.tolist(), tall.tolist(), first.tolist(), strict=True)
    ):
        line = cubic[i, :rows] if fits[i] else _running_mean(row[i, :n], x[i, :n])
        strokes.append(Stroke(start, line.astype(np.float32), min(1.0, float(sureness[i]))))
    return strokes


def _running_mean(row: npt.NDArray[np.int64], x: F64) -> F64:
    """A column for every row from the first to the last: the mean over seven."""
    filled = np.interp(np.arange(row[0], row[-1] + 1), row, x)
    padded = np.pad(filled, 3, mode="reflect", reflect_type="odd")
    return np.convolve(padded, np.full(7, 1 / 7), mode="valid")
