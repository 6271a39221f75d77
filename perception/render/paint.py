"""Translucent paint that lies on many pictures one after the other: mixed once, laid on each in two passes."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from perception.render.canvas import Canvas
from perception.render.palette import BGR
from perception.render.sprites import ColourSpace
from perception.types import U8

F32 = npt.NDArray[np.float32]

_BAND = 64  # rows laid at once; even, as chroma has half of them
_APART = 48  # columns without paint that are worth a second piece
_BOUND = 16384.0  # pixels: far outside any picture, and still inside OpenCV's fixed-point range


class Paint:
    """Polygons of translucent colour, as large as a picture.

    Each plane has two surfaces of 8 bits: which share of the picture below stays, and what is added to it.
    A polygon replaces the paint below it; at its edges both surfaces are blended alike.

    Args:
        space: of the canvases it is for.
        size: (width, height) of their pictures.
    """

    def __init__(self, space: ColourSpace, size: tuple[int, int]) -> None:
        self.space, self.size = space, size
        width, height = size
        shapes = [(height, width, 3)]
        if space.matrix is not None:
            shapes = [(height, width, 1), ((height + 1) // 2, (width + 1) // 2, 2)]
        # What stays and what is added, each channel on its own: OpenCV has no smooth edges for two channels.
        self._drawn = [
            [np.empty((high, wide), np.uint8) for _ in range(1 + channels)]
            for high, wide, channels in shapes
        ]
        # The same as the canvas has them, side by side.
        self._mixed = [
            (drawn[0], drawn[1])
            if shape[2] == 1
            else (np.empty(shape, np.uint8), np.empty(shape, np.uint8))
            for drawn, shape in zip(self._drawn, shapes, strict=True)
        ]
        self._pieces: list[tuple[int, tuple[slice, slice], U8, U8]] = []

    def mix(self, shapes: list[tuple[F32, F32, BGR, int]]) -> None:
        """Begin anew, with these polygons, the first one lowest.

        Args:
            shapes: of each its outline (N, 2) in pixels, the outline for half-size chroma, also in pixels of
                the full picture, the colour and the coverage 0..255. On each plane OpenCV's smooth edges
                reach half a pixel of that plane beyond the outline.
        """
        for rest, *added in self._drawn:
            rest.fill(255)
            for channel in added:
                channel.fill(0)
        for full, half, bgr, coverage in shapes:
            share = coverage / 255
            values = [share * value for value in self.space.values(bgr)]
            if self.space.matrix is None:
                self._fill(0, full, 255 - coverage, values)
            else:
                self._fill(0, full, 255 - coverage, values[:1])
                self._fill(1, np.float32(0.5) * half, 255 - coverage, values[1:])
        self._cut()

    def lay(self, canvas: Canvas) -> None:
        """Paint a canvas of this colour space and size."""
        for plane, place, rest, added in self._pieces:
            region = canvas.planes[plane][0][place]
            cv2.multiply(region, rest, region, 1 / 255)
            cv2.add(region, added, region)

    def _fill(self, plane: int, outline: F32, rest: int, colour: list[float]) -> None:
        corners = [np.rint((np.clip(outline, -_BOUND, _BOUND) - 0.5) * 8).astype(np.int32)]
        for surface, value in zip(self._drawn[plane], [rest, *map(round, colour)], strict=True):
            cv2.fillPoly(surface, corners, (value,), cv2.LINE_AA, 3)

    def _cut(self) -> None:
        """Find the pieces of the picture that have paint on them: a line to the horizon fills little of its box."""
        self._pieces = []
        width, height = self.size
        whole = self._drawn[0][0]
        for top in range(0, height, _BAND):
            columns = np.flatnonzero(whole[top : top + _BAND].min(axis=0) < 255)
            if not len(columns):
                continue
            gaps = np.flatnonzero(np.diff(columns) > _APART).tolist()
            starts = columns[[0, *(gap + 1 for gap in gaps)]].tolist()
            ends = columns[[*gaps, -1]].tolist()
            for start, end in zip(starts, ends, strict=True):
                # Two pixels more on both sides: on chroma the smooth edge reaches further.
                self._cut_piece(top, max(0, start - 2) & ~1, min(width, end + 3))

    def _cut_piece(self, top: int, left: int, right: int) -> None:
        bottom = min(self.size[1], top + _BAND)
        for plane, (drawn, (rest, added)) in enumerate(zip(self._drawn, self._mixed, strict=True)):
            step = plane + 1
            place = slice(top // step, -(-bottom // step)), slice(left // step, -(-right // step))
            if rest.ndim == 3:
                below, *colour = (surface[place] for surface in drawn)
                cv2.merge([below] * len(colour), rest[place])
                cv2.merge(colour, added[place])
            self._pieces.append((plane, place, rest[place], added[place]))
