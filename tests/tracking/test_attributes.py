from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from perception.config import Config
from perception.errors import ConfigError
from perception.models.classifier import Classifier
from perception.pipeline import Pipeline
from perception.tracking.attributes import ClassifierStage
from perception.types import Detections, Frame, FrameResult, Tracks

CLASSES = ("car", "traffic_light")
RED, GREEN, GREY = (0, 0, 255), (0, 255, 0), (128, 128, 128)
LIGHTS = {"classes": ["traffic_light"], "again_s": 0.1, "memory_s": 0.15, "keep_s": 1.0}


class Counting:
    """Counts the crops of every call."""

    def __init__(self, classifier: Classifier) -> None:
        self._inner = classifier
        self.counts: list[int] = []
        self.classes, self.reject = classifier.classes, classifier.reject

    def __call__(self, frame: Frame, xyxy: np.ndarray) -> np.ndarray:
        self.counts.append(len(xyxy))
        return self._inner(frame, xyxy)

    def close(self) -> None:
        self._inner.close()


def stage_of(engine: Path, **values: object) -> ClassifierStage:
    stage = ClassifierStage(engine, **(LIGHTS | {"backend": "onnxruntime"} | values))
    stage.classifier = Counting(stage.classifier)
    return stage


def result(
    time_ms: int,
    objects: list[tuple[int, tuple[int, int, int, int], tuple[int, int, int]]],
    *,
    predicted: tuple[int, ...] = (),
    kind: int = 1,
) -> FrameResult:
    """A frame with (track id, box, colour) objects, detected and tracked."""
    image = np.zeros((120, 200, 3), np.uint8)
    for _, (x1, y1, x2, y2), colour in objects:
        # The margin is painted too: the colour is what counts here.
        image[max(0, y1 - 3) : y2 + 3, max(0, x1 - 3) : x2 + 3] = colour
    frame = Frame(image, index=time_ms // 40, pts=time_ms, time_base=Fraction(1, 1000))
    n = len(objects)
    boxes = np.array([box for _, box, _ in objects], np.float32).reshape(-1, 4)
    seen = [row for row, (track, _, _) in enumerate(objects) if track not in predicted]
    found = FrameResult(frame)
    found.detections["road"] = Detections(
        boxes[seen], np.full(len(seen), 0.9), np.full(len(seen), kind), CLASSES
    )
    rows = np.full(n, -1)
    rows[seen] = np.arange(len(seen))
    found.tracks["road"] = Tracks(
        track_id=np.array([track for track, _, _ in objects]),
        xyxy=boxes,
        velocity=np.zeros((n, 2)),
        age=np.ones(n),
        detection=rows,
        score=np.full(n, 0.9),
        class_id=np.full(n, kind),
        classes=CLASSES,
    )
    return found


BOX = (20, 20, 40, 60)


def attribute(found: FrameResult, track: int = 1) -> object:
    return found.tracks["road"].attributes.get(track, {}).get("light")


def test_a_new_track_gets_its_attribute_at_once(colour_engine: Path) -> None:
    stage = stage_of(colour_engine)
    found = result(0, [(1, BOX, RED)])
    stage(found)
    values = found.tracks["road"].attributes[1]
    assert values["light"] == "red" and 0.6 <= values["light_score"] <= 1
    (view,) = found.objects
    assert view.attributes == values
    stage.close()


def test_a_track_is_looked_at_now_and_then_not_on_every_frame(colour_engine: Path) -> None:
    stage = stage_of(colour_engine)
    for time_ms in range(0, 1000, 40):
        found = result(time_ms, [(1, BOX, RED)])
        stage(found)
        assert attribute(found) == "red"
    assert len(stage.classifier.counts) == 9  # at 0, 120, 240, ... ms


def test_a_grown_track_is_looked_at_again(colour_engine: Path) -> None:
    stage = stage_of(colour_engine, again_s=100.0)
    stage(result(0, [(1, (20, 20, 40, 60), RED)]))
    stage(result(40, [(1, (20, 20, 44, 60), RED)]))
    assert len(stage.classifier.counts) == 1
    stage(result(80, [(1, (20, 20, 46, 60), RED)]))
    assert len(stage.classifier.counts) == 2


def test_a_track_that_is_only_predicted_is_not_classified(colour_engine: Path) -> None:
    stage = stage_of(colour_engine)
    stage(result(0, [(1, BOX, RED)]))
    found = result(200, [(1, BOX, GREEN)], predicted=(1,))
    stage(found)
    assert len(stage.classifier.counts) == 1 and attribute(found) == "red"


def test_all_crops_of_a_frame_are_one_batch_and_the_longest_waiting_come_first(
    colour_engine: Path,
) -> None:
    stage = stage_of(colour_engine, most=2)
    objects = [(track, (10 + 40 * track, 20, 30 + 40 * track, 60), RED) for track in range(3)]
    for time_ms in (0, 40):
        found = result(time_ms, objects)
        stage(found)
    assert stage.classifier.counts == [2, 1]
    assert [attribute(found, track) for track in range(3)] == ["red"] * 3


def test_a_change_is_followed_within_three_tenths_of_a_second(colour_engine: Path) -> None:
    stage = stage_of(colour_engine)
    for time_ms in range(0, 2000, 40):
        stage(result(time_ms, [(1, BOX, RED)]))
    for time_ms in range(2000, 2300, 40):
        found = result(time_ms, [(1, BOX, GREEN)])
        stage(found)
    assert attribute(found) == "green"


def test_one_wrong_look_does_not_change_a_sign(colour_engine: Path) -> None:
    stage = stage_of(colour_engine, memory_s=5.0, keep_s=None)
    for time_ms in range(0, 2000, 120):
        stage(result(time_ms, [(1, BOX, RED)]))
    found = result(2040, [(1, BOX, GREEN)])
    stage(found)
    assert attribute(found) == "red"


def test_what_the_network_rejects_has_no_attribute(colour_engine: Path) -> None:
    stage = stage_of(colour_engine)
    found = result(0, [(1, BOX, GREY)])
    stage(found)
    assert found.tracks["road"].attributes == {}


def test_an_attribute_without_a_look_is_dropped_after_keep_s(colour_engine: Path) -> None:
    stage = stage_of(colour_engine)
    stage(result(0, [(1, BOX, RED)]))
    still, gone = (result(t, [(1, BOX, RED)], predicted=(1,)) for t in (900, 1100))
    stage(still)
    stage(gone)
    assert attribute(still) == "red" and attribute(gone) is None


def test_other_classes_and_small_boxes_are_left_alone(colour_engine: Path) -> None:
    stage = stage_of(colour_engine)
    stage(result(0, [(1, BOX, RED)], kind=0))
    stage(result(40, [(2, (20, 20, 26, 60), RED)]))
    assert stage.classifier.counts == []


@pytest.mark.parametrize(
    "box", [(0, 20, 20, 60), (20, 1, 40, 40), (170, 20, 200, 60), (20, 80, 40, 119)]
)
def test_a_track_that_the_edge_cuts_off_is_not_looked_at(
    colour_engine: Path, box: tuple[int, int, int, int]
) -> None:
    stage = stage_of(colour_engine)
    stage(result(0, [(1, BOX, RED)]))
    found = result(200, [(1, box, GREEN)])
    stage(found)
    assert len(stage.classifier.counts) == 1 and attribute(found) == "red"


def test_votes_are_forgotten_when_time_goes_back(colour_engine: Path) -> None:
    stage = stage_of(colour_engine, memory_s=100.0)
    for time_ms in range(0, 2000, 120):
        stage(result(time_ms, [(1, BOX, RED)]))
    found = result(0, [(1, BOX, GREEN)])
    stage(found)
    assert attribute(found) == "green"


def test_tracks_that_are_gone_take_no_memory(colour_engine: Path) -> None:
    stage = stage_of(colour_engine)
    for number in range(30):
        stage(result(1000 * number, [(number, BOX, RED)]))
    assert len(stage._known) <= 12


def test_two_stages_add_to_the_same_track(colour_engine: Path) -> None:
    found = result(0, [(1, BOX, RED)])
    stage_of(colour_engine)(found)
    stage_of(colour_engine, attribute="other")(found)
    assert {"light", "other"} <= found.tracks["road"].attributes[1].keys()


def test_without_tracks_every_detection_is_classified(colour_engine: Path) -> None:
    stage = ClassifierStage(colour_engine, ["traffic_light"], tracked=False, backend="onnxruntime")
    found = result(0, [(1, BOX, RED), (2, (80, 20, 100, 60), GREY), (3, (120, 20, 140, 60), GREEN)])
    found.tracks.clear()
    stage(found)
    assert [view.attributes.get("light") for view in found.objects] == ["red", None, "green"]


def test_a_detector_without_the_class_is_said_once(
    colour_engine: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stage = stage_of(colour_engine, classes=["traffic_lihgt"])
    with caplog.at_level(logging.WARNING):
        stage(result(0, [(1, BOX, RED)]))
        stage(result(40, [(1, BOX, RED)]))
    assert caplog.text.count("did you mean 'traffic_light'") == 1


def test_without_a_tracker_the_pipeline_refuses_it(colour_engine: Path) -> None:
    with pytest.raises(ConfigError, match=r"'light' reads tracks\.road"):
        Pipeline([stage_of(colour_engine)])


def test_no_track_lets_classifiers_look_at_detections() -> None:
    tables = ({"type": "tracker"}, {"type": "classifier", "engine": "x", "classes": ["a"]})
    changed = Config("here", tables).changed(track=False, backend="onnxruntime")
    assert [table["type"] for table in changed.stages] == ["classifier"]
    assert changed.stages[0]["tracked"] is False
    assert changed.stages[0]["backend"] == "onnxruntime"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"classes": []}, "classes must be a list"),
        ({"classes": "car"}, "classes must be a list of class names, but is 'car'"),
        ({"again_s": -1.0}, "again_s must be at least 0, but is -1"),
        ({"grown": 0.5}, "grown must be at least 1"),
        ({"memory_s": 0.0}, r"memory_s must be at least 0\.001"),
        ({"most": 0}, "most must be at least 1"),
        ({"min_score": 1.5}, "min_score must be in 0..1"),
    ],
)
def test_a_wrong_setting_is_refused(
    colour_engine: Path, values: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        stage_of(colour_engine, **values)
