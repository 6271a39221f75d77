from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perception.errors import ConfigError
from perception.models.lane_stage import LaneStage
from perception.pipeline import Pipeline
from perception.registry import construct, stage_class
from perception.sinks.jsonl import record
from perception.types import Frame, FrameResult
from tests.lane_scenes import ColourEngine, draw, line

SIZE = (640, 360)


def see(stage: LaneStage, image: Any, time: float, path: str | None = None) -> FrameResult:
    result = FrameResult(frame(image, time, path))
    stage(result)
    return result


def frame(image: Any, time: float, path: str | None = None) -> Frame:
    pts = round(time * 1000)
    return Frame(image, index=pts, pts=pts, time_base=Fraction(1, 1000), path=path)


def road(shift: float = 0.0) -> Any:
    return draw([line(place + shift, SIZE) for place in (0.1, 0.9)])


def test_the_record_has_the_lines_with_sides_and_the_area() -> None:
    result = see(LaneStage(ColourEngine()), road(), 0.0)
    lanes = json.loads(json.dumps(record(result)))["lanes"]
    assert [(entry["side"], "kind" in entry) for entry in lanes] == [
        (-1, False),
        (1, False),
        (0, True),
    ]
    assert all(0 < entry["score"] <= 1 and len(entry["points"]) >= 3 for entry in lanes)


def test_it_looks_only_every_so_often_and_shows_the_last_between() -> None:
    engine = ColourEngine()
    pipeline = Pipeline([LaneStage(engine)], every_s={"lanes": 0.1})
    results = [pipeline(frame(road(), index * 0.04)) for index in range(10)]
    assert engine.runs == 4  # at 0, 0.12, 0.24 and 0.36 seconds
    assert all(result.lanes is not None and len(result.lanes.lines) == 2 for result in results)


def test_every_picture_is_looked_at_by_itself() -> None:
    engine = ColourEngine()
    stage = LaneStage(engine)
    see(stage, road(), 0.0, path="a.png")
    shown = see(stage, draw([], road=None), 0.0, path="b.png")
    assert engine.runs == 2
    assert shown.lanes is not None and shown.lanes.lines == ()


def test_time_that_goes_back_starts_afresh() -> None:
    engine = ColourEngine()
    stage = LaneStage(engine)
    see(stage, road(), 5.0)
    result = see(stage, draw([], road=None), 0.0)
    assert engine.runs == 2
    assert result.lanes is not None and result.lanes.lines == () and result.lanes.drivable == ()


def test_a_lane_change_is_not_lagged_behind() -> None:
    stage = LaneStage(ColourEngine())
    for index in range(15):
        result = see(stage, road(0.008 * index), index * 0.04)
    assert result.lanes is not None
    for lane in result.lanes.lines:
        true = line((0.1, 0.9)[lane.side > 0] + 0.008 * 14, SIZE)
        off = lane.points[:, 0] - np.interp(lane.points[:, 1], true[::-1, 1], true[::-1, 0])
        assert np.abs(off).max() < 5, "on the paint, although it moves 130 pixels a second"


def test_the_registry_builds_it_and_names_what_is_wrong() -> None:
    cls = stage_class("lanes", where="here")
    stage = construct(cls, {"engine": ColourEngine(), "settle_s": 0.1}, where="here")
    assert stage.writes == ("lanes",)
    with pytest.raises(ConfigError, match="settle_s must be 0 to 60 seconds, but is -1"):
        construct(cls, {"engine": ColourEngine(), "settle_s": -1}, where="here")
    with pytest.raises(ConfigError, match="min_score must be between 0 and 1"):
        LaneStage(ColourEngine(), min_score=1.0)
    with pytest.raises(ConfigError, match="did you mean 'twinlitenet'"):
        LaneStage(ColourEngine(), family="twinlitnet")


def test_an_engine_of_another_kind_is_refused(bright_engine: Path) -> None:
    with pytest.raises(ConfigError, match="'anchor_free' engine, and a lane stage needs"):
        LaneStage(bright_engine, backend="onnxruntime")
    nameless = ColourEngine()
    nameless.card = None
    with pytest.raises(ConfigError, match='family = "twinlitenet"'):
        LaneStage(nameless)
