"""Sprites: small pictures with coverage, made once for a colour space and kept while they are in use."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from perception.colour import LUMA_WEIGHTS
from perception.render.palette import BGR

F32 = npt.NDArray[np.float32]


class ColourSpace(NamedTuple):
    """What the numbers of a picture mean: BGR when `matrix` is None, else Y'CbCr 4:2:0.

    A tuple because it is part of the key of every cached sprite, and tuples hash fast.
    """

    matrix: str | None = None
    full_range: bool = True

    def values(self, bgr: BGR) -> tuple[float, float, float]:
        """A colour as (b, g, r) or (y, cb, cr), 8-bit scale."""
        return _values(self, bgr)


@lru_cache(maxsize=512)
def _values(space: ColourSpace, bgr: BGR) -> tuple[float, float, float]:
    if space.matrix is None:
        return float(bgr[0]), float(bgr[1]), float(bgr[2])
    # Formula and quantisation: ITU-R BT.709-6 items 3.2 to 3.4 and 4.6; JFIF 1.02 for full range.
    kr, kb = LUMA_WEIGHTS[space.matrix]
    b, g, r = (c / 255.0 for c in bgr)
    y = kr * r + (1 - kr - kb) * g + kb * b
    cb, cr = (b - y) / (2 - 2 * kb), (r - y) / (2 - 2 * kr)
    if space.full_range:
        return 255 * y, 128 + 255 * cb, 128 + 255 * cr
    return 16 + 219 * y, 128 + 224 * cb, 128 + 224 * cr


Layer = tuple[F32, BGR]
"""A (H, W) float32 coverage in 0..1 and the colour it is painted with."""

Tile = tuple[npt.NDArray[np.uint8], F32, F32]
"""Colour, its weight, and the weight of what lies below, of one plane of a sprite."""


@dataclass(slots=True)
class Sprite:
    """A small picture with coverage, ready to be blended onto canvases of one colour space.

    Attributes:
        size: (width, height) in pixels of the full picture.
    """

    size: tuple[int, int]
    space: ColourSpace
    _colour: F32  # (H, W, 3), multiplied by the coverage
    _alpha: F32  # (H, W)
    _first: Tile | None = None  # of the full-size plane, which is the same at every place
    _tiles: dict[tuple[int, int], tuple[Tile, ...]] = field(default_factory=dict)

    @classmethod
    def compose(cls, space: ColourSpace, layers: list[Layer]) -> Sprite:
        """Paint layers of equal shape over each other, the first one lowest."""
        (alpha, bgr), *others = layers
        height, width = alpha.shape
        colour = alpha[..., None] * np.array(space.values(bgr), np.float32)
        for mask, bgr in others:
            keep = np.float32(1.0) - mask
            colour *= keep[..., None]
            colour += mask[..., None] * np.array(space.values(bgr), np.float32)
            alpha = mask + alpha * keep
        return cls((width, height), space, colour, alpha)

    def tiles(self, x: int, y: int) -> tuple[Tile, ...]:
        """One tile per plane for a sprite placed at (x, y)."""
        parity = (x & 1, y & 1)
        found = self._tiles.get(parity)
        if found is None:
            found = self._tiles[parity] = self._cut(*parity)
        return found

    def _cut(self, px: int, py: int) -> tuple[Tile, ...]:
        """The tiles for a place whose coordinates are even (0) or odd (1)."""
        if self._first is None:
            first = self._colour if self.space.matrix is None else self._colour[..., 0]
            self._first = _tile(first, self._alpha)
        if self.space.matrix is None:
            return (self._first,)
        width, height = self.size
        # Grown by hand to whole 2 x 2 blocks: np.pad takes longer than all the rest.
        even = height + py + (height + py) % 2, width + px + (width + px) % 2
        grown = np.zeros((*even, 3), np.float32)
        inside = grown[py : py + height, px : px + width]
        inside[..., :2] = self._colour[..., 1:]
        inside[..., 2] = self._alpha
        size = even[1] // 2, even[0] // 2
        half = np.asarray(cv2.resize(grown, size, interpolation=cv2.INTER_AREA), np.float32)
        return self._first, _tile(half[..., :2], half[..., 2])


def _tile(premultiplied: F32, alpha: F32) -> Tile:
    below = np.maximum(alpha, np.float32(1e-6))
    plain = premultiplied / (below if premultiplied.ndim == 2 else below[..., None])
    weight = np.ascontiguousarray(alpha, np.float32)
    # Rounded, and cut to 0..255.
    colour = cv2.convertScaleAbs(np.maximum(plain, 0))
    return colour, weight, np.float32(1.0) - weight


class SpriteCache:
    """The most recently used sprites.

    Args:
        maxsize: how many are kept.
    """

    def __init__(self, maxsize: int = 1024) -> None:
        self.maxsize = maxsize
        self._sprites: OrderedDict[Hashable, Sprite] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sprites)

    def find(self, key: Hashable) -> Sprite | None:
        """The sprite of this key, if it is there."""
        sprite = self._sprites.get(key)
        if sprite is not None:
            self._sprites.move_to_end(key)
        return sprite

    def get(self, key: Hashable, make: Callable[[], Sprite]) -> Sprite:
        """The sprite of this key, made now if it is not there."""
        sprite = self.find(key)
        if sprite is None:
            sprite = self._sprites[key] = make()
            if len(self._sprites) > self.maxsize:
                self._sprites.popitem(last=False)
        return sprite

    def clear(self) -> None:
        """Forget everything."""
        self._sprites.clear()
