"""Outlines: sharp edges where the box is, cut at the picture's edges."""

from __future__ import annotations

import numpy as np
import pytest

from perception.render.boxes import Outline
from perception.render.canvas import Canvas
from perception.render.style import Style

STYLE = Style.of((1280, 720))
WHITE = (255, 255, 255)


def drawn(*box: int, stroke: int = 2, ground: int = 90, **options: bool) -> np.ndarray:
    canvas = Canvas.from_bgr(np.full((200, 300, 3), ground, np.uint8))
    Outline(canvas.space, STYLE, WHITE, stroke=stroke, radius=6, **options).draw(canvas, *box)
    return canvas.to_bgr()[:, :, 0]


@pytest.mark.parametrize("stroke", [1, 2, 3, 5])
def test_the_stroke_lies_inside_the_box_with_a_dark_rim_on_both_sides(stroke: int) -> None:
    row = drawn(50, 40, 201, 150, stroke=stroke)[95].astype(int)
    assert (row[50 : 50 + stroke] == 255).all() and (row[201 - stroke : 201] == 255).all()
    for x in (49, 50 + stroke, 201, 200 - stroke):
        assert row[x] < 90
    assert row[49 - STYLE.rim] == 90 and row[120] == 90


def test_corners_are_round() -> None:
    shown = drawn(50, 40, 201, 150)
    assert shown[40, 50] < 120 and shown[40, 60] == 255 and shown[50, 50] == 255


def test_a_dashed_outline_has_gaps_and_both_ends_of_an_edge_look_alike() -> None:
    row = drawn(50, 40, 201, 150, dashed=True)[40, 65:186] == 255
    assert 0.3 < row.mean() < 0.75
    assert np.abs(row.astype(int) - row[::-1]).mean() < 0.1


@pytest.mark.parametrize("box", [(100, 100, 101, 101), (100, 100, 104, 160), (100, 100, 180, 103)])
def test_a_tiny_box_is_a_small_ring_around_its_middle(box: tuple[int, int, int, int]) -> None:
    rows, columns = np.nonzero(drawn(*box) == 255)
    assert rows.mean() == pytest.approx((box[1] + box[3] - 1) / 2, abs=1)
    assert columns.mean() == pytest.approx((box[0] + box[2] - 1) / 2, abs=1)


def test_an_outline_around_the_picture_is_not_seen() -> None:
    assert (drawn(-64, -64, 364, 264) == 90).all()


def test_an_outline_over_the_edge_shows_its_inner_part() -> None:
    shown = drawn(-30, 50, 40, 120)
    assert shown[50, 5] == 255 and shown[85, 38] == 255 and (shown[60:110, 0] == 90).all()
