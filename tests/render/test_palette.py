"""Class colours stay apart, for every eye."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from perception.render.palette import CLASS_COLOURS, class_colour, lane_colour, short_name
from perception.types import ROAD_CLASSES

# Machado, Oliveira, Fernandes 2009, table of simulation matrices, severity 1.0; for linear RGB.
SIGHT = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}
# sRGB to XYZ, IEC 61966-2-1, white D65.
XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)


def lab(bgr: tuple[int, int, int], sight: str = "normal") -> np.ndarray:
    srgb = np.array(bgr[::-1]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(SIGHT[sight] @ linear, 0, 1)
    xyz = XYZ @ seen / [0.95047, 1.0, 1.08883]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("sight", SIGHT)
def test_any_two_class_colours_are_at_least_24_apart(sight: str) -> None:
    near = {
        (a, b): round(
            float(np.linalg.norm(lab(CLASS_COLOURS[a], sight) - lab(CLASS_COLOURS[b], sight))), 1
        )
        for a, b in combinations(CLASS_COLOURS, 2)
    }
    assert {pair: distance for pair, distance in near.items() if distance < 24} == {}


def test_every_class_of_the_record_has_a_colour_of_its_own() -> None:
    assert {*ROAD_CLASSES, "face", "vehicle"} <= set(CLASS_COLOURS)


def test_every_class_colour_carries_dark_text() -> None:
    assert min(lab(colour)[0] for colour in CLASS_COLOURS.values()) >= 53


def test_an_unknown_class_gets_the_same_colour_every_time() -> None:
    assert class_colour("giraffe") == class_colour("giraffe")
    assert class_colour("giraffe") in CLASS_COLOURS.values()


def test_short_names_are_words() -> None:
    assert short_name("traffic_sign") == "sign"
    assert short_name("stop_sign") == "stop sign"


def test_the_ego_lane_has_two_colours_and_the_others_one() -> None:
    assert len({lane_colour(-1), lane_colour(1), lane_colour(2)}) == 3
    assert lane_colour(-2) == lane_colour(3)
