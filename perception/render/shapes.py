"""Coverage masks of the few shapes that sprites are made of, from exact distances."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]


def _grid(width: int, height: int) -> tuple[F32, F32]:
    x = np.arange(width, dtype=np.float32) + np.float32(0.5)
    y = np.arange(height, dtype=np.float32) + np.float32(0.5)
    return x[None, :], y[:, None]


def _coverage(distance: F32) -> F32:
    """Coverage of a pixel whose centre lies this far outside (negative: inside) an edge."""
    return np.asarray(np.clip(0.5 - distance, 0.0, 1.0), np.float32)


def rounded_distance(
    width: int, height: int, box: tuple[float, float, float, float], radius: float
) -> F32:
    """Signed distance of each pixel of a (height, width) picture to a rounded box x1, y1, x2, y2.

    Negative inside. Formula: the exact box distance with the corner radius taken off.
    """
    x, y = _grid(width, height)
    x1, y1, x2, y2 = box
    radius = min(radius, (x2 - x1) / 2, (y2 - y1) / 2)
    qx = np.abs(x - (x1 + x2) / 2) - (x2 - x1) / 2 + radius
    qy = np.abs(y - (y1 + y2) / 2) - (y2 - y1) / 2 + radius
    outside = np.hypot(np.maximum(qx, 0), np.maximum(qy, 0))
    return np.asarray(outside + np.minimum(np.maximum(qx, qy), 0) - radius, np.float32)


def rounded(width: int, height: int, radius: float, *, inset: float = 0.0) -> F32:
    """A filled rounded rectangle as large as the picture, less `inset` on each side."""
    box = (inset, inset, width - inset, height - inset)
    return _coverage(rounded_distance(width, height, box, radius))


def ring(distance: F32, width: float) -> F32:
    """The band of this width centred on an edge given by its signed distance."""
    return _coverage(np.abs(distance) - np.float32(width / 2))


def disc(width: int, height: int, cx: float, cy: float, radius: float) -> F32:
    """A filled circle."""
    x, y = _grid(width, height)
    return _coverage(np.asarray(np.hypot(x - cx, y - cy) - radius, np.float32))


def convex(width: int, height: int, points: list[tuple[float, float]]) -> F32:
    """A filled convex polygon, corners given clockwise as seen (y down)."""
    x, y = _grid(width, height)
    distance = np.full((height, width), -1e9, np.float32)
    for (x1, y1), (x2, y2) in zip(points, points[1:] + points[:1], strict=True):
        length = float(np.hypot(x2 - x1, y2 - y1))
        side = ((y2 - y1) * (x - x1) - (x2 - x1) * (y - y1)) / length
        distance = np.maximum(distance, side)
    return _coverage(distance)
