from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perception.backends import TensorSpec
from perception.card import EngineCard
from perception.errors import EngineError
from perception.evaluation.lanes import filled, mask_iou
from perception.models import lanes
from perception.models.lane_lines import Stroke
from perception.models.lanes import (
    LaneFinder,
    LaneMasks,
    outlines,
    twinlitenet_card,
    with_sides,
)
from perception.preprocess import Mapping
from perception.types import Frame, Lane
from tests.lane_scenes import ColourEngine, draw, line

SIZE = (640, 360)


def finder(**settings: Any) -> LaneFinder:
    engine = ColourEngine()
    assert engine.card is not None
    return LaneFinder(engine, engine.card, **settings)


def distance(lane: Lane, points: Any) -> float:
    return float(
        np.abs(
            lane.points[:, 0] - np.interp(lane.points[:, 1], points[::-1, 1], points[::-1, 0])
        ).mean()
    )


@pytest.mark.parametrize("size", [(640, 360), (1280, 720), (960, 540), (640, 480), (480, 640)])
def test_lines_come_out_where_they_were_drawn_whatever_the_shape(size: tuple[int, int]) -> None:
    places = {-2: -0.6, -1: 0.1, 1: 0.9, 2: 1.6}
    lines = {side: line(place, size) for side, place in places.items()}
    lanes = finder()(Frame(draw(list(lines.values()), size)))
    assert [lane.side for lane in lanes.lines] == [-1, 1, -2, 2]
    for lane in lanes.lines:
        assert distance(lane, lines[lane.side]) < 0.004 * size[0]
        assert lane.points[0, 1] > lane.points[-1, 1], "near to far"


def test_the_drivable_area_has_the_outline_that_was_drawn() -> None:
    lanes = finder()(Frame(draw([], road=(0.0, 1.0))))
    sides = [line(place, SIZE) for place in (0.0, 1.0)]
    true = np.concatenate([sides[0], sides[1][::-1]]).astype(np.float32)
    assert len(lanes.drivable) == 1 and len(lanes.drivable[0]) < 40
    assert mask_iou(filled(lanes.drivable, SIZE), filled([true], SIZE)) > 0.97


def test_the_outline_is_the_same_whether_rows_without_area_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draw_random = np.random.default_rng(3)
    for low, high in ((0, 144), (80, 144), (30, 60), (143, 144), (0, 1)):
        drivable = draw_random.random((144, 256), np.float32) * 0.45
        drivable[low:high, 40:200] = 0.5 + 0.5 * draw_random.random((high - low, 160), np.float32)
        masks = LaneMasks(drivable, drivable, (0, 0), 2, Mapping((0.5, 0.5), (0, 0)), (1024, 576))
        monkeypatch.setattr(lanes, "MARGIN", 10)
        near = outlines(masks, drivable, min_score=0.5)
        monkeypatch.setattr(lanes, "MARGIN", 10_000)
        everywhere = outlines(masks, drivable, min_score=0.5)
        assert len(near) == len(everywhere)
        for a, b in zip(near, everywhere, strict=True):
            assert np.array_equal(a, b)


def test_an_empty_road_has_nothing() -> None:
    lanes = finder()(Frame(np.zeros((360, 640, 3), np.uint8)))
    assert lanes.lines == () and lanes.drivable == ()


def stroke(near: float, top: int, bottom: int, *, away: tuple[float, float] = (128, 60)) -> Stroke:
    rows = np.arange(top, bottom + 1)
    x = away[0] + (near - away[0]) * (rows - away[1]) / (143 - away[1])
    return Stroke(top, x.astype(np.float32), 0.9)


def test_a_far_fragment_is_numbered_by_where_its_line_leads() -> None:
    fragment = stroke(-250, 70, 82)
    # A crooked fragment: its own direction leads to the middle.
    crooked = Stroke(70, np.linspace(fragment.x[0] - 8, fragment.x[-1], 13).astype(np.float32), 0.9)
    sides = dict(
        (side, s)
        for s, side in with_sides([stroke(40, 66, 143), stroke(216, 66, 143), crooked], (144, 256))
    )
    assert sides[-2] is crooked and set(sides) == {-2, -1, 1}


def test_a_double_line_counts_once() -> None:
    lines = [stroke(40, 66, 143), stroke(52, 66, 143), stroke(216, 66, 143)]
    assert sorted(side for _, side in with_sides(lines, (144, 256))) == [-1, 1]


def test_changing_lane_moves_the_line_to_the_other_side() -> None:
    before = with_sides([stroke(110, 66, 143), stroke(240, 66, 143)], (144, 256))
    after = with_sides([stroke(146, 66, 143), stroke(270, 66, 143)], (144, 256))
    assert sorted(side for _, side in before) == [-1, 1]
    assert sorted(side for _, side in after) == [1, 2]


class TwinEngine(ColourEngine):
    """The same colours as TwinLiteNet would tell them."""

    path = Path("twin.onnx")

    def __init__(self, *, names: tuple[str, str] = ("da", "ll")) -> None:
        super().__init__()
        self.card = None
        self.inputs = (TensorSpec("images", np.dtype(np.float32), (1, 3, 360, 640)),)
        self.outputs = tuple(
            TensorSpec(name, np.dtype(np.float32), (1, 2, 360, 640)) for name in names
        )

    def infer(self, feeds: Any) -> Any:
        masks = super().infer(feeds)["masks"].repeat(2, axis=2).repeat(2, axis=3)
        pairs = [np.stack([-mask, mask], axis=1) / 2 for mask in (masks[:, 0], masks[:, 1])]
        return dict(zip([spec.name for spec in self.outputs], pairs, strict=True))


def test_a_public_twinlitenet_export_is_read() -> None:
    engine = TwinEngine()
    lines = [line(0.1, SIZE), line(0.9, SIZE)]
    lanes = LaneFinder(engine, twinlitenet_card(engine))(Frame(draw(lines)))
    assert [lane.side for lane in lanes.lines] == [-1, 1]
    assert max(distance(lane, lines[lane.side > 0]) for lane in lanes.lines) < 2
    assert len(lanes.drivable) == 1


def test_another_network_is_refused() -> None:
    with pytest.raises(EngineError, match="outputs da and ll"):
        twinlitenet_card(TwinEngine(names=("a", "b")))
    engine = TwinEngine()
    card = ColourEngine().card
    assert isinstance(card, EngineCard)
    with pytest.raises(EngineError, match="must have 1 outputs of 2 channels"):
        LaneFinder(engine, card)
