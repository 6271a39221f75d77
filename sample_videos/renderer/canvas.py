"""A picture of weights that is drawn in metres."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 256, 256


FINE = 3


PAINT, GLASS, LAMP = (255, 0, 0, 128), (0, 255, 0, 20), (0, 0, 255, 200)


BLACK, DARK, CHROME = (0, 0, 0, 8), (0, 0, 0, 22), (0, 0, 0, 170)


class Canvas:
    """A livery picture that is drawn in metres: x along the view, y up."""

    def __init__(self, x_range: tuple[float, float], height: float) -> None:
        """Start with plain paint over the whole view."""
        self.pixels = np.empty((HEIGHT * FINE, WIDTH * FINE, 4), np.uint8)
        self.pixels[:] = PAINT
        self.x_range, self.height = x_range, height

    def _at(self, points: object) -> NDArray[np.int32]:
        place = np.asarray(points, np.float64)
        low, high = self.x_range
        x = (place[..., 0] - low) / (high - low) * WIDTH * FINE
        y = place[..., 1] / self.height * HEIGHT * FINE
        return np.round(np.stack([x, y], -1)).astype(np.int32)

    def polygon(self, points: object, colour: tuple[int, ...]) -> None:
        """Fill a polygon."""
        cv2.fillPoly(self.pixels, [self._at(points)], colour)

    def rectangle(
        self, x0: float, y0: float, x1: float, y1: float, colour: tuple[int, ...]
    ) -> None:
        """Fill a rectangle."""
        self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], colour)

    def line(self, points: object, colour: tuple[int, ...], thickness: int = 3) -> None:
        """Draw a line; `thickness` is in fine pixels."""
        cv2.polylines(self.pixels, [self._at(points)], False, colour, thickness)

    def disc(self, x: float, y: float, radius: float, colour: tuple[int, ...]) -> None:
        """Fill a circle."""
        angle = np.linspace(0, 2 * np.pi, 40)
        self.polygon(np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], 1), colour)

    def finished(self) -> NDArray[np.uint8]:
        """Return the (HEIGHT, WIDTH, 4) picture, row 0 at the bottom."""
        return cv2.resize(self.pixels, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
