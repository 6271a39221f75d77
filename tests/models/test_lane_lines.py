from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from perception.models.lane_lines import find_strokes
from perception.types import F32

SIZE = (256, 144)  # width, height


def mask(*lines: npt.NDArray[np.float64], thickness: int = 3) -> F32:
    drawn = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    for points in lines:
        corners = np.round(points * 16).astype(np.int32)[:, None]
        cv2.polylines(drawn, [corners], False, 255, thickness, cv2.LINE_AA, 4)
    return drawn.astype(np.float32) / 255


def straight(
    near: float, far: float, top: float = 70, bottom: float = 143
) -> npt.NDArray[np.float64]:
    y = np.linspace(bottom, top, 60)
    return np.stack([far + (near - far) * (y - top) / (bottom - top), y], axis=1)


def error(stroke_x: F32, rows: npt.NDArray[np.int64], line: npt.NDArray[np.float64]) -> float:
    true = np.interp(rows, line[::-1, 1], line[::-1, 0])
    return float(np.abs(stroke_x - true).mean())


def test_nothing_is_found_in_an_empty_mask() -> None:
    assert find_strokes(np.zeros((144, 256), np.float32)) == []


def test_straight_lines_are_found_to_a_fraction_of_a_pixel() -> None:
    lines = [straight(40, 120), straight(220, 132)]
    strokes = find_strokes(mask(*lines))
    assert len(strokes) == 2
    for stroke in strokes:
        line = min(lines, key=lambda one: error(stroke.x, stroke.rows, one))
        assert error(stroke.x, stroke.rows, line) < 0.35
        assert len(stroke.x) > 65 and stroke.score > 0.7


def test_a_bend_is_followed() -> None:
    y = np.linspace(143, 66, 80)
    bend = np.stack([90 + 0.012 * (143 - y) ** 2, y], axis=1)
    (stroke,) = find_strokes(mask(bend))
    assert error(stroke.x, stroke.rows, bend) < 0.6


def test_dashes_become_one_line() -> None:
    whole = straight(60, 120)
    dashes = [whole[0:12], whole[20:30], whole[36:44], whole[48:60]]
    (stroke,) = find_strokes(mask(*dashes))
    assert len(stroke.x) > 65
    assert error(stroke.x, stroke.rows, whole) < 0.6


def test_dashes_of_two_lines_are_not_mixed() -> None:
    left, right = straight(60, 120), straight(190, 134)
    strokes = find_strokes(mask(left[:20], left[30:], right[:25], right[34:]))
    assert len(strokes) == 2
    for stroke in strokes:
        assert min(error(stroke.x, stroke.rows, one) for one in (left, right)) < 0.8


def test_a_stop_line_is_no_lane_line() -> None:
    across = np.array([[60.0, 120.0], [200.0, 121.0]])
    assert find_strokes(mask(across, thickness=5)) == []


def test_a_line_that_others_meet_far_away_keeps_its_place() -> None:
    lines = [straight(near, 128, top=66) for near in (10, 90, 170, 250)]
    strokes = find_strokes(mask(*lines))
    assert len(strokes) == 4
    for stroke in strokes:
        near = stroke.rows > 85
        line = min(lines, key=lambda one: error(stroke.x[near], stroke.rows[near], one))
        assert error(stroke.x[near], stroke.rows[near], line) < 0.5


def test_specks_are_nothing() -> None:
    rng = np.random.default_rng(0)
    specks = np.zeros((144, 256), np.float32)
    for _ in range(40):
        y, x = rng.integers(2, 140), rng.integers(2, 250)
        specks[y : y + 3, x : x + 3] = 0.9
    assert find_strokes(specks) == []


def test_lines_smoothed_together_are_what_each_is_alone() -> None:
    long, dash, bend = straight(40, 120), straight(90, 110, 100, 112), straight(230, 150, 60)
    bend[:, 0] += 12 * np.sin(np.linspace(0, 2, 60))
    together = {(s.top, len(s.x)): s for s in find_strokes(mask(long, dash, bend))}
    assert len(together) == 3
    for line in (long, dash, bend):
        (alone,) = find_strokes(mask(line))
        same = together[alone.top, len(alone.x)]
        assert np.abs(same.x - alone.x).max() < 1e-3
        assert abs(same.score - alone.score) < 1e-6
