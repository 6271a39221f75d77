"""A plain line plot on white, for figures in a report: no plotting package needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from perception.errors import InputError
from perception.render.font import text_mask
from perception.render.palette import BGR, INK
from perception.types import U8

F64 = npt.NDArray[np.float64]

SIZE = (960, 600)
LEFT, TOP, BOTTOM = 76, 52, 68  # pixels around the axes
LEGEND = 300  # pixels on the right
CAP = 11  # height of a capital
GRID: BGR = (228, 224, 220)
SOFT: BGR = (120, 112, 104)
SHIFT = 4  # fractional bits of OpenCV's coordinates
DARKER = 0.72  # the palette is made for dark pictures


@dataclass(frozen=True, slots=True)
class Line:
    """One line: `x` and `y` (N,) in 0..1, its name, a note behind it in the legend and its colour."""

    name: str
    x: F64
    y: F64
    colour: BGR
    note: str = ""


def plot(lines: Sequence[Line], *, title: str, x_label: str, y_label: str) -> U8:
    """(H, W, 3) BGR: both axes from 0 to 1 with a grid, a legend on the right."""
    width, height = SIZE
    image = np.full((height, width, 3), 255, np.uint8)
    right, bottom = width - LEGEND, height - BOTTOM
    across, down = right - LEFT, bottom - TOP
    for tick in range(0, 11, 2):
        x, y = LEFT + across * tick // 10, bottom - down * tick // 10
        cv2.line(image, (x, TOP), (x, bottom), GRID, 1)
        cv2.line(image, (LEFT, y), (right, y), GRID, 1)
        _write(image, f"{tick / 10:.1f}", x, bottom + 12, SOFT, align=0.5)
        _write(image, f"{tick / 10:.1f}", LEFT - 10, y - CAP // 2 - 2, SOFT, align=1.0)
    cv2.line(image, (LEFT, bottom), (right, bottom), SOFT, 1)
    cv2.line(image, (LEFT, TOP), (LEFT, bottom), SOFT, 1)
    _write(image, title, LEFT, 18, INK, cap=CAP + 3)
    _write(image, x_label, LEFT + across // 2, height - 28, INK, align=0.5)
    _write(image, y_label, 16, TOP + down // 2, INK, align=0.5, upright=True)
    for number, line in enumerate(lines):
        ink = tuple(round(value * DARKER) for value in line.colour)
        colour: BGR = (ink[0], ink[1], ink[2])
        dashed = number >= 6
        points = np.stack([LEFT + line.x * across, bottom - line.y * down], axis=1)
        whole = np.round(points * 2**SHIFT).astype(np.int32)
        pieces = [whole] if not dashed else _dashes(whole)
        cv2.polylines(image, pieces, False, colour, 2, cv2.LINE_AA, SHIFT)
        y = TOP + 6 + number * 26
        mark = np.array([[right + 24, y + 7], [right + 54, y + 7]], np.int32) * 2**SHIFT
        cv2.polylines(image, [mark], False, colour, 3, cv2.LINE_AA, SHIFT)
        _write(image, line.name, right + 64, y, INK)
        _write(image, line.note, width - 20, y, SOFT, align=1.0)
    return image


def write_png(path: str | Path, image: U8) -> None:
    """Write a BGR picture.

    Raises:
        InputError: the file cannot be written.
    """
    data = cv2.imencode(".png", image)[1].tobytes()
    try:
        Path(path).write_bytes(data)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error


def _dashes(points: npt.NDArray[np.int32], length: int = 8) -> list[npt.NDArray[np.int32]]:
    """A line cut into dashes of `length` pixels with gaps as long."""
    steps = np.hypot(*np.diff(points, axis=0).T) / 2**SHIFT
    along = np.concatenate([[0.0], np.cumsum(steps)])
    starts = np.arange(0, along[-1], 2 * length)
    pieces = []
    for start in starts:
        at = np.linspace(start, min(start + length, along[-1]), 5)
        piece = [np.interp(at, along, points[:, axis]) for axis in (0, 1)]
        pieces.append(np.round(np.stack(piece, axis=1)).astype(np.int32))
    return pieces


def _write(
    image: U8,
    text: str,
    x: int,
    y: int,
    colour: BGR,
    *,
    align: float = 0.0,
    cap: int = CAP,
    upright: bool = False,
) -> None:
    """Text with its top at `y`, at `x` its start (align 0), its middle (0.5) or its end (1)."""
    mask = text_mask(text, cap)[..., None]
    if upright:
        mask = np.rot90(mask)
        y -= round(mask.shape[0] * align)
    else:
        x -= round(mask.shape[1] * align)
    height, width = mask.shape[:2]
    x, y = max(0, min(x, image.shape[1] - width)), max(0, min(y, image.shape[0] - height))
    place = image[y : y + height, x : x + width]
    mask = mask[: place.shape[0], : place.shape[1]]
    place[:] = np.round(place * (1 - mask) + np.array(colour, np.float32) * mask)
