"""One drawing code for planes and BGR: same places, same colours, cut at the picture's edges."""

from __future__ import annotations

import numpy as np
import pytest

from perception.colour import bgr_to_planes
from perception.render.canvas import Canvas
from perception.render.palette import CLASS_COLOURS
from perception.render.sprites import ColourSpace, Sprite
from perception.types import Planes
from tests.render import scenes

SPACES = [(m, full) for m in ("bt601", "bt709", "bt2020") for full in (False, True)]


@pytest.mark.parametrize(("matrix", "full_range"), SPACES)
@pytest.mark.parametrize("name", ["car", "person", "traffic_light"])
def test_colours_are_converted_as_the_frame_says(name: str, matrix: str, full_range: bool) -> None:
    bgr = CLASS_COLOURS[name]
    flat = np.full((4, 4, 3), bgr, np.uint8)
    expected = bgr_to_planes(flat, matrix=matrix, full_range=full_range)
    values = ColourSpace(matrix, full_range).values(bgr)
    assert values == pytest.approx((expected.y[0, 0], expected.u[0, 0], expected.v[0, 0]), abs=1.01)


@pytest.mark.parametrize(("width", "height"), [(64, 48), (65, 49), (2, 2), (1, 1), (321, 241)])
def test_a_canvas_nobody_drew_on_gives_the_planes_back_bit_for_bit(width: int, height: int) -> None:
    source = scenes.planes(width, height, matrix="bt601", full_range=True)
    back = Canvas.from_planes(source).to_planes()
    assert (back.matrix, back.full_range) == ("bt601", True)
    for name in ("y", "u", "v"):
        assert np.array_equal(getattr(back, name), getattr(source, name))
        assert not np.shares_memory(getattr(back, name), getattr(source, name))


def test_planes_with_padded_rows_are_read_right() -> None:
    wide = np.arange(48 * 80, dtype=np.uint8).reshape(48, 80)
    source = Planes(wide[:, :64], wide[:24, :32], wide[24:, 10:42], "bt709")
    back = Canvas.from_planes(source).to_planes()
    assert np.array_equal(back.y, source.y)
    assert np.array_equal(back.u, source.u) and np.array_equal(back.v, source.v)


def test_an_unknown_matrix_is_named() -> None:
    source = scenes.planes(16, 16)
    with pytest.raises(ValueError, match="must be one of bt601, bt709, bt2020, but is 'bt999'"):
        Canvas.from_planes(Planes(source.y, source.u, source.v, "bt999"))


@pytest.mark.parametrize("x", [10, 11])
@pytest.mark.parametrize("y", [20, 21])
def test_a_sprite_lies_where_it_was_put_on_every_plane(x: int, y: int) -> None:
    red = (40, 40, 230)
    mask = np.ones((9, 13), np.float32)
    black = bgr_to_planes(np.zeros((60, 80, 3), np.uint8), matrix="bt709", full_range=True)
    canvas = Canvas.from_planes(black)
    canvas.blit(Sprite.compose(canvas.space, [(mask, red)]), x, y)
    shown = canvas.to_planes()
    rows, columns = np.nonzero(shown.y)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (y, y + 8, x, x + 12)
    # A block of chroma is as red as the share of its four pixels that is covered.
    share = np.zeros((60, 80))
    share[y : y + 9, x : x + 13] = 1
    share = share.reshape(30, 2, 40, 2).mean(axis=(1, 3))
    full = canvas.space.values(red)[2] - 128
    assert np.abs((shown.v.astype(float) - 128) - share * full).max() <= 1


@pytest.mark.parametrize(("x", "y"), [(-7, -5), (-6, 20), (75, 56), (76, -4), (20, 57)])
def test_a_sprite_over_the_edge_is_cut_and_not_moved(x: int, y: int) -> None:
    rng = np.random.default_rng(3)
    mask = rng.uniform(0, 1, (10, 12)).astype(np.float32)
    small = Canvas.from_planes(scenes.planes(80, 60))
    sprite = Sprite.compose(small.space, [(mask, (20, 200, 90))])
    # The same on a larger canvas of which the small one is a part.
    source = small.to_planes()
    pad = [((20, 20), (20, 20)), ((10, 10), (10, 10))]
    large = Canvas.from_planes(
        Planes(
            np.pad(source.y, pad[0]), np.pad(source.u, pad[1]), np.pad(source.v, pad[1]), "bt709"
        )
    )
    small.blit(sprite, x, y)
    large.blit(sprite, x + 20, y + 20)
    a, b = small.to_planes(), large.to_planes()
    assert np.array_equal(a.y, b.y[20:-20, 20:-20])
    assert np.array_equal(a.u, b.u[10:-10, 10:-10]) and np.array_equal(a.v, b.v[10:-10, 10:-10])


def test_what_lies_outside_leaves_no_trace() -> None:
    source = scenes.planes(80, 60)
    canvas = Canvas.from_planes(source)
    sprite = Sprite.compose(canvas.space, [(np.ones((10, 12), np.float32), (0, 0, 255))])
    for x, y in ((-12, 0), (80, 0), (0, -10), (0, 60), (-500, 900)):
        canvas.blit(sprite, x, y)
    for place in ((-20, 10, 0, 30), (80, 10, 120, 30), (10, 60, 30, 90)):
        canvas.stripe(*place, (0, 0, 255), rim=(0, 1), dark=0.5)
    assert np.array_equal(canvas.to_planes().y, source.y)
    assert np.array_equal(canvas.to_planes().v, source.v)


def test_a_transparent_sprite_changes_nothing() -> None:
    source = scenes.planes(80, 60)
    canvas = Canvas.from_planes(source)
    canvas.blit(Sprite.compose(canvas.space, [(np.zeros((9, 9), np.float32), (0, 0, 255))]), 5, 5)
    back = canvas.to_planes()
    assert all(np.array_equal(getattr(back, k), getattr(source, k)) for k in "yuv")


def test_layers_are_painted_over_each_other() -> None:
    half, full = np.full((4, 4), 0.5, np.float32), np.ones((4, 4), np.float32)
    canvas = Canvas.from_bgr(np.zeros((4, 4, 3), np.uint8))
    canvas.blit(Sprite.compose(canvas.space, [(full, (200, 0, 0)), (half, (0, 100, 0))]), 0, 0)
    assert canvas.to_bgr()[1, 1].tolist() == pytest.approx([100, 50, 0], abs=1)
