"""Paint: the same on planes and on BGR, exact where there is none, and gone when it is mixed anew."""

from __future__ import annotations

import numpy as np
import pytest

from perception.colour import bgr_to_planes, planes_to_bgr
from perception.render.canvas import Canvas
from perception.render.paint import Paint
from tests.render import scenes

COLOUR = (200, 100, 60)


def square(x1: float, y1: float, x2: float, y2: float) -> np.ndarray:
    return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], np.float32)


def laid(canvas: Canvas, *outlines: np.ndarray, coverage: int = 128) -> Paint:
    paint = Paint(canvas.space, canvas.size)
    paint.mix([(outline, outline, COLOUR, coverage) for outline in outlines])
    paint.lay(canvas)
    return paint


def test_a_colour_is_mixed_with_what_lies_below() -> None:
    image = np.full((60, 80, 3), 40, np.uint8)
    bgr, ycc = Canvas.from_bgr(image), Canvas.from_planes(bgr_to_planes(image))
    for canvas in (bgr, ycc):
        laid(canvas, square(10, 12, 40, 32))
    inside = bgr.to_bgr()[16:28, 14:36].reshape(-1, 3).mean(axis=0)
    assert inside == pytest.approx([120, 70, 50], abs=1.5)
    assert planes_to_bgr(ycc.to_planes())[20, 20] == pytest.approx(inside, abs=4)
    assert (bgr.to_bgr()[:10] == 40).all() and (bgr.to_bgr()[:, :8] == 40).all()


@pytest.mark.parametrize("size", [(320, 240), (321, 241), (1, 1), (3, 90)])
def test_pixels_without_paint_stay_bit_for_bit(size: tuple[int, int]) -> None:
    source = scenes.planes(*size)
    canvas = Canvas.from_planes(source)
    laid(canvas, square(40, 40, 60, 60), square(200, 50, 260, 70))
    back = canvas.to_planes()
    allowed = np.zeros((size[1], size[0]), bool)
    for x1, y1, x2, y2 in ((40, 40, 60, 60), (200, 50, 260, 70)):
        allowed[y1 - 4 : y2 + 4, x1 - 4 : x2 + 4] = True
    for name, step in (("y", 1), ("u", 2), ("v", 2)):
        wrong = (getattr(back, name) != getattr(source, name)) & ~allowed[::step, ::step]
        assert not wrong.any()


def test_luma_and_chroma_lie_on_each_other() -> None:
    black = bgr_to_planes(np.zeros((200, 240, 3), np.uint8), matrix="bt709", full_range=True)
    canvas = Canvas.from_planes(black)
    slanted = np.array([[20, 180], [120, 20], [130, 20], [30, 180]], np.float32)
    laid(canvas, slanted, coverage=255)
    shown = canvas.to_planes()
    middles = []
    for plane, step in ((shown.y.astype(float), 1), (np.abs(shown.u.astype(float) - 128), 2)):
        plane = plane[30 // step : 170 // step]  # the ends are blunt
        across = np.arange(plane.shape[1]) * step + step / 2
        middles.append((plane * across).sum() / plane.sum())
    assert middles[0] == pytest.approx(middles[1], abs=0.5)


def test_mixing_anew_leaves_nothing_of_the_old_paint() -> None:
    source = scenes.planes(320, 240)
    canvas = Canvas.from_planes(source)
    paint = laid(Canvas.from_planes(source), square(40, 40, 300, 200))
    paint.mix([])
    paint.lay(canvas)
    back = canvas.to_planes()
    assert all(np.array_equal(getattr(back, k), getattr(source, k)) for k in "yuv")
    outline = square(100, 100, 160, 140)
    paint.mix([(outline, outline, COLOUR, 90)])
    paint.lay(canvas)
    fresh = Canvas.from_planes(source)
    laid(fresh, outline, coverage=90)
    a, b = canvas.to_planes(), fresh.to_planes()
    assert all(np.array_equal(getattr(a, k), getattr(b, k)) for k in "yuv")
