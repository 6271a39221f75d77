"""Where instances and the shadow map lie."""

from __future__ import annotations

import numpy as np

from .camera import Camera
from .geometry import Floats
from .scene import Item, Weather

INSTANCE_FLOATS = 20


def instances(items: list[Item]) -> Floats:
    """Return (N, 20) float32: three matrix rows, tint and identity, state."""
    data = np.empty((len(items), INSTANCE_FLOATS), np.float32)
    data[:, :12] = np.stack([item.matrix[:3] for item in items]).reshape(-1, 12)
    for row, item in zip(data, items, strict=True):
        row[12:15], row[15], row[16:20] = item.tint, item.identity, item.state
    return data


def shadow_matrix(camera: Camera, weather: Weather, reach: float = 46.0) -> Floats:
    """Return the matrix from the world to the shadow map, which covers the road ahead."""
    sun = np.array(weather.sun_direction, np.float64)
    sun /= np.linalg.norm(sun)
    side = np.cross([0.0, 1.0, 0.0], sun)
    side /= np.linalg.norm(side)
    up = np.cross(sun, side)
    axes = camera.axes()
    ahead = np.array([axes[2][0], 0, axes[2][2]], np.float64)
    centre = np.array([camera.x, 0, camera.z]) + ahead * (reach * 0.8)
    # Snap to whole texels, so that shadows do not shimmer while the camera moves.
    texel = 2 * reach / 1024
    matrix = np.eye(4)
    for row, (axis, extent) in enumerate(((side, reach), (up, reach), (-sun, 140.0))):
        matrix[row, :3] = axis / extent
        offset = axis @ centre
        matrix[row, 3] = -np.round(offset / texel) * texel / extent
    return matrix.astype(np.float32)
