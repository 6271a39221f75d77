"""Outlines of objects: a stroke with rounded corners on a dark translucent rim."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from perception.render.canvas import Canvas
from perception.render.palette import BGR, INK
from perception.render.shapes import ring, rounded_distance
from perception.render.sprites import ColourSpace, Sprite
from perception.render.style import Style

F32 = npt.NDArray[np.float32]

_RIM = 0.5  # darkness of the rim


class Outline:
    """A box outline of one colour: four corner sprites, and straight edges between them.

    The outer edge of the stroke lies on the outer edge of the box's outermost pixels, with the rim on both
    sides of it; all widths are whole pixels, so the edges are sharp.

    Args:
        space: of the canvases it will be drawn on.
        style: gives the rim.
        bgr: the colour of the stroke.
        stroke: its width, pixels.
        radius: of the corners, pixels.
        dashed: interrupted edges, for objects that are only predicted.
    """

    def __init__(
        self,
        space: ColourSpace,
        style: Style,
        bgr: BGR,
        *,
        stroke: int,
        radius: float,
        dashed: bool = False,
    ) -> None:
        rim = style.rim
        self._bgr, self._stroke, self._rim = bgr, stroke, rim
        self._corner = corner = max(2 * rim + stroke, rim + math.ceil(radius + stroke / 2))
        self._dash = 4 * stroke + 2 if dashed else 0
        side = 2 * corner
        edge = rim + stroke / 2
        distance = rounded_distance(side, side, (edge, edge, side - edge, side - edge), radius)
        line, dark = ring(distance, stroke), ring(distance, stroke + 2 * rim) * np.float32(_RIM)
        near, far = slice(0, corner), slice(corner, side)
        self._corners = tuple(
            Sprite.compose(space, [(dark[rows, columns], INK), (line[rows, columns], bgr)])
            for rows in (near, far)
            for columns in (near, far)
        )

    def draw(self, canvas: Canvas, x1: int, y1: int, x2: int, y2: int) -> None:
        """Draw the outline of the pixels x1 <= x < x2, y1 <= y < y2; parts outside are cut off."""
        rim, stroke, corner = self._rim, self._stroke, self._corner
        x1, y1, x2, y2 = x1 - rim, y1 - rim, x2 + rim, y2 + rim
        if (
            x2 - x1 < 2 * corner
        ):  # too small for its corners: the smallest outline around its middle
            x1 = (x1 + x2) // 2 - corner
            x2 = x1 + 2 * corner
        if y2 - y1 < 2 * corner:
            y1 = (y1 + y2) // 2 - corner
            y2 = y1 + 2 * corner
        left, top, right, bottom = x1 + corner, y1 + corner, x2 - corner, y2 - corner
        band = stroke + 2 * rim
        for start, end in self._dashes(left, right, canvas.size[0]):
            for y in (y1, y2 - band):
                canvas.stripe(start, y, end, y + band, self._bgr, rim=(0, rim), dark=_RIM)
        for start, end in self._dashes(top, bottom, canvas.size[1]):
            for x in (x1, x2 - band):
                canvas.stripe(x, start, x + band, end, self._bgr, rim=(rim, 0), dark=_RIM)
        for sprite, x, y in zip(
            self._corners, (x1, right, x1, right), (y1, y1, bottom, bottom), strict=True
        ):
            canvas.blit(sprite, x, y)

    def _dashes(self, start: int, end: int, limit: int) -> list[tuple[int, int]]:
        """The pieces of an edge from `start` to `end` that are drawn and lie in the picture."""
        if not self._dash:
            return [(start, end)] if end > start else []
        # As many gaps of about one dash as fit, spread evenly, so that both ends of an edge look alike.
        gaps = max(1, round((end - start) / (2 * self._dash)))
        step = (end - start) / (2 * gaps + 1)
        pieces = [
            (round(start + 2 * k * step), round(start + (2 * k + 1) * step))
            for k in range(gaps + 1)
        ]
        return [(a, b) for a, b in pieces if b > a and b > 0 and a < limit]
