"""The road itself: lane lines and the drivable area, as translucent paint."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from perception.render.canvas import Canvas
from perception.render.palette import DRIVABLE, lane_colour
from perception.render.style import Style
from perception.types import Lanes

F32 = npt.NDArray[np.float32]

_AREA_COVERAGE = 34  # of 255
_LINE_COVERAGE = 200
_BAND = 32  # rows painted at once; even, as chroma has half of them


def smooth(points: F32, rounds: int = 2) -> F32:
    """Cut the corners of a line (Chaikin 1974), keeping its ends.

    Args:
        points: (N, 2).
        rounds: each doubles the number of points.
    """
    for _ in range(rounds if len(points) > 2 else 0):
        a, b = points[:-1], points[1:]
        inner = np.empty((2 * len(a), 2), np.float32)
        inner[0::2], inner[1::2] = 0.75 * a + 0.25 * b, 0.25 * a + 0.75 * b
        points = np.concatenate([points[:1], inner, points[-1:]])
    return np.asarray(points, np.float32)


def ribbon(points: F32, near: float, far: float) -> F32:
    """The outline of a line that narrows from its first to its last point.

    Args:
        points: (N, 2), N >= 2, near to far.
        near, far: widths at the ends, pixels; between them the width follows the height in the picture,
            as the width of paint on a flat road does.

    Returns:
        (2N, 2) float32 outline.
    """
    along = np.gradient(points, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6)
    y = points[:, 1]
    share = (y - y[-1]) / (y[0] - y[-1]) if abs(y[0] - y[-1]) > 1 else np.linspace(1, 0, len(y))
    width = far + (near - far) * np.clip(share, 0, 1)
    side = np.stack([-along[:, 1], along[:, 0]], axis=1) * (width / 2)[:, None]
    return np.concatenate([points + side, (points - side)[::-1]]).astype(np.float32)


def draw_road(canvas: Canvas, lanes: Lanes, style: Style) -> None:
    """Paint the drivable area, then the lane lines over it."""
    for outline in lanes.drivable:
        if len(outline) >= 3 and np.isfinite(outline).all():
            _paint(canvas, [outline], DRIVABLE, _AREA_COVERAGE)
    for lane in lanes.lines:
        points = lane.points[np.isfinite(lane.points).all(axis=1)]
        if len(points) >= 2:
            near = (4.0 if abs(lane.side) == 1 else 3.0) * max(style.unit, 0.35) + 2
            line = ribbon(smooth(points), near, max(1.5, near * 0.3))
            _paint(canvas, [line], lane_colour(lane.side), _LINE_COVERAGE)


def _paint(canvas: Canvas, outlines: list[F32], bgr: tuple[int, int, int], coverage: int) -> None:
    """Fill outlines with a translucent colour."""
    every = np.concatenate(outlines)
    limit = np.array(canvas.size, np.float32)
    low = np.clip(np.floor(every.min(axis=0)) - 1, 0, limit).astype(int) & ~1
    high = np.clip(np.ceil(every.max(axis=0)) + 2, 0, limit).astype(int)
    width, height = (high - low).tolist()
    if width < 2 or height < 2:
        return
    mask = np.zeros((height, width), np.uint8)
    bound = 16384.0  # far outside any picture, and still inside OpenCV's fixed-point range
    corners = [
        np.rint((np.clip(o, -bound, bound) - low - 0.5) * 8).astype(np.int32) for o in outlines
    ]
    cv2.fillPoly(mask, corners, (coverage,), cv2.LINE_AA, 3)
    # Band by band, each as wide as it must be: a line from the bonnet to the horizon fills little of its box.
    for top in range(0, height, _BAND):
        band = mask[top : top + _BAND]
        x, y, wide, high = cv2.boundingRect(band)
        if wide:
            left, start = x & ~1, y & ~1
            part = np.ascontiguousarray(band[start : y + high, left : x + wide])
            canvas.shade(part, int(low[0]) + left, int(low[1]) + top + start, bgr)
