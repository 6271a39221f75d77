"""Lane lines and the drivable area."""

from __future__ import annotations

import numpy as np
import pytest

from perception.colour import bgr_to_planes
from perception.render import road
from perception.render.canvas import Canvas
from perception.render.palette import lane_colour
from perception.render.road import Road, ribbon, smooth
from perception.render.style import Style
from perception.types import Lane, Lanes

LINE = np.array([[100, 190], [130, 120], [150, 60]], np.float32)


def drawn(lanes: Lanes) -> np.ndarray:
    canvas = Canvas.from_bgr(np.full((200, 300, 3), 80, np.uint8))
    Road().draw(canvas, lanes, Style.of((300, 200)))
    return canvas.to_bgr()


def test_smoothing_keeps_the_ends_and_stays_near() -> None:
    made = smooth(LINE)
    assert made[0].tolist() == [100, 190] and made[-1].tolist() == [150, 60]
    assert len(made) > 6 and np.abs(np.diff(made[:, 1])).max() < 60


def test_two_points_are_a_straight_line() -> None:
    assert np.array_equal(smooth(LINE[:2]), LINE[:2])


def test_a_ribbon_is_wide_near_and_narrow_far() -> None:
    line = np.array([[50, 100], [50, 50], [50, 0]], np.float32)
    wide, narrow = ribbon(line, 10, 2, less=1)
    for outline, wanted in ((wide, [10, 6, 2]), (narrow, [9, 5, 1])):
        assert np.linalg.norm(outline[:3] - outline[:2:-1], axis=1) == pytest.approx(wanted)


def test_a_flat_line_gets_a_ribbon_too() -> None:
    assert np.isfinite(ribbon(np.array([[0, 5], [9, 5]], np.float32), 4, 2)[0]).all()


@pytest.mark.parametrize("side", [-1, 1, 2])
def test_a_lane_line_has_the_colour_of_its_side(side: int) -> None:
    shown = drawn(Lanes((Lane(LINE, side, 0.9),)))
    colour = shown[120, 129].astype(float) - 80
    wanted = np.array(lane_colour(side)) - 80.0
    assert colour @ wanted / np.linalg.norm(colour) / np.linalg.norm(wanted) > 0.98
    assert (shown[:, 250] == 80).all()


def test_the_drivable_area_is_a_faint_tint() -> None:
    area = np.array([[50, 190], [120, 80], [180, 80], [250, 190]], np.float32)
    shown = drawn(Lanes(drivable=(area,)))
    assert 0 < np.abs(shown[150, 150].astype(int) - 80).max() < 30
    assert (shown[20] == 80).all()


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((0, 2)),
        np.array([[5, 5]]),
        np.full((4, 2), np.nan),
        np.full((3, 2), 7.0),
        np.array([[-9e8, -9e8], [9e8, 9e8]]),
        np.array([[400, 300], [500, 350]]),
    ],
)
def test_broken_lines_and_areas_do_no_harm(points: np.ndarray) -> None:
    points = points.astype(np.float32)
    assert drawn(Lanes((Lane(points, -1, 0.5),), (points,))).shape == (200, 300, 3)


def test_paint_is_mixed_once_for_the_same_lanes_and_anew_for_others(monkeypatch) -> None:
    mixed = []
    monkeypatch.setattr(road, "shapes", lambda lanes, style: mixed.append(lanes) or [])
    first, second = Lanes((Lane(LINE, -1, 0.9),)), Lanes((Lane(LINE, -1, 0.9),))
    painter, canvas = Road(), Canvas.from_bgr(np.zeros((200, 300, 3), np.uint8))
    for lanes in (first, first, second, second, first):
        painter.draw(canvas, lanes, Style.of((300, 200)))
    assert list(map(id, mixed)) == [id(first), id(second), id(first)]


def test_kept_paint_looks_as_paint_that_was_just_mixed() -> None:
    area = np.array([[50, 190], [120, 80], [180, 80], [250, 190]], np.float32)
    scenes = [
        Lanes((Lane(LINE, -1, 0.9),), (area,)),
        Lanes((Lane(LINE + 40, 1, 0.9),)),
        Lanes(),
    ]
    painter = Road()
    for lanes in (scenes[0], scenes[0], scenes[1], scenes[1], scenes[2], scenes[0]):
        canvas = Canvas.from_bgr(np.full((200, 300, 3), 80, np.uint8))
        painter.draw(canvas, lanes, Style.of((300, 200)))
        assert np.array_equal(canvas.to_bgr(), drawn(lanes))


def test_a_canvas_of_another_size_or_colour_space_gets_paint_of_its_own() -> None:
    lanes, painter = Lanes((Lane(LINE, -1, 0.9),)), Road()
    large = Canvas.from_bgr(np.full((400, 600, 3), 80, np.uint8))
    on_planes = Canvas.from_planes(bgr_to_planes(np.full((200, 300, 3), 80, np.uint8)))
    for canvas in (large, on_planes, large):
        before = canvas.planes[0][0].copy()
        painter.draw(canvas, lanes, Style.of(canvas.size))
        assert (canvas.planes[0][0] != before).any()
