from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from engines.attributes import Tally, count, judge
from perception.errors import InputError
from perception.types import Detections, Frame, FrameResult, Tracks

CLASSES = ("traffic_light", "traffic_sign")


def tracked(boxes: list[list[int]], kinds: list[int], said: list[dict[str, str]]) -> FrameResult:
    n = len(boxes)
    result = FrameResult(Frame(np.zeros((100, 200, 3), np.uint8)))
    result.detections["road"] = Detections(np.array(boxes), np.ones(n), np.array(kinds), CLASSES)
    result.tracks["road"] = Tracks(
        np.arange(n), np.array(boxes), np.zeros((n, 2)), np.ones(n), np.arange(n), np.ones(n),
        np.array(kinds), CLASSES, dict(enumerate(said)),
    )  # fmt: skip
    return result


def test_objects_are_counted_once_as_right_wrong_silent_or_refused() -> None:
    boxes = [[20 * n, 10, 20 * n + 15, 40] for n in range(6)]
    kinds = [1, 1, 1, 1, 1, 0]
    said = [
        {"sign": "stop"}, {"sign": "yield"}, {}, {}, {"sign": "speed_80"}, {"light": "yellow"},
    ]  # fmt: skip
    truth = [
        {"xyxy": box, "attributes": {name: value}}
        for box, (name, value) in zip(
            boxes,
            [("sign", v) for v in ("stop", "stop", "snow", "direction", "speed_90")]
            + [("light", "red_yellow")],
            strict=True,
        )
    ]
    tallies = {"sign": Tally(), "light": Tally()}
    count(tallies, tracked(boxes, kinds, said), truth, 12)
    signs, lights = tallies["sign"], tallies["light"]
    assert (signs.right, signs.wrong, signs.silent) == (1, 1, 1)
    assert (signs.refused, signs.unasked) == (1, 1)
    assert signs.confusions == {("stop", "yield"): 1}
    assert lights.right == 1
    assert signs.row() == "0.500 of 2 | 0.667 of 3 | 0.500 of 2 | stop as yield 1"


def test_small_and_unmatched_objects_do_not_count() -> None:
    result = tracked([[0, 0, 8, 8], [50, 50, 80, 90]], [1, 1], [{"sign": "stop"}] * 2)
    truth = [{"xyxy": [0, 0, 8, 8], "attributes": {"sign": "stop"}}]
    tallies = {"sign": Tally(), "light": Tally()}
    count(tallies, result, truth, 12)
    assert tallies == {"sign": Tally(), "light": Tally()}


def test_a_clip_without_truth_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.json: no such file; the truth lies beside"):
        judge(tmp_path / "a.mp4")
