"""The overlay of a stream: everything the stages said about a frame, drawn on a copy of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from functools import partial
from time import perf_counter

import numpy as np

from perception.errors import unknown
from perception.render.boxes import Outline
from perception.render.canvas import Canvas
from perception.render.chips import point
from perception.render.hud import CORNERS, FpsMeter, Hud
from perception.render.items import Item, Rect, visible_items
from perception.render.labeller import Labeller
from perception.render.palette import BGR, class_colour
from perception.render.road import Road
from perception.render.sprites import ColourSpace, SpriteCache
from perception.render.style import Style
from perception.render.trails import Trails, draw_trails
from perception.types import U8, FrameResult, Planes

_NO_TRAIL = frozenset({"traffic_light", "traffic_sign", "plate"})
_MIDDLE = frozenset({"face"})  # their trail runs through the middle, others' through the foot


class Overlay:
    """Draws results of one stream; keeps trails, label places and the frame rate between frames.

    Args:
        labels: write class and track id beside each object.
        scores: write the score as well. Objects without a track always show it.
        trails_s: seconds of a track's path to show; 0 for none.
        hud: True for a panel at the top left, False for none, or the corner: "bottom-right".
        lanes: draw lane lines and the drivable area.
        tentative: where objects are tracked, also outline detections that no track has taken up: objects
            on their first frames, and most of a detector's mistakes.
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
        tentative: bool = False,
        min_score: float = 0.0,
        tasks: Collection[str] | None = None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        if isinstance(hud, str) and hud not in CORNERS:
            raise ValueError(unknown("corner for hud", hud, CORNERS))
        if not 0 <= trails_s <= 60:
            raise ValueError(f"trails_s must be 0 to 60 seconds, but is {trails_s}")
        self.lanes = lanes
        self.tentative = tentative
        self.min_score = min_score
        self.tasks = None if tasks is None else frozenset(tasks)
        self._labeller = Labeller(scores=scores) if labels else None
        self._trails = Trails(trails_s) if trails_s > 0 else None
        self._hud = Hud("top-left" if hud is True else hud) if hud else None
        self._road = Road()
        self._fps = FpsMeter(clock)
        self._cache = SpriteCache()
        self._outlines: dict[tuple[BGR, str, int], Outline] = {}
        self._space: ColourSpace | None = None
        self._style = Style.of((1280, 720))

    def __call__(self, result: FrameResult) -> Planes:
        """The frame with everything drawn on it, as planes; the frame itself is not changed.

        Raises:
            ValueError: the frame has no planes because it came as a picture; call `bgr` for it.
        """
        if result.frame.planes is None:
            raise ValueError(
                "Overlay must be given a frame with planes, but this one is a BGR picture: "
                "call .bgr(result) for it"
            )
        canvas = Canvas.from_planes(result.frame.planes)
        self.draw(canvas, result)
        return canvas.to_planes()

    def bgr(self, result: FrameResult) -> U8:
        """The frame with everything drawn on it, (H, W, 3) uint8 BGR; the frame itself is not changed."""
        canvas = Canvas.from_bgr(result.frame.image)
        self.draw(canvas, result)
        return canvas.to_bgr()

    @property
    def label_rects(self) -> tuple[Rect, ...]:
        """Where the labels of the last frame are, xyxy in whole pixels."""
        return tuple(self._labeller.rects) if self._labeller is not None else ()

    def draw(self, canvas: Canvas, result: FrameResult) -> None:
        """Draw a result on a canvas of the frame's size."""
        style = Style.of(canvas.size)
        if canvas.space != self._space or style != self._style:  # what was made no longer fits
            self._space, self._style = canvas.space, style
            self._cache.clear()
            self._outlines.clear()
        frame = result.frame
        items = visible_items(result, min_score=self.min_score, tasks=self.tasks)
        if not self.tentative:
            items = [item for item in items if not item.tentative]
        if self.lanes and result.lanes is not None:
            self._road.draw(canvas, result.lanes, style)
        if self._trails is not None:
            self._draw_trails(canvas, self._trails, frame.time, items)
        for item in sorted(items, key=lambda item: item.box[3]):  # the nearest last, on top
            self._outline(canvas.space, item).draw(canvas, *item.box)
        self._draw_keypoints(canvas, result)
        obstacles: list[Rect] = []
        if self._hud is not None:
            rect = self._hud.compose(
                canvas.size,
                style,
                canvas.space,
                self._cache,
                time=frame.time,
                fps=self._fps.tick(),
                moving=frame.path is None,
                counts=Counter(item.name for item in items if not item.tentative),
            )
            obstacles = [rect] if rect is not None else []
        if self._labeller is not None:
            self._labeller.draw(
                canvas, items, style, self._cache, time=frame.time, obstacles=obstacles
            )
        if self._hud is not None:
            self._hud.draw(canvas)

    def _outline(self, space: ColourSpace, item: Item) -> Outline:
        kind = "predicted" if item.predicted else "tentative" if item.tentative else "plain"
        x1, y1, x2, y2 = item.box
        radius = round(min(self._style.radius, max(1.0, 0.2 * min(x2 - x1, y2 - y1))))
        key = (class_colour(item.name), kind, radius)
        outline = self._outlines.get(key)
        if outline is None:
            outline = self._outlines[key] = Outline(
                space,
                self._style,
                key[0],
                stroke=self._style.stroke if kind == "plain" else max(1, self._style.stroke - 1),
                radius=radius,
                dashed=kind == "predicted",
            )
        return outline

    def _draw_trails(self, canvas: Canvas, trails: Trails, time: float, items: list[Item]) -> None:
        followed = [item for item in items if item.key is not None and item.name not in _NO_TRAIL]
        anchors = []
        for item in followed:
            x1, y1, x2, y2 = item.box
            anchors.append((item.key, (x1 + x2) / 2, (y1 + y2) / 2 if item.name in _MIDDLE else y2))
        trails.update(time, anchors)
        paths = trails.paths(item.key for item in followed)
        colours = [class_colour(item.name) for item in followed]
        draw_trails(canvas, paths, colours, self._style.stroke)

    def _draw_keypoints(self, canvas: Canvas, result: FrameResult) -> None:
        largest = 2 * self._style.stroke + 3
        for task, found in result.detections.items():
            if found.keypoints.size == 0 or (self.tasks is not None and task not in self.tasks):
                continue
            for row in np.flatnonzero(found.score >= self.min_score):
                x1, y1, x2, y2 = found.xyxy[row].tolist()
                # On a small object the points would hide it.
                side = min(largest, round(min(x2 - x1, y2 - y1) / 10))
                if side < 3:
                    continue
                bgr = class_colour(found.classes[found.class_id[row]])
                key = ("point", bgr, side)
                sprite = self._cache.get(key, partial(point, canvas.space, side, bgr))
                for x, y, score in found.keypoints[row].tolist():
                    if score > 0 and abs(x) < 1e6 and abs(y) < 1e6:
                        canvas.blit(sprite, round(x - side / 2), round(y - side / 2))
