"""Engines are opened as their files are, and timed in turns."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("onnxruntime")

from engines.timing import Candidate, costs, milliseconds, open_judged, open_ours
from perception.errors import InputError
from perception.types import Detections
from tests.lane_scenes import ColourEngine

WEIGHTS = Path(__file__).parents[2] / "engines/weights"


def test_times_are_taken_in_turns() -> None:
    engines = [ColourEngine(), ColourEngine()]
    assert all(cost > 0 for cost in milliseconds([(one, (640, 352)) for one in engines], runs=3))
    assert all(one.runs == 3 for one in engines)


def test_a_candidate_that_runs_thrice_costs_three_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engines.timing.milliseconds", lambda engines, runs: [2.0] * len(engines))

    def nothing(_: object) -> Detections:
        return Detections.empty(("face",))

    found = [Candidate(f"{n}", ColourEngine(), nothing, (640, 352), runs=n) for n in (1, 3)]
    assert costs(found) == {"1": 2.0, "3": 6.0}


def test_figures_are_of_the_file_itself_whatever_is_faster_here() -> None:
    engine, card = open_ours(WEIGHTS / "road.onnx", threads=1)
    assert engine.backend == "onnxruntime" and engine.path.name == "road.onnx"
    assert card.name == "road"


def test_an_engine_without_a_card_is_named(shared: Path) -> None:
    path = shared / "weights/yolox_nano.onnx"
    assert open_judged(path, threads=1).card is None
    with pytest.raises(InputError, match="carries no card"):
        open_ours(path, threads=1)
