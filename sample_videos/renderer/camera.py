"""A pinhole camera on a car."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .geometry import Floats

NEAR, FAR = 0.2, 900.0


@dataclass(frozen=True, slots=True)
class Camera:
    """Where the camera is and how wide it sees.

    Attributes:
        x, y, z: place in metres.
        heading, pitch, roll: radians; to the right, upwards, clockwise.
        field_of_view: horizontal, in degrees.
        size: (width, height) in pixels.
    """

    x: float = 0.0
    y: float = 1.3
    z: float = 0.0
    heading: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    field_of_view: float = 58.0
    size: tuple[int, int] = (1280, 720)

    @property
    def focal(self) -> float:
        """Return the focal length in pixels."""
        return self.size[0] / 2 / float(np.tan(np.radians(self.field_of_view) / 2))

    def axes(self) -> Floats:
        """Return the rows right, up and forward in world coordinates."""
        ch, sh = np.cos(self.heading), np.sin(self.heading)
        cp, sp = np.cos(self.pitch), np.sin(self.pitch)
        forward = np.array([sh * cp, sp, ch * cp])
        right = np.array([ch, 0.0, -sh])
        up = np.cross(forward, right)
        c, s = np.cos(self.roll), np.sin(self.roll)
        return np.stack([c * right - s * up, s * right + c * up, forward]).astype(np.float32)

    @property
    def eye(self) -> Floats:
        """Return the place as an array."""
        return np.array([self.x, self.y, self.z], np.float32)

    def view_projection(self) -> Floats:
        """Return the 4x4 matrix from the world to clip coordinates (y up)."""
        axes = self.axes()
        view = np.eye(4, dtype=np.float32)
        view[:3, :3] = axes
        view[:3, 3] = -axes @ self.eye
        width, height = self.size
        lens = np.zeros((4, 4), np.float32)
        lens[0, 0] = 2 * self.focal / width
        lens[1, 1] = 2 * self.focal / height
        lens[2, 2] = (FAR + NEAR) / (FAR - NEAR)
        lens[2, 3] = -2 * FAR * NEAR / (FAR - NEAR)
        lens[3, 2] = 1.0
        return lens @ view

    def rays(self) -> Floats:
        """Return the 3x3 matrix from (device x, device y, 1) to a direction in the world."""
        width, height = self.size
        return self.axes().T @ np.diag(
            [width / 2 / self.focal, height / 2 / self.focal, 1.0]
        ).astype(np.float32)

    def project(
        self, points: NDArray[np.floating]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the (N, 2) pixels of (N, 3) world points, and their (N,) distances ahead."""
        axes = self.axes().astype(np.float64)
        local = (np.asarray(points, np.float64) - self.eye) @ axes.T
        depth = local[:, 2]
        safe = np.where(depth > 1e-3, depth, np.nan)
        width, height = self.size
        pixels = np.stack(
            [
                width / 2 + self.focal * local[:, 0] / safe,
                height / 2 - self.focal * local[:, 1] / safe,
            ],
            axis=1,
        )
        return pixels, depth
