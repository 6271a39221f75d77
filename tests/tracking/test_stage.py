from fractions import Fraction

import numpy as np
import pytest

from perception.errors import ConfigError
from perception.pipeline import Pipeline
from perception.tracking import TrackerStage
from perception.types import Detections, Frame, FrameResult


def frame(i):
    return Frame(np.zeros((100, 200, 3), np.uint8), index=i, pts=i, time_base=Fraction(1, 10))


def test_the_stage_fills_the_tracks_of_its_task():
    stage = TrackerStage(task="face")
    assert stage.reads == ("detections.face",) and stage.writes == ("tracks.face",)
    for i in range(3):
        result = FrameResult(frame(i))
        result.detections["face"] = Detections(
            xyxy=np.array([[10 + i, 10, 40 + i, 50]], np.float32),
            score=np.array([0.9], np.float32),
            class_id=np.zeros(1, np.int32),
            classes=("face",),
        )
        stage(result)
        assert [view.track_id for view in result.objects] == [1]
    stage.close()


def test_a_tracker_without_its_detector_is_refused_by_the_pipeline():
    with pytest.raises(ConfigError, match=r"'track' reads detections\.road"):
        Pipeline([TrackerStage()])


def test_trackers_of_two_tasks_have_two_names():
    assert TrackerStage().name != TrackerStage(task="face").name


def test_a_stream_whose_time_starts_again_goes_on_with_new_ids():
    stage = TrackerStage()
    ids = []
    for i in (10, 11, 0, 1):
        result = FrameResult(frame(i))
        result.detections["road"] = Detections(
            xyxy=np.array([[10, 10, 40, 50]], np.float32),
            score=np.array([0.9], np.float32),
            class_id=np.zeros(1, np.int32),
            classes=("car",),
        )
        stage(result)
        ids += [view.track_id for view in result.objects]
    assert ids == [1, 1, 2, 2]
