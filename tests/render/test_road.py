"""Lane lines and the drivable area."""

from __future__ import annotations

import numpy as np
import pytest

from perception.render.canvas import Canvas
from perception.render.palette import lane_colour
from perception.render.road import draw_road, ribbon, smooth
from perception.render.style import Style
from perception.types import Lane, Lanes

LINE = np.array([[100, 190], [130, 120], [150, 60]], np.float32)


def drawn(lanes: Lanes) -> np.ndarray:
    canvas = Canvas.from_bgr(np.full((200, 300, 3), 80, np.uint8))
    draw_road(canvas, lanes, Style.of((300, 200)))
    return canvas.to_bgr()


def test_smoothing_keeps_the_ends_and_stays_near() -> None:
    made = smooth(LINE)
    assert made[0].tolist() == [100, 190] and made[-1].tolist() == [150, 60]
    assert len(made) > 6 and np.abs(np.diff(made[:, 1])).max() < 60


def test_two_points_are_a_straight_line() -> None:
    assert np.array_equal(smooth(LINE[:2]), LINE[:2])


def test_a_ribbon_is_wide_near_and_narrow_far() -> None:
    outline = ribbon(np.array([[50, 100], [50, 50], [50, 0]], np.float32), 10, 2)
    widths = np.linalg.norm(outline[:3] - outline[:2:-1], axis=1)
    assert widths == pytest.approx([10, 6, 2])


def test_a_flat_line_gets_a_ribbon_too() -> None:
    assert np.isfinite(ribbon(np.array([[0, 5], [9, 5]], np.float32), 4, 2)).all()


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
