"""The cache of sprites forgets what has not been used for longest."""

from __future__ import annotations

import numpy as np

from perception.render.sprites import ColourSpace, Sprite, SpriteCache


def test_the_least_recently_used_sprite_goes_first() -> None:
    made: list[str] = []

    def make(name: str) -> Sprite:
        made.append(name)
        return Sprite.compose(ColourSpace(), [(np.ones((2, 2), np.float32), (1, 2, 3))])

    cache = SpriteCache(maxsize=2)
    for name in ("a", "b", "a", "c", "a", "b"):
        cache.get(name, lambda name=name: make(name))
    assert made == ["a", "b", "c", "b"]
    assert len(cache) == 2
    cache.clear()
    assert len(cache) == 0
