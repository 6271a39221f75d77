"""Writes labels: what each says, and that it stays in its place from frame to frame."""

from __future__ import annotations

from functools import partial

import numpy as np

from perception.render.canvas import Canvas
from perception.render.chips import chip
from perception.render.items import Item, Key, Rect
from perception.render.labels import place_labels
from perception.render.palette import class_colour, short_name
from perception.render.signs import has_pictogram
from perception.render.sprites import Sprite, SpriteCache
from perception.render.style import Style

_MOST = 80  # labels on one picture
# A label keeps its place for a while even when a better one gets free: labels should not hop.
_LOYALTY, _LOYAL_S = 0.35, 1.5


class Labeller:
    """Draws labels, the largest objects first.

    Args:
        scores: write the score of tracked objects too.

    Attributes:
        rects: where the labels of the last frame are: rectangles xyxy, the most important first.
    """

    def __init__(self, *, scores: bool) -> None:
        self.scores = scores
        self.rects: list[Rect] = []
        self._places: dict[Key, tuple[int, float]] = {}  # slot, and since when

    def draw(
        self,
        canvas: Canvas,
        items: list[Item],
        style: Style,
        cache: SpriteCache,
        *,
        time: float,
        obstacles: list[Rect],
    ) -> None:
        """Label everything but tentative objects; where there is no room the id alone, or nothing."""
        named = [item for item in items if not item.tentative]
        named.sort(key=lambda item: -item.area)
        before, self._places, self.rects = self._places, {}, []
        waiting = named[:_MOST]
        for compact in (False, True):
            if not waiting:
                return
            sprites = [self._sprite(canvas, item, style, cache, compact) for item in waiting]
            places = [
                before.get(item.key, (-1, time)) if item.key else (-1, time) for item in waiting
            ]
            rects, slots = place_labels(
                np.array([item.box for item in waiting], np.float32),
                np.array([sprite.size for sprite in sprites], np.int32),
                canvas.size,
                gap=style.gap,
                previous=[slot for slot, _ in places],
                loyalty=[_LOYALTY * (1 - abs(time - since) / _LOYAL_S) for _, since in places],
                obstacles=[*obstacles, *self.rects],
            )
            homeless = []
            rows = zip(waiting, sprites, places, rects.tolist(), slots.tolist(), strict=True)
            for item, sprite, (old_slot, since), (x1, y1, x2, y2), slot in rows:
                if slot < 0:
                    homeless.append(item)
                    continue
                canvas.blit(sprite, x1, y1)
                self.rects.append((x1, y1, x2, y2))
                if item.key is not None:
                    self._places[item.key] = (slot, since if slot == old_slot else time)
            waiting = homeless

    def _sprite(
        self, canvas: Canvas, item: Item, style: Style, cache: SpriteCache, compact: bool
    ) -> Sprite:
        text, sign, light = label_text(item, scores=self.scores, compact=compact)
        key = ("chip", item.name, text, sign, light, item.predicted)
        found = cache.find(key)
        if found is not None:
            return found
        make = partial(
            chip,
            canvas.space,
            style,
            text,
            class_colour(item.name),
            sign=sign,
            light=light,
            quiet=item.predicted,
        )
        return cache.get(key, make)


def label_text(item: Item, *, scores: bool, compact: bool) -> tuple[str, str, str]:
    """What a label says.

    Returns:
        Its text, the sign whose pictogram stands before it, the light whose lamp stands before it; empty
        when there is none.
    """
    name, sign, light = short_name(item.name), "", ""
    if not item.attributes and not scores and item.key is not None:  # most of them
        return (str(item.key[1]) if compact else f"{name} {item.key[1]}"), "", ""
    extra = []
    for key, value in item.attributes.items():
        if not isinstance(value, str) or not value:
            continue
        if key == "sign":
            value = value.lower()
            name, sign = ("", value) if has_pictogram(value) else (value.replace("_", " "), "")
        elif key == "light":
            name = light = value.lower()
        else:
            extra.append(value.replace("_", " "))
    number = "" if item.key is None else str(item.key[1])
    if compact:
        return ("" if sign or light else number or name), sign, light
    score = f"{item.score:.0%}" if scores or item.key is None else ""
    text = " ".join(part for part in (name, number, score) if part)
    return " · ".join(part for part in (text, *extra) if part), sign, light
