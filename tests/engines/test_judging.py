"""By what engines are judged when they run in another arithmetic."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from engines import judging
from engines.data.faces import FaceSample
from perception.backends import open_engine
from perception.errors import InputError
from perception.evaluation.detection import Truth
from perception.models.detector import Detector
from perception.types import Detections, Frame


@pytest.fixture
def engine(bright_engine):
    return open_engine(bright_engine, backend="onnxruntime")


def pictures():
    frames = []
    for x in (0, 32, 96):
        image = np.full((96, 160, 3), 60, np.uint8)
        image[32:64, x : x + 32] = 230
        frames.append(Frame(image))
    return frames


def test_a_detector_without_labels_is_judged_by_its_own_findings(engine):
    detect = Detector(engine, min_score=0.02).model
    same = judging.by_itself(detect, Detector(engine, min_score=0.5).model, pictures())
    assert list(same) == ["car"] and same["car"].ap == pytest.approx(1.0)

    def blind(frame):
        found = detect(frame)
        return Detections(found.xyxy + 50, found.score, found.class_id, found.classes)

    assert judging.by_itself(blind, detect, pictures())["car"].ap == 0.0


def test_road_detectors_are_judged_on_the_groups_they_know(engine, tmp_path):
    image = pictures()[1].image
    cv2.imwrite(str(tmp_path / "0.png"), image)
    detect = Detector(engine, min_score=0.02).model
    box = detect(Frame(image)).xyxy[:1]
    boxes = np.concatenate([box, box])
    truth = Truth(tmp_path / "0.png", (160, 96), boxes, ("car", "plate"), ("car", "plate"))
    assert judging.road(detect, {"road": [truth]}, engine.card) == pytest.approx(1.0)


def test_faces_are_judged_by_ap_and_by_f1_at_a_limit():
    frames = [Frame(np.zeros((96, 160, 3), np.uint8)) for _ in range(2)]
    box = np.array([[10, 10, 40, 40]], np.float32)
    none = np.zeros((0, 4), np.float32)
    sets = {
        name: (
            [FaceSample(Path("f"), "", "", True, box, np.zeros((1, 5, 2), np.float32), none)],
            [frame],
        )
        for name, frame in zip("ab", frames, strict=True)
    }

    def detect(frame):
        return Detections(box, np.array([0.4], np.float32), np.zeros(1, np.int32), ("face",))

    assert judging.face(detect, sets, limit=0.3) == {"AP": pytest.approx(1.0), "F1": 1.0}
    assert judging.face(detect, sets, limit=0.5)["F1"] == 0.0


def test_speed_is_of_a_wide_picture(engine):
    tensor = judging.typical_input(engine, engine.card)
    assert tensor.dtype == np.float32 and tensor.shape[:2] == (1, 3)


def test_a_picture_that_cannot_be_decoded_is_named(tmp_path):
    (tmp_path / "x.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"x\.png: the picture cannot be decoded"):
        judging.read_picture(tmp_path / "x.png")
