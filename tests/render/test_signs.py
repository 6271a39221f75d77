"""Pictograms of signs: each kind its own, at every size."""

from __future__ import annotations

import numpy as np
import pytest

from perception.render.canvas import Canvas
from perception.render.signs import has_pictogram, sign_layers
from perception.render.sprites import Sprite

KINDS = (
    "speed_30 speed_50 speed_120 end_80 end_no_overtaking stop yield no_entry priority_road "
    "no_vehicles no_overtaking keep_right keep_left turn_left turn_right ahead_only road_work".split()
)


def shown(kind: str, side: int) -> bytes:
    canvas = Canvas.from_bgr(np.full((side, side, 3), 255, np.uint8))
    canvas.blit(Sprite.compose(canvas.space, sign_layers(kind, side)), 0, 0)
    return canvas.to_bgr().tobytes()


@pytest.mark.parametrize("side", [11, 17, 41])
def test_different_signs_look_different(side: int) -> None:
    assert len({shown(kind, side) for kind in KINDS}) == len(KINDS)


@pytest.mark.parametrize(
    ("kind", "same"), [("speed_limit_50", "speed_50"), ("50", "speed_50"), ("give_way", "yield")]
)
def test_other_names_of_a_sign_give_the_same_picture(kind: str, same: str) -> None:
    assert shown(kind, 17) == shown(same, 17)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_picture_inside_its_square(kind: str) -> None:
    assert has_pictogram(kind)
    for mask, _ in sign_layers(kind, 17):
        assert mask.shape == (17, 17) and mask.min() >= 0 and mask.max() <= 1


def test_an_unknown_kind_has_none() -> None:
    assert not has_pictogram("zone_of_silence")
    assert sign_layers("zone_of_silence", 17) == []
