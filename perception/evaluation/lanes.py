"""Lane lines and drivable area against truth, or against another record.

All distances are in pixels of a picture `SCALE` pixels wide, whatever the source's size. Lines are compared
where they are, not by how many points describe them:

- **F1**: points a pixel apart along every line; a point is right when a line of the other side is within
  `TOLERANCE`. Precision asks this of the found points, recall of the true ones.
- **lateral error**: each true line is paired with the nearest found one; the mean distance along rows
  that both cross. A line further than `GATE` from every true one has no pair.
- **sides**: the share of pairs that agree on the side (-1 the first to the left, 1 to the right, 2 ...).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from perception.errors import InputError
from perception.types import Lane, Lanes

Bools = npt.NDArray[np.bool_]
F64 = npt.NDArray[np.float64]

SCALE = 640
TOLERANCE = 8.0
GATE = 24.0
ROWS = 2.0  # pixels between the rows at which two lines are compared


@dataclass(frozen=True, slots=True)
class LaneRecord:
    """Lanes by frame number, and the (width, height) of the picture they are in."""

    size: tuple[int, int]
    frames: dict[int, Lanes]


@dataclass(frozen=True, slots=True)
class LaneFigures:
    """Means over frames, except where a line counts as one.

    Attributes:
        frames: that both records have.
        lines: in the truth.
        precision, recall, f1: of points along lines.
        found: share of true lines that have a pair.
        lateral: mean distance of pairs, pixels of a picture `SCALE` wide; NaN without a pair.
        sides: share of pairs that agree on the side; NaN without a pair.
        drivable_iou: mean over frames that have an area in either record; NaN when one of the records
            has no area at all, as the truth of the sample clips.
    """

    frames: int
    lines: int
    precision: float
    recall: float
    f1: float
    found: float
    lateral: float
    sides: float
    drivable_iou: float


def read_lanes(path: str | Path) -> LaneRecord:
    """Lanes of a record (.jsonl) or of a sample clip's truth (.json).

    Raises:
        InputError: no such file, neither of the two, or a broken line.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    text = path.read_text(encoding="utf-8")
    try:
        if path.suffix == ".json":
            content = json.loads(text)
            entries = content["frames"]
        else:
            lines = [json.loads(line) for line in text.splitlines() if line.strip()]
            content = lines[0]
            entries = [line for line in lines[1:] if "frame" in line]
        size = int(content["width"]), int(content["height"])
        frames = {int(entry["frame"]): _lanes(entry["lanes"]) for entry in entries}
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise InputError(
            f"{path}: must be a record (.jsonl) or a clip's truth (.json) with lanes: {error!r}"
        ) from error
    return LaneRecord(size, frames)


def _lanes(entries: Sequence[Mapping[str, Any]]) -> Lanes:
    lines, areas = [], []
    for entry in entries:
        points = np.array(entry["points"], np.float32).reshape(-1, 2)
        if entry.get("kind") == "drivable":
            areas.append(points)
        else:
            lines.append(Lane(points, int(entry["side"]), float(entry.get("score", 1.0))))
    return Lanes(tuple(lines), tuple(areas))


def evaluate(truth: LaneRecord, found: LaneRecord) -> LaneFigures:
    """Compare the frames that both have.

    Raises:
        InputError: they have no frame in common.
    """
    common = sorted(set(truth.frames) & set(found.frames))
    if not common:
        raise InputError("the two have no frame in common; are they of the same source?")
    right_found = all_found = right_true = all_true = 0
    distances: list[float] = []
    agreeing: list[bool] = []
    lines = 0
    overlaps = []
    with_areas = all(any(r.frames[n].drivable for n in common) for r in (truth, found))
    for number in common:
        wanted = [_Line.of(lane, truth.size) for lane in truth.frames[number].lines]
        have = [_Line.of(lane, found.size) for lane in found.frames[number].lines]
        true_points, found_points = _points(wanted), _points(have)
        right_found += int(_near(found_points, true_points).sum())
        right_true += int(_near(true_points, found_points).sum())
        all_found += len(found_points)
        all_true += len(true_points)
        lines += len(wanted)
        for distance, side, other in _pairs(wanted, have):
            distances.append(distance)
            agreeing.append(side == other)
        areas = truth.frames[number].drivable, found.frames[number].drivable
        if with_areas and (areas[0] or areas[1]):
            first = filled(areas[0], truth.size)
            overlaps.append(mask_iou(first, filled(areas[1], found.size)))
    precision = right_found / all_found if all_found else float(all_true == 0)
    recall = right_true / all_true if all_true else float(all_found == 0)
    return LaneFigures(
        frames=len(common),
        lines=lines,
        precision=precision,
        recall=recall,
        f1=2 * precision * recall / (precision + recall) if precision + recall else 0.0,
        found=len(distances) / lines if lines else float("nan"),
        lateral=float(np.mean(distances)) if distances else float("nan"),
        sides=float(np.mean(agreeing)) if agreeing else float("nan"),
        drivable_iou=float(np.mean(overlaps)) if overlaps else float("nan"),
    )


