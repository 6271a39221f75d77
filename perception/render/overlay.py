"""The overlay of a stream: everything the stages said about a frame, drawn on a copy of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from math import ceil, floor, isfinite
from time import perf_counter
from typing import Any

import numpy as np

from perception.errors import unknown
from perception.render.boxes import Outline
from perception.render.canvas import Canvas, ColourSpace, Sprite
from perception.render.chips import chip, sign_layers
from perception.render.hud import FpsMeter, Hud, draw_panel
from perception.render.labels import place_labels
from perception.render.palette import class_colour, short_name
from perception.render.road import draw_road
from perception.render.shapes import disc
from perception.render.sprites import SpriteCache
from perception.render.style import Style
from perception.render.trails import Trails, draw_trail
from perception.types import U8, FrameResult, Planes

CORNERS = ("top-left", "top-right", "bottom-left", "bottom-right")
_NO_TRAIL = frozenset({"traffic_light", "traffic_sign", "plate"})
_MIDDLE = frozenset({"face"})  # their trail runs through the middle, others' through the foot
_MAX_LABELS = 80


@dataclass(slots=True)
class _Item:
    """One object, ready to be drawn."""

    name: str
    box: tuple[int, int, int, int]
    key: tuple[str, int] | None
    score: float
    predicted: bool
    tentative: bool
    attributes: dict[str, Any]

    @property
    def area(self) -> int:
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


class Overlay:
    """Draws results of one stream; keeps trails, label places and the frame rate between frames.

    Args:
        labels: write class and track id beside each object.
        scores: write the score as well. Objects without a track always show it.
        trails_s: seconds of a track's path to show; 0 for none.
        hud: True for a panel at the top left, False for none, or the corner: "bottom-right".
        lanes: draw lane lines and the drivable area.
        min_score: objects below are not drawn, though they stay in the record.
        tasks: the tasks to draw ("road", "face"); None for all.
        clock: seconds of the machine, for the frame rate.

    Raises:
        ValueError: `hud` names no corner, or `trails_s` is negative.
    """

    def __init__(
        self,
        *,
        labels: bool = True,
        scores: bool = False,
        trails_s: float = 1.5,
        hud: bool | str = True,
        lanes: bool = True,
        min_score: float = 0.0,
        tasks: Collection[str] | None = None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        if isinstance(hud, str) and hud not in CORNERS:
            raise ValueError(unknown("corner for hud", hud, CORNERS))
        if not trails_s >= 0:
            raise ValueError(f"trails_s must be 0 or more seconds, but is {trails_s}")
        self.labels = labels
        self.scores = scores
        self.lanes = lanes
        self.min_score = min_score
        self.tasks = None if tasks is None else frozenset(tasks)
        self.label_rects: dict[tuple[str, int], tuple[int, int, int, int]] = {}
        self._trails = Trails(trails_s) if trails_s > 0 else None
        self._hud = Hud("top-left" if hud is True else hud) if hud else None
        self._fps = FpsMeter(clock)
        self._cache = SpriteCache()
        self._outlines: dict[tuple[tuple[int, int, int], str], Outline] = {}
        self._slots: dict[tuple[str, int], int] = {}
        self._space: ColourSpace | None = None
        self._style = Style.of((1280, 720))

    def __call__(self, result: FrameResult) -> Planes:
        """The frame with everything drawn on it, as planes; the frame itself is not changed.

        Raises:
            ValueError: the frame has no planes because it came as a picture; call `bgr` for it.
        """
        if result.frame.planes is None:
            raise ValueError(
                "Overlay needs a frame with planes, but this one is a BGR picture: call .bgr(result)"
            )
        canvas = Canvas.from_planes(result.frame.planes)
        self.draw(canvas, result)
        return canvas.to_planes()

    def bgr(self, result: FrameResult) -> U8:
        """The frame with everything drawn on it, (H, W, 3) uint8 BGR; the frame itself is not changed."""
        canvas = Canvas.from_bgr(result.frame.image)
        self.draw(canvas, result)
        return canvas.to_bgr()

    def draw(self, canvas: Canvas, result: FrameResult) -> None:
        """Draw a result on a canvas of the frame's size."""
        self._prepare(canvas)
        items = self._items(result)
        if self.lanes and result.lanes is not None:
            draw_road(canvas, result.lanes, self._style)
        if self._trails is not None:
            self._draw_trails(canvas, result.frame.time, items)
        for item in sorted(items, key=lambda item: item.box[3]):  # the nearest last, on top
            self._outline(item).draw(canvas, *item.box)
        self._draw_keypoints(canvas, result)
        panel, placed = (0, 0, 0, 0), []
        if self._hud is not None:
            frame = result.frame
            counts = Counter(item.name for item in items if not item.tentative)
            panel, placed = self._hud.compose(
                canvas.size,
                self._style,
                canvas.space,
                self._cache,
                time=None if frame.path is not None else frame.time,
                fps=0.0 if frame.path is not None else self._fps.tick(),
                rows=self._hud.rows(frame.time, counts),
            )
        if self.labels:
            self._draw_labels(canvas, items, panel)
        draw_panel(canvas, placed)

    def _prepare(self, canvas: Canvas) -> None:
        """Drop the sprites when the size of the pictures or their colours change."""
        style = Style.of(canvas.size)
        if canvas.space != self._space or style != self._style:
            self._space, self._style = canvas.space, style
            self._cache.clear()
            self._outlines.clear()

    def _items(self, result: FrameResult) -> list[_Item]:
        width, height = result.frame.size
        items = []
        for found in result.objects:
            if self.tasks is not None and found.task not in self.tasks:
                continue
            if not found.score >= self.min_score or not all(map(isfinite, found.xyxy)):
                continue
            x1, y1, x2, y2 = found.xyxy
            # Far outside there is nothing to see: keep the numbers small, and the edges out of sight.
            box = (
                max(floor(x1 + 0.5), -64),
                max(floor(y1 + 0.5), -64),
                min(ceil(x2 - 0.5), width + 64),
                min(ceil(y2 - 0.5), height + 64),
            )
            if (
                box[2] <= box[0]
                or box[3] <= box[1]
                or box[0] >= width
                or box[1] >= height
                or box[2] <= 0
                or box[3] <= 0
            ):
                continue
            items.append(
                _Item(
                    name=found.class_name,
                    box=box,
                    key=None if found.track_id is None else (found.task, found.track_id),
                    score=found.score,
                    predicted=found.predicted,
                    tentative=found.track_id is None and found.task in result.tracks,
                    attributes=found.attributes,
                )
            )
        return items

    def _outline(self, item: _Item) -> Outline:
        kind = "predicted" if item.predicted else "tentative" if item.tentative else "plain"
        key = (class_colour(item.name), kind)
        outline = self._outlines.get(key)
        if outline is None:
            assert self._space is not None
            thin = max(1, self._style.stroke - 1)
            outline = self._outlines[key] = Outline(
                self._space,
                self._style,
                key[0],
                stroke=self._style.stroke if kind == "plain" else thin,
                opacity={"plain": 1.0, "predicted": 0.8, "tentative": 0.55}[kind],
                dashed=kind == "predicted",
            )
        return outline

    def _draw_trails(self, canvas: Canvas, time: float, items: list[_Item]) -> None:
        assert self._trails is not None
        followed = [item for item in items if item.key is not None and item.name not in _NO_TRAIL]
        anchors = []
        for item in followed:
            x1, y1, x2, y2 = item.box
            anchors.append((item.key, (x1 + x2) / 2, (y1 + y2) / 2 if item.name in _MIDDLE else y2))
        self._trails.update(time, anchors)
        for item in followed:
            draw_trail(
                canvas, self._trails.path(item.key), class_colour(item.name), self._style.stroke
            )

    def _draw_keypoints(self, canvas: Canvas, result: FrameResult) -> None:
        side = 2 * self._style.stroke + 3
        for task, found in result.detections.items():
            if found.keypoints.size == 0 or (self.tasks is not None and task not in self.tasks):
                continue
            for row in np.flatnonzero(found.score >= self.min_score):
                bgr = class_colour(found.classes[found.class_id[row]])
                sprite = self._cache.get(
                    ("point", bgr), lambda bgr=bgr: _point(canvas.space, side, bgr)
                )  # type: ignore[misc]
                for x, y, score in found.keypoints[row].tolist():
                    if score > 0 and abs(x) < 1e6 and abs(y) < 1e6:
                        canvas.blit(sprite, round(x - side / 2), round(y - side / 2))

    def _draw_labels(
        self, canvas: Canvas, items: list[_Item], panel: tuple[int, int, int, int]
    ) -> None:
        named = sorted((item for item in items if not item.tentative), key=lambda item: -item.area)[
            :_MAX_LABELS
        ]
        others = [item for item in items if item.tentative]
        sprites = [self._chip(canvas.space, item, compact=False) for item in named]
        taken = [panel] if panel[2] else []
        slots: dict[tuple[str, int], int] = {}
        self.label_rects = {}
        waiting = self._place(canvas, named, sprites, taken, slots)
        if waiting:  # no room for the full label: try the id alone
            short = [named[i] for i in waiting]
            sprites = [self._chip(canvas.space, item, compact=True) for item in short]
            self._place(canvas, short, sprites, taken, slots)
        self._slots = slots
        del others

    def _place(
        self,
        canvas: Canvas,
        items: list[_Item],
        sprites: list[Sprite],
        taken: list[tuple[int, int, int, int]],
        slots: dict[tuple[str, int], int],
    ) -> list[int]:
        """Place and draw labels; returns the rows for which there was no room."""
        rects, chosen = place_labels(
            np.array([item.box for item in items], np.float32).reshape(-1, 4),
            np.array([sprite.size for sprite in sprites], np.int32).reshape(-1, 2),
            canvas.size,
            gap=self._style.gap + 1,
            previous=[self._slots.get(item.key, -1) if item.key else -1 for item in items],
            obstacles=taken,
        )
        waiting = []
        for row, (item, sprite, slot) in enumerate(
            zip(items, sprites, chosen.tolist(), strict=True)
        ):
            if slot < 0:
                waiting.append(row)
                continue
            x1, y1, x2, y2 = rects[row].tolist()
            canvas.blit(sprite, x1, y1)
            taken.append((x1, y1, x2, y2))
            if item.key is not None:
                slots[item.key] = slot
            self.label_rects[item.key or ("", -1 - len(self.label_rects))] = (x1, y1, x2, y2)
        return waiting

    def _chip(self, space: ColourSpace, item: _Item, *, compact: bool) -> Sprite:
        text, sign, light = label_text(item, scores=self.scores, compact=compact)
        key = ("chip", item.name, text, sign, light, item.predicted)
        style = self._style
        return self._cache.get(
            key,
            lambda: chip(
                space,
                style,
                text,
                class_colour(item.name),
                sign=sign,
                light=light,
                quiet=item.predicted,
            ),
        )


