"""The typeface: every character, at every size."""

from __future__ import annotations

import string

import numpy as np
import pytest

from perception.render.font import line_metrics, text_mask

DRAWN = string.ascii_letters + string.digits + ".,:;-+=_/\\|%()[]<>#*'\"!?&°·×"
BOX = "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("cap", [7, 11, 25])
def test_every_character_has_a_picture_of_its_own(cap: int) -> None:
    pictures = {c: text_mask(c, cap) for c in DRAWN}
    assert all(mask.max() > 0.3 for mask in pictures.values())
    assert len({(m.shape, m.tobytes()) for m in pictures.values()}) == len(DRAWN)


@pytest.mark.parametrize("cap", [7, 9, 14, 25, 40])
def test_capitals_are_as_high_as_asked(cap: int) -> None:
    ascent, _ = line_metrics(cap)
    rows = np.flatnonzero(text_mask("H", cap).max(axis=1) > 0.5)
    assert (rows[0], rows[-1]) == (ascent - cap, ascent - 1)


def test_text_grows_with_its_size() -> None:
    widths = [text_mask("car 12", cap).shape[1] for cap in (7, 11, 14, 25)]
    assert widths == sorted(set(widths))
    assert widths[-1] / widths[0] == pytest.approx(25 / 7, rel=0.08)


@pytest.mark.parametrize("cap", [7, 11, 25])
def test_counters_do_not_wobble(cap: int) -> None:
    assert len({text_mask(f"00:0{digit}.{digit}", cap).shape for digit in range(10)}) == 1


def test_coverage_lies_between_nothing_and_everything() -> None:
    mask = text_mask("Quick & brown: 50%", 11)
    assert mask.dtype == np.float32
    assert (mask.min(), mask.max()) == (0.0, 1.0)


def test_small_upright_stems_are_sharp() -> None:
    columns = text_mask("lll", 7)[2:6].mean(axis=0)
    assert sorted(columns)[-3:] == pytest.approx([1.0, 1.0, 1.0], abs=0.01)


def test_accents_are_dropped_and_unknown_characters_become_a_box() -> None:
    assert np.array_equal(text_mask("é", 11), text_mask("e", 11))
    assert np.array_equal(text_mask("皖A", 11), text_mask(BOX + "A", 11))


def test_no_text_has_no_width() -> None:
    assert text_mask("", 11).shape == (sum(line_metrics(11)), 0)