@dataclass(frozen=True, slots=True)
class _Line:
    """A line in pixels of a picture `SCALE` wide, sorted by row."""

    x: F64
    y: F64
    side: int

    @classmethod
    def of(cls, lane: Lane, size: tuple[int, int]) -> _Line:
        points = np.asarray(lane.points, np.float64) * (SCALE / size[0])
        order = np.argsort(points[:, 1], kind="stable")
        return cls(points[order, 0], points[order, 1], lane.side)


def _points(lines: Sequence[_Line]) -> F64:
    """(N, 2) points about a pixel apart along the lines."""
    parts = [np.zeros((0, 2))]
    for line in lines:
        steps = np.hypot(np.diff(line.x), np.diff(line.y))
        along = np.concatenate([[0.0], np.cumsum(steps)])
        at = np.arange(0, along[-1] + 1e-9, 1.0)
        parts.append(np.stack([np.interp(at, along, line.x), np.interp(at, along, line.y)], axis=1))
    return np.concatenate(parts)


def _near(points: F64, others: F64) -> Bools:
    """(N,) whether a point has one of the others within `TOLERANCE`."""
    if not len(points) or not len(others):
        return np.zeros(len(points), bool)
    squares = ((points[:, None] - others[None]) ** 2).sum(axis=2)
    return np.asarray(squares.min(axis=1) <= TOLERANCE**2)


def _pairs(truth: Sequence[_Line], found: Sequence[_Line]) -> list[tuple[float, int, int]]:
    """(mean distance along rows, true side, found side) of pairs, nearest first, each line once."""
    pairs = []
    for i, a in enumerate(truth):
        for j, b in enumerate(found):
            low, high = max(a.y[0], b.y[0]), min(a.y[-1], b.y[-1])
            if high - low < 2 * ROWS:
                continue
            rows = np.arange(low, high, ROWS)
            gap = float(np.abs(np.interp(rows, a.y, a.x) - np.interp(rows, b.y, b.x)).mean())
            if gap <= GATE:
                pairs.append((gap, i, j))
    chosen = []
    used_true: set[int] = set()
    used_found: set[int] = set()
    for gap, i, j in sorted(pairs):
        if i not in used_true and j not in used_found:
            used_true.add(i)
            used_found.add(j)
            chosen.append((gap, truth[i].side, found[j].side))
    return chosen


def filled(outlines: Sequence[npt.NDArray[np.floating]], size: tuple[int, int]) -> Bools:
    """Outlines in a picture of (width, height) as a mask `SCALE` / 2 pixels wide."""
    scale = SCALE / 2 / size[0]
    height = max(1, round(size[1] * scale))
    mask = np.zeros((height, SCALE // 2), bool)
    rows = np.arange(height) + 0.5
    for outline in outlines:
        points = np.asarray(outline, np.float64) * scale
        x, y = points[:, 0], points[:, 1]
        next_x, next_y = np.roll(x, -1), np.roll(y, -1)
        for number, row in enumerate(rows):
            # Where the row crosses the outline, in pairs from left to right.
            cuts = (y <= row) != (next_y <= row)
            at = x[cuts] + (row - y[cuts]) / (next_y[cuts] - y[cuts]) * (next_x[cuts] - x[cuts])
            at.sort()
            for first, last in zip(at[::2], at[1::2], strict=True):
                left, right = np.ceil(np.clip([first, last], 0, SCALE // 2) - 0.5).astype(int)
                mask[number, left:right] = True
    return mask


def mask_iou(a: Bools, b: Bools) -> float:
    """Intersection over union of two masks; 1 when both are empty."""
    union = int((a | b).sum())
    return float((a & b).sum()) / union if union else 1.0


def mask_f1(found: Bools, truth: Bools, *, tolerance: float) -> float:
    """F1 of pixels: one is right when the other mask has one within `tolerance` pixels; 1 when both are empty."""
    if not found.any() and not truth.any():
        return 1.0
    precision = float(_grown(truth, tolerance)[found].mean()) if found.any() else 0.0
    recall = float(_grown(found, tolerance)[truth].mean()) if truth.any() else 0.0
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _grown(mask: Bools, radius: float) -> Bools:
    """A mask and everything within `radius` pixels of it."""
    reach = int(radius)
    height, width = mask.shape
    grown = np.zeros((height + 2 * reach, width + 2 * reach), bool)
    for dy in range(-reach, reach + 1):
        span = int(np.sqrt(radius**2 - dy**2))
        for dx in range(-span, span + 1):
            grown[reach + dy : reach + dy + height, reach + dx : reach + dx + width] |= mask
    return grown[reach : reach + height, reach : reach + width]


def table(rows: Mapping[str, LaneFigures]) -> str:
    """Markdown, one line per name."""
    lines = [
        f"| | frames | lines | F1 | precision | recall | lines found | lateral, px at {SCALE} wide "
        "| side right | drivable IoU |",
        "|" + " --- |" * 10,
    ]
    for name, f in rows.items():
        lines.append(
            f"| {name} | {f.frames} | {f.lines} | {f.f1:.3f} | {f.precision:.3f} | {f.recall:.3f} "
            f"| {_text(f.found)} | {_text(f.lateral, 2)} | {_text(f.sides)} "
            f"| {_text(f.drivable_iou)} |"
        )
    return "\n".join(lines)


def _text(value: float, places: int = 3) -> str:
    return "-" if np.isnan(value) else f"{value:.{places}f}"