def label_text(item: _Item, *, scores: bool, compact: bool) -> tuple[str, str | None, str | None]:
    """What a label says: its text, the sign whose pictogram it shows, the light whose lamp it shows."""
    name, sign, light = short_name(item.name), None, None
    extra = []
    for key, value in item.attributes.items():
        if key == "sign" and isinstance(value, str):
            if sign_layers(value, 16) is None:
                name = short_name(value)
            else:
                sign, name = value, ""
        elif key == "light" and isinstance(value, str):
            light, name = value, value
        elif isinstance(value, str) and value:
            extra.append(value.replace("_", " "))
    number = "" if item.key is None else str(item.key[1])
    if compact:
        return (number if not sign else ""), sign, light if not sign else None
    parts = [name, number]
    if scores or item.key is None:
        parts.append(f"{item.score:.0%}")
    text = " ".join(part for part in parts if part)
    return " · ".join([text, *extra]) if extra else text, sign, light


def _point(space: ColourSpace, side: int, bgr: tuple[int, int, int]) -> Sprite:
    middle = side / 2
    return Sprite.compose(
        space,
        [
            (disc(side, side, middle, middle, middle) * np.float32(0.55), (22, 16, 12)),
            (disc(side, side, middle, middle, middle - 1), bgr),
        ],
    )
