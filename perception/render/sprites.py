"""Sprites made once and kept while they are in use."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

from perception.render.canvas import Sprite


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

    def get(self, key: Hashable, make: Callable[[], Sprite]) -> Sprite:
        """The sprite of this key, made now if it is not there."""
        sprite = self._sprites.get(key)
        if sprite is None:
            sprite = self._sprites[key] = make()
            if len(self._sprites) > self.maxsize:
                self._sprites.popitem(last=False)
        else:
            self._sprites.move_to_end(key)
        return sprite

    def clear(self) -> None:
        """Forget everything."""
        self._sprites.clear()
