"""The panel: its clock, its frame rate, its rows, its place."""

from __future__ import annotations

import pytest

from perception.render.hud import CORNERS, FpsMeter, Hud, clock_text
from perception.render.sprites import ColourSpace, SpriteCache
from perception.render.style import Style


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "00:00.0"),
        (0.3, "00:00.3"),
        (59.96, "00:59.9"),
        (60.0, "01:00.0"),
        (3599.99, "59:59.9"),
        (3600.0, "1:00:00.0"),
        (-2.5, "-00:02.5"),
        (-0.01, "00:00.0"),
    ],
)
def test_the_clock_counts_tenths_and_never_rounds_up(seconds: float, text: str) -> None:
    assert clock_text(seconds) == text


def test_the_rate_is_measured_over_two_seconds_and_shown_twice_a_second() -> None:
    now = [0.0]
    meter = FpsMeter(lambda: now[0])
    shown = []
    for step in [0.02] * 150 + [0.05] * 100:
        shown.append(meter.tick())
        now[0] += step
    assert shown[0] == 0
    assert shown[149] == pytest.approx(50)
    assert shown[-1] == pytest.approx(20)
    assert len(set(shown)) < 20


def test_a_rate_is_not_known_from_frames_at_the_same_time() -> None:
    meter = FpsMeter(lambda: 5.0)
    assert [meter.tick() for _ in range(10)] == [0.0] * 10


def test_a_class_stays_listed_for_a_while_with_a_count_of_zero() -> None:
    hud = Hud("top-left")
    assert hud.rows(0.0, {"person": 1, "car": 2}) == [("car", 2), ("person", 1)]
    assert hud.rows(1.5, {"car": 1}) == [("car", 1), ("person", 0)]
    assert hud.rows(2.5, {"car": 1}) == [("car", 1)]


def test_going_back_in_time_forgets_the_rows() -> None:
    hud = Hud("top-left")
    hud.rows(50.0, {"car": 1})
    assert hud.rows(0.0, {"bus": 1}) == [("bus", 1)]


def panel(corner: str, size: tuple[int, int], counts: dict[str, int], **options: object):
    shown: dict[str, object] = {"time": 1.0, "fps": 30.0, "moving": True, **options}
    return Hud(corner).compose(
        size, Style.of(size), ColourSpace(), SpriteCache(), counts=counts, **shown
    )


@pytest.mark.parametrize("corner", CORNERS)
@pytest.mark.parametrize("size", [(320, 240), (540, 960), (1280, 720), (3840, 2160)])
def test_the_panel_lies_in_its_corner(corner: str, size: tuple[int, int]) -> None:
    x1, y1, x2, y2 = panel(corner, size, {"car": 3, "bus": 1})
    assert x1 >= 0 and y1 >= 0 and x2 <= size[0] and y2 <= size[1]
    assert (x1 > size[0] - x2) == corner.endswith("right")
    assert (y1 > size[1] - y2) == corner.startswith("bottom")


def test_many_classes_do_not_fill_a_small_picture() -> None:
    counts = {f"class {n}": n for n in range(1, 30)}
    _, y1, _, y2 = panel("top-left", (320, 240), counts)
    assert y2 - y1 <= 0.5 * 240


def test_a_picture_too_small_for_the_panel_has_none() -> None:
    assert panel("top-left", (48, 32), {"car": 1}) is None


def test_a_single_picture_shows_neither_time_nor_rate() -> None:
    assert panel("top-left", (640, 480), {}, moving=False) is None
