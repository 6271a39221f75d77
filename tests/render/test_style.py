"""Sizes grow smoothly with the picture."""

from __future__ import annotations

from itertools import pairwise

import pytest

from perception.render.style import Style


def test_text_and_lines_grow_with_the_picture_and_never_jump() -> None:
    styles = [Style.of((side * 16 // 9, side)) for side in range(120, 2161)]
    for name in ("cap", "stroke", "rim", "pad_x", "pad_y", "gap"):
        values = [getattr(style, name) for style in styles]
        assert values == sorted(values)
        assert max(b - a for a, b in pairwise(values)) <= 1
        assert values[0] >= 1


@pytest.mark.parametrize(
    ("size", "cap", "stroke"), [((320, 240), 7, 1), ((1280, 720), 11, 2), ((3840, 2160), 25, 5)]
)
def test_sizes_that_were_found_good(size: tuple[int, int], cap: int, stroke: int) -> None:
    style = Style.of(size)
    assert (style.cap, style.stroke) == (cap, stroke)


def test_portrait_is_styled_as_landscape() -> None:
    assert Style.of((540, 960)) == Style.of((960, 540))
