"""The figures of a benchmark as one picture: rates, processor time by part, scaling."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from perception.bench.figures import VIDEO, WHOLE, Benchmark
from perception.bench.scaling import Point
from perception.errors import InputError
from perception.types import U8

WIDTH = 1100
ROW, GAP, MARGIN, LABEL = 30, 46, 24, 190
INK, DIM, PAPER = (40, 36, 32), (130, 126, 120), (255, 255, 255)
# Okabe and Ito's colours, BGR, which colour-blind eyes tell apart.
COLOURS = (
    (178, 114, 0),
    (0, 159, 230),
    (115, 158, 0),
    (167, 121, 204),
    (0, 94, 213),
    (233, 180, 86),
)
FONT = cv2.FONT_HERSHEY_DUPLEX


def plot(bench: Benchmark, path: str | Path) -> None:
    """Write the picture.

    Raises:
        InputError: the file cannot be written, or is no PNG.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise InputError(f"{path}: the plot is a PNG; give it a name that ends in .png")
    done, data = cv2.imencode(".png", draw(bench))
    assert done
    try:
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error


def draw(bench: Benchmark) -> U8:
    """(H, W, 3) uint8 BGR."""
    parts = list(bench.parts.values())
    scaling = bench.scaling.points if bench.scaling is not None else {}
    height = 2 * MARGIN + 46 + ROW * (len(parts) + len(WHOLE) + 1) + 2 * GAP
    height += (260 + GAP) if scaling else 0
    page: U8 = np.full((height, WIDTH, 3), 255, np.uint8)
    wide, high = bench.size
    y = MARGIN + 20
    _text(page, f"{bench.source}  {wide}x{high}", MARGIN, y, 0.7)
    _text(page, f"{bench.machine['cpu']}, {bench.cores} cores", MARGIN, y + 26, 0.5, DIM)
    y = _rates(page, bench, y + 26 + GAP)
    y = _shares(page, bench, y + GAP)
    if scaling:
        _lines(page, scaling, y + GAP)
    return page


def _rates(page: U8, bench: Benchmark, y: int) -> int:
    _text(page, "frames a second (median; the line spans the rounds)", MARGIN, y, 0.55)
    room = WIDTH - LABEL - MARGIN - 120
    # Parts far faster than the rest would leave no room for it: bars end at four times the engine's rate.
    whole = max(bench.parts[name].fps for name in WHOLE)
    most = min(max(part.fps for part in bench.parts.values()), 4 * whole)
    for part in bench.parts.values():
        y += ROW
        colour = COLOURS[0] if part.name in WHOLE else COLOURS[5]
        length = round(min(part.fps / most, 1) * room)
        _text(page, part.name, MARGIN, y, 0.5)
        cv2.rectangle(page, (LABEL, y - 15), (LABEL + length, y + 3), colour, -1)
        ends = [
            min(1000 / time / most, 1) * room for time in (max(part.wall_ms), min(part.wall_ms))
        ]
        cv2.line(page, (LABEL + round(ends[0]), y - 6), (LABEL + round(ends[1]), y - 6), INK, 2)
        beyond = " >" if part.fps > most * 1.001 else ""
        _text(page, f"{part.fps:.1f}{beyond}", LABEL + max(length, round(ends[1])) + 8, y, 0.5)
    return y


def _shares(page: U8, bench: Benchmark, y: int) -> int:
    _text(page, "CPU milliseconds a frame: bare parts, and what a whole run takes", MARGIN, y, 0.55)
    room = WIDTH - LABEL - MARGIN - 90
    bare = bench.bare(VIDEO)
    most = max(sum(part.cpu for part in bare), *(bench.parts[name].cpu for name in WHOLE))
    y += ROW
    _text(page, "bare parts", MARGIN, y, 0.5)
    x = float(LABEL)
    for number, part in enumerate(bare):
        end = x + part.cpu / most * room
        colour = COLOURS[number % len(COLOURS)]
        cv2.rectangle(page, (round(x), y - 15), (round(end), y + 3), colour, -1)
        label = f"{part.name} {part.cpu:.1f}"
        if cv2.getTextSize(label, FONT, 0.42, 1)[0][0] < end - x - 8:
            _text(page, label, round(x) + 5, y - 1, 0.42, PAPER)
        x = end
    _text(page, f"{sum(part.cpu for part in bare):.1f}", round(x) + 8, y, 0.5)
    for name in WHOLE:
        y += ROW
        length = round(bench.parts[name].cpu / most * room)
        _text(page, name, MARGIN, y, 0.5)
        cv2.rectangle(page, (LABEL, y - 15), (LABEL + length, y + 3), DIM, -1)
        _text(page, f"{bench.parts[name].cpu:.1f}", LABEL + length + 8, y, 0.5)
    return y


def _lines(page: U8, scaling: dict[str, tuple[Point, ...]], y: int) -> None:
    """One small chart per thing that was varied, frames a second over its count."""
    _text(page, "frames a second, all together", MARGIN, y, 0.55)
    width = (WIDTH - 2 * MARGIN) // max(1, len(scaling)) - 30
    for number, (name, points) in enumerate(scaling.items()):
        if not points:
            continue
        left, top, bottom = MARGIN + number * (width + 30), y + 34, y + 220
        most = 1.15 * max(point.fps for point in points)
        cv2.line(page, (left, bottom), (left + width, bottom), DIM, 1)
        step = width / max(1, len(points))
        spots = [
            (round(left + (i + 0.5) * step), round(bottom - point.fps / most * (bottom - top)))
            for i, point in enumerate(points)
        ]
        cv2.polylines(page, [np.array(spots, np.int32)], False, COLOURS[0], 2, cv2.LINE_AA)
        for (x, height), point in zip(spots, points, strict=True):
            cv2.circle(page, (x, height), 4, COLOURS[0], -1, cv2.LINE_AA)
            _text(page, f"{point.fps:.0f}", x - 12, height - 10, 0.45)
            _text(page, str(point.count), x - 4, bottom + 18, 0.45, DIM)
        _text(page, name, left, bottom + 38, 0.5)


def _text(
    page: U8,
    words: str,
    x: int,
    y: int,
    size: float,
    colour: tuple[int, int, int] = INK,
) -> None:
    cv2.putText(page, words, (x, y), FONT, size, colour, 1, cv2.LINE_AA)
