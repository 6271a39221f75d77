"""Outlines of objects: a stroke with rounded corners on a soft dark rim."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from perception.render.canvas import Canvas, ColourSpace, Sprite
from perception.render.palette import BGR, INK
from perception.render.shapes import ring, rounded_distance
from perception.render.style import Style

F32 = npt.NDArray[np.float32]

_EDGE = 1024  # pixels of an edge sprite; longer edges are laid in pieces
_RIM = 0.55  # darkness of the rim


class Outline:
    """The parts of a box outline of one colour: four corners, and edges to lay between them.

    Args:
        space: of the canvases it will be drawn on.
        style: gives halo and radius.
        bgr: the colour of the stroke.
        stroke: its width, pixels.
        opacity: 0..1, of stroke and rim.
        dashed: interrupted edges, for objects that are only predicted.
    """

    def __init__(
        self,
        space: ColourSpace,
        style: Style,
        bgr: BGR,
        *,
        stroke: int,
        opacity: float = 1.0,
        dashed: bool = False,
    ) -> None:
        # The outer edge of the stroke lies on the outer edge of the box's outermost pixels, the rim
        # around it; with whole numbers everywhere the stroke is sharp.
        margin = math.ceil(style.halo)
        band = 2 * margin + stroke
        corner = max(band, margin + math.ceil(style.radius + stroke / 2))
        self.margin, self.band, self.corner = margin, band, corner
        side = 2 * corner + 2
        edge = margin + stroke / 2
        distance = rounded_distance(
            side, side, (edge, edge, side - edge, side - edge), style.radius
        )
        line = ring(distance, stroke) * np.float32(opacity)
        rim = ring(distance, stroke + 2 * style.halo) * np.float32(_RIM * opacity)
        along = np.ones(_EDGE, np.float32)
        if dashed:
            dash = 2 ** max(2, round(math.log2(4 * stroke + 2)))  # divides _EDGE: pieces join
            along = (np.arange(_EDGE) // dash % 2 == 0).astype(np.float32)

        def corner_sprite(rows: slice, columns: slice) -> Sprite:
            return Sprite.compose(space, [(rim[rows, columns], INK), (line[rows, columns], bgr)])

        def edge_sprite(near: bool, *, upright: bool) -> Sprite:
            rows = slice(0, band) if near else slice(side - band, side)
            layers = [
                (np.outer(mask[rows, corner], along).astype(np.float32), c)
                for mask, c in ((rim, INK), (line, bgr))
            ]
            if upright:
                layers = [(np.ascontiguousarray(mask.T), c) for mask, c in layers]
            return Sprite.compose(space, layers)

        near, far = slice(0, corner), slice(side - corner, side)
        self._corners = tuple(corner_sprite(r, c) for r in (near, far) for c in (near, far))
        self._top, self._bottom = (
            edge_sprite(True, upright=False),
            edge_sprite(False, upright=False),
        )
        self._left, self._right = edge_sprite(True, upright=True), edge_sprite(False, upright=True)

    def draw(self, canvas: Canvas, x1: int, y1: int, x2: int, y2: int) -> None:
        """Draw the outline of the pixels x1 <= x < x2, y1 <= y < y2; parts outside are cut off."""
        x1, y1, x2, y2 = x1 - self.margin, y1 - self.margin, x2 + self.margin, y2 + self.margin
        across, down = x2 - x1 - 2 * self.corner, y2 - y1 - 2 * self.corner
        if across < 0 or down < 0:  # too small for its corners: the smallest box around its centre
            if across < 0:
                x1, across = (x1 + x2) // 2 - self.corner, 0
                x2 = x1 + 2 * self.corner
            if down < 0:
                y1, down = (y1 + y2) // 2 - self.corner, 0
                y2 = y1 + 2 * self.corner
        width, height = canvas.size
        left, top = x1 + self.corner, y1 + self.corner
        for start in range(max(0, -left // _EDGE * _EDGE), min(across, width - left), _EDGE):
            part = min(_EDGE, across - start), self.band
            canvas.blit(self._top, left + start, y1, part=part)
            canvas.blit(self._bottom, left + start, y2 - self.band, part=part)
        for start in range(max(0, -top // _EDGE * _EDGE), min(down, height - top), _EDGE):
            part = self.band, min(_EDGE, down - start)
            canvas.blit(self._left, x1, top + start, part=part)
            canvas.blit(self._right, x2 - self.band, top + start, part=part)
        near_near, near_far, far_near, far_far = self._corners
        canvas.blit(near_near, x1, y1)
        canvas.blit(near_far, x2 - self.corner, y1)
        canvas.blit(far_near, x1, y2 - self.corner)
        canvas.blit(far_far, x2 - self.corner, y2 - self.corner)
