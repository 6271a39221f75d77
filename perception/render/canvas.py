"""One set of drawing code for Y'CbCr 4:2:0 planes and for BGR pictures.

A `Canvas` is a private copy of a picture: drawing never touches the decoder's memory, and what is not
drawn on reaches the encoder bit for bit, because planes are never converted to another colour space.
While drawing, the two chroma planes lie interleaved in one array, so that each mark costs one call, not two.

Drawing coordinates are whole pixels of the full picture, x to the right, y down; (0, 0) is the corner of
the first pixel. On the half-size chroma planes a sprite's colour and coverage are averaged over each 2 x 2
block, whatever the parity of its position.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from perception.colour import LUMA_WEIGHTS, nv12
from perception.render.palette import BGR, INK
from perception.render.sprites import ColourSpace, Sprite
from perception.types import U8, Planes

F32 = npt.NDArray[np.float32]


@lru_cache(maxsize=512)
def _packed(space: ColourSpace, bgr: BGR) -> tuple[int, int]:
    """A colour as luma and as Cb, Cr packed the way they lie in memory."""
    y, cb, cr = (round(value) for value in space.values(bgr))
    return y, int(np.array([cb, cr], np.uint8).view(np.uint16)[0])


def _normals(points: F32, lengths: npt.NDArray[np.int64]) -> tuple[F32, F32]:
    """For lines of these lengths laid end to end: unit normals (N, 2), and how far along each is, 0..1."""
    ends = np.cumsum(lengths) - 1
    starts = ends - lengths + 1
    along = np.empty_like(points)
    along[1:-1] = points[2:] - points[:-2]
    along[starts] = points[starts + 1] - points[starts]
    along[ends] = points[ends] - points[ends - 1]
    along /= np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-6)[:, None]
    normals = along[:, ::-1] * np.array([-1, 1], np.float32)
    first, steps = np.repeat(starts, lengths), np.repeat(lengths - 1, lengths)
    return normals, ((np.arange(len(points)) - first) / steps).astype(np.float32)


class Canvas:
    """A picture to draw on; make it with `from_planes` or `from_bgr`, which copy.

    Attributes:
        size: (width, height).
        space: how colours are stored.
        planes: the arrays drawn on, with their reduction: [(bgr, 1)] or [(luma, 1), (chroma, 2)].
    """

    def __init__(self, space: ColourSpace, planes: list[tuple[U8, int]]) -> None:
        self.space = space
        self.planes = planes
        self.size = (planes[0][0].shape[1], planes[0][0].shape[0])
        self._ink = space.values(INK)[0]
        self._packed: dict[BGR, tuple[int, int]] = {}
        # Cb and Cr of a pixel as one 16-bit number: numpy fills that ten times faster than two bytes.
        self._pairs = None if space.matrix is None else planes[1][0].view(np.uint16)[..., 0]

    @classmethod
    def from_planes(cls, planes: Planes) -> Canvas:
        """A canvas on a copy of decoded planes.

        Raises:
            ValueError: the planes name a matrix that is not known.
        """
        if planes.matrix not in LUMA_WEIGHTS:
            raise ValueError(
                f"Planes.matrix must be one of {', '.join(LUMA_WEIGHTS)}, but is {planes.matrix!r}"
            )
        luma, chroma = nv12(planes)
        return cls(ColourSpace(planes.matrix, planes.full_range), [(luma, 1), (chroma, 2)])

    @classmethod
    def from_bgr(cls, image: U8) -> Canvas:
        """A canvas on a copy of a (H, W, 3) uint8 BGR picture."""
        return cls(ColourSpace(), [(np.array(image, order="C"), 1)])

    def to_planes(self) -> Planes:
        """The drawn picture as planes. Only of a canvas made from planes."""
        assert self.space.matrix is not None
        (luma, _), (chroma, _) = self.planes
        # Not copied: an encoder takes Cb and Cr side by side, as they lie here.
        u, v = chroma[..., 0], chroma[..., 1]
        return Planes(luma, u, v, self.space.matrix, self.space.full_range)

    def to_bgr(self) -> U8:
        """The drawn picture, not copied. Only of a canvas made from BGR."""
        assert self.space.matrix is None
        return self.planes[0][0]

    def blit(self, sprite: Sprite, x: int, y: int) -> None:
        """Blend a sprite with its top left corner at (x, y); what lies outside is cut off.

        Args:
            sprite: made for this canvas's colour space.
            x, y: any whole numbers.
        """
        width, height = sprite.size
        tiles = sprite.tiles(x, y)
        if x >= 0 and y >= 0 and x + width <= self.size[0] and y + height <= self.size[1]:
            # Nearly every sprite: without loops, which take as long as the blending.
            colour, weight, rest = tiles[0]
            region = self.planes[0][0][y : y + height, x : x + width]
            cv2.blendLinear(colour, region, weight, rest, region)
            if len(tiles) > 1:
                colour, weight, rest = tiles[1]
                height, width = weight.shape
                x, y = x >> 1, y >> 1
                region = self.planes[1][0][y : y + height, x : x + width]
                cv2.blendLinear(colour, region, weight, rest, region)
            return
        for (plane, step), (colour, weight, rest) in zip(self.planes, tiles, strict=True):
            left, top = (x, y) if step == 1 else (x >> 1, y >> 1)
            height, width = weight.shape
            rows = slice(max(0, -top), min(height, plane.shape[0] - top))
            columns = slice(max(0, -left), min(width, plane.shape[1] - left))
            if rows.stop <= rows.start or columns.stop <= columns.start:
                continue
            part = rows, columns
            region = plane[
                top + rows.start : top + rows.stop, left + columns.start : left + columns.stop
            ]
            cv2.blendLinear(colour[part], region, weight[part], rest[part], region)

    def stripe(
        self, x1: int, y1: int, x2: int, y2: int, bgr: BGR, *, rim: tuple[int, int], dark: float
    ) -> None:
        """Fill a rectangle whose outer pixels are only moved towards ink, both cut to the picture.

        Args:
            x1, y1, x2, y2: with its rims; on chroma, every 2 x 2 block that the inner part touches is filled.
            bgr: the inner part's colour.
            rim: width of the rims left and right, and above and below.
            dark: how far the rims' brightness goes towards ink, 0..1.
        """
        width, height = self.size
        left, top, right, bottom = x1 + rim[0], y1 + rim[1], x2 - rim[0], y2 - rim[1]
        if x1 < 0 or y1 < 0 or x2 > width or y2 > height:
            x1, y1, x2, y2 = max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)
            left, top, right, bottom = (
                max(left, 0),
                max(top, 0),
                min(right, width),
                min(bottom, height),
            )
        if x2 <= x1 or y2 <= y1:
            return
        picture = self.planes[0][0]
        region = picture[y1:y2, x1:x2]
        cv2.convertScaleAbs(region, region, 1.0 - dark, dark * self._ink)
        if right <= left or bottom <= top:
            return
        if self._pairs is None:
            picture[top:bottom, left:right] = bgr
            return
        paint = self._packed.get(bgr)
        if paint is None:
            paint = self._packed[bgr] = _packed(self.space, bgr)
        picture[top:bottom, left:right] = paint[0]
        self._pairs[top >> 1 : (bottom + 1) >> 1, left >> 1 : (right + 1) >> 1] = paint[1]

    def comets(
        self, lines: Sequence[F32], colours: Sequence[BGR], width: float, opacities: Sequence[float]
    ) -> None:
        """Draw lines that grow wider and denser from their first point to their last.

        A line is drawn in pieces of one colour each, which is mixed with what lies below the piece on
        average: on even ground this looks as translucent paint does, and costs a fraction.

        Args:
            lines: each (N, 2) float32 pixels with more points than there are opacities.
            colours: one per line.
            width: at the last point, pixels; half of it at the first.
            opacities: 0..1 of each piece, from the first point of a line to its last.
        """
        if not lines:
            return
        points = np.concatenate(lines)
        normals, share = _normals(points, np.array([len(line) for line in lines]))
        pieces = len(opacities)
        cuts, start = [], 0
        for line in lines:
            last = len(line) - 1
            cuts += [start + k * last // pieces for k in range(pieces)]
            start += last + 1
        cuts.append(start)
        counts = np.diff(cuts)[:, None]
        # Around each piece: its points' left sides forwards, their right sides backwards. Pieces of a line
        # share the point between them.
        order, bounds, n = [], [0], len(points)
        for piece, (a, b) in enumerate(pairwise(cuts), 1):
            b += piece % pieces != 0
            order += [*range(a, b), *range(n + b - 1, n + a - 1, -1)]
            bounds.append(len(order))
        opacity = np.tile(np.array(opacities, np.float32), len(lines))[:, None]
        values = np.repeat(np.array([self.space.values(bgr) for bgr in colours]), pieces, axis=0)
        for plane, step in self.planes:
            limit = np.array([plane.shape[1] - 1, plane.shape[0] - 1], np.float32)
            column, row = np.minimum(np.maximum(points / step, 0), limit).astype(np.intp).T
            under = plane[row, column].astype(np.float32).reshape(len(points), -1)
            below = np.add.reduceat(under, cuts[:-1], axis=0) / counts
            paint = values if self._pairs is None else values[:, :1] if step == 1 else values[:, 1:]
            mixed = (below + opacity * (paint - below)).tolist()
            # An anti-aliased outline reaches half a pixel beyond the polygon on both sides.
            half = np.maximum(width * (0.5 + 0.5 * share) / step - 1, 0)[:, None] * (0.5 * normals)
            middle = points / step - 0.5
            sides = np.rint(np.concatenate([middle + half, middle - half]) * 8).astype(np.int32)
            shapes = sides[order]
            for (a, b), colour in zip(pairwise(bounds), mixed, strict=True):
                cv2.fillPoly(plane, [shapes[a:b]], colour, cv2.LINE_AA, 3)
