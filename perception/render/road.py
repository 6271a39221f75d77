"""The road itself: lane lines and the drivable area, as translucent paint."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from perception.render.canvas import Canvas
from perception.render.paint import Paint
from perception.render.palette import BGR, DRIVABLE, lane_colour
from perception.render.style import Style
from perception.types import Lanes

F32 = npt.NDArray[np.float32]

_AREA_COVERAGE = 34  # of 255
_LINE_COVERAGE = 200
_SMOOTH = 24  # points of a line whose corners are too flat to be seen; each round doubles them


def smooth(points: F32) -> F32:
    """Cut the corners of a line (Chaikin 1974) until none can be seen, keeping its ends.

    Args:
        points: (N, 2).
    """
    while 2 < len(points) < _SMOOTH:
        a, b = points[:-1], points[1:]
        inner = np.empty((2 * len(a), 2), np.float32)
        inner[0::2], inner[1::2] = 0.75 * a + 0.25 * b, 0.25 * a + 0.75 * b
        points = np.concatenate([points[:1], inner, points[-1:]])
    return np.asarray(points, np.float32)


def ribbon(points: F32, near: float, far: float, *, less: float = 0.0) -> tuple[F32, F32]:
    """The outline of a line that narrows from its first to its last point, and of one that is `less` wide.

    Args:
        points: (N, 2), N >= 2, near to far.
        near, far: widths at the ends, pixels; between them the width follows the height in the picture,
            as the width of paint on a flat road does.
        less: pixels.

    Returns:
        Two (2N, 2) float32 outlines.
    """
    along = np.empty_like(points)
    along[1:-1] = points[2:] - points[:-2]
    along[0], along[-1] = points[1] - points[0], points[-1] - points[-2]
    along /= np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-6)[:, None]
    y = points[:, 1]
    share = (y - y[-1]) / (y[0] - y[-1]) if abs(y[0] - y[-1]) > 1 else np.linspace(1, 0, len(y))
    width = far + (near - far) * np.minimum(np.maximum(share, 0), 1)
    normal = along[:, ::-1] * np.array([-0.5, 0.5], np.float32)
    outlines = []
    for wide in (width, width - less):
        side = normal * wide[:, None]
        outline = np.concatenate([points + side, (points - side)[::-1]])
        outlines.append(outline.astype(np.float32, copy=False))
    return outlines[0], outlines[1]


class Road:
    """Paints what the lane stage found; kept while it is the same, as between two looks of a stage that rests."""

    def __init__(self) -> None:
        self._lanes: Lanes | None = None
        self._paint: Paint | None = None

    def draw(self, canvas: Canvas, lanes: Lanes, style: Style) -> None:
        """Paint the drivable area, then the lane lines over it."""
        paint = self._paint
        if paint is None or paint.space != canvas.space or paint.size != canvas.size:
            self._lanes, paint = None, Paint(canvas.space, canvas.size)
            self._paint = paint
        if lanes is not self._lanes:
            paint.mix(shapes(lanes, style))
            self._lanes = lanes
        paint.lay(canvas)


def shapes(lanes: Lanes, style: Style) -> list[tuple[F32, F32, BGR, int]]:
    """The polygons of the road, for `Paint.mix`."""
    found: list[tuple[F32, F32, BGR, int]] = [
        (outline, outline, DRIVABLE, _AREA_COVERAGE)
        for outline in lanes.drivable
        if len(outline) >= 3 and np.isfinite(outline).all()
    ]
    for lane in lanes.lines:
        points = lane.points[np.isfinite(lane.points).all(axis=1)]
        if len(points) >= 2:
            near = (4.0 if abs(lane.side) == 1 else 3.0) * max(style.unit, 0.35) + 2
            # A smooth edge adds one pixel to a line's width, and twice as much on half-size chroma.
            wide, narrow = ribbon(smooth(points), near, max(1.5, near * 0.3), less=1)
            found.append((wide, narrow, lane_colour(lane.side), _LINE_COVERAGE))
    return found
