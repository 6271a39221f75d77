"""What labels say, and that they do not hop about."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from perception.render.canvas import Canvas
from perception.render.items import Item
from perception.render.labeller import Labeller, label_text
from perception.render.sprites import SpriteCache
from perception.render.style import Style


def item(name: str = "car", track: int | None = 12, **attributes: Any) -> Item:
    key = None if track is None else ("road", track)
    return Item(name, (100, 100, 200, 160), key, 0.873, False, False, attributes)


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (item(), ("car 12", "", "")),
        (item(track=None), ("car 87%", "", "")),
        (item("traffic_light", light="Red"), ("red 12", "", "red")),
        (item("traffic_sign", sign="speed_50"), ("12", "speed_50", "")),
        (item("traffic_sign", sign="zone_of_silence"), ("zone of silence 12", "", "")),
        (item("plate", text="B AB 123"), ("plate 12 · B AB 123", "", "")),
        (item("face", gaze="left", score=0.4, blink=True), ("face 12 · left", "", "")),
        (item("traffic_sign", sign=None), ("sign 12", "", "")),
    ],
)
def test_a_label_says_class_track_and_attributes(shown: Item, text: tuple[str, str, str]) -> None:
    assert label_text(shown, scores=False, compact=False) == text


def test_scores_are_written_when_asked_for() -> None:
    assert label_text(item(), scores=True, compact=False)[0] == "car 12 87%"


@pytest.mark.parametrize(
    ("shown", "text"),
    [(item(), "12"), (item(track=None), "car"), (item("traffic_sign", sign="stop"), "")],
)
def test_a_short_label_is_the_id_or_the_pictogram(shown: Item, text: str) -> None:
    assert label_text(shown, scores=False, compact=True)[0] == text


def test_a_label_does_not_hop_when_a_neighbour_passes() -> None:
    labeller, style, cache = Labeller(scores=False), Style.of((640, 480)), SpriteCache()
    places = []
    for step in range(60):
        x = 60 + 4 * step  # a large object that passes behind the first label
        passing = Item("truck", (x, 60, x + 120, 99), ("road", 2), 0.9, False, False, {})
        labeller.draw(
            Canvas.from_bgr(np.zeros((480, 640, 3), np.uint8)),
            [item(), passing],
            style,
            cache,
            time=step / 25,
            obstacles=[],
        )
        places.append(labeller._places["road", 12][0])
    assert np.count_nonzero(np.diff(places)) <= 3


def test_where_there_is_no_room_the_short_label_is_tried() -> None:
    size = (200, 60)
    labeller, style = Labeller(scores=False), Style.of(size)
    canvas = Canvas.from_bgr(np.zeros((60, 200, 3), np.uint8))
    shown = Item("motorcycle", (150, 20, 195, 50), ("road", 7), 0.9, False, False, {})
    widths = []
    for free_from in (0, 170, 195):
        obstacles = [(0, 0, free_from, 60)] if free_from else []
        labeller.draw(canvas, [shown], style, SpriteCache(), time=0.0, obstacles=obstacles)
        widths.append([x2 - x1 for x1, _, x2, _ in labeller.rects])
    assert widths[0][0] > widths[1][0] > 0
    assert widths[2] == []
