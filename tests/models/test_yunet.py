"""The public YuNet file, read as its authors read it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from perception.errors import EngineError
from perception.evaluation.detection import load_truth
from perception.geometry import iou
from perception.models.detector import Detector
from perception.models.yunet import PARTS, STRIDES, joined, yunet_card
from perception.types import Frame
from tests.models.test_anchors import FixedEngine


def test_outputs_are_joined_level_by_level() -> None:
    columns = dict(zip(PARTS, (4, 1, 1, 10), strict=True))
    outputs = {
        f"{part}_{stride}": np.full((1, 64 // stride, columns[part]), stride + number, np.float32)
        for stride in STRIDES
        for number, part in enumerate(PARTS)
    }
    raw = joined(outputs)
    assert raw.shape == (8 + 4 + 2, 16)
    assert raw[0].tolist() == [8] * 4 + [9, 10] + [11] * 10 and raw[-1, 0] == 32


def test_another_file_is_refused() -> None:
    with pytest.raises(EngineError, match="must have outputs cls_8 to kps_32, but lacks bbox_8"):
        yunet_card(FixedEngine({"predictions": np.zeros((1, 4, 5), np.float32)}))


@pytest.mark.parametrize("name", ["yunet_n_320", "yunet_n_640"])
def test_opencv_finds_the_same_faces_and_landmarks(shared: Path, name: str) -> None:
    cv2 = pytest.importorskip("cv2")
    path = shared / "weights" / f"{name}.onnx"
    detector = Detector(path, family="yunet", min_score=0.6)
    compared = 0
    for truth in load_truth(shared / "data/faces"):
        picture = cv2.imread(str(truth.path))
        found = detector.model(Frame(picture))
        assert (iou(found.xyxy, truth.xyxy).max(axis=0) > 0.4).all()
        width, height = detector.model.input_size(truth.size)
        factor = min(width / truth.size[0], height / truth.size[1])
        canvas = np.zeros((height, width, 3), np.uint8)
        small = cv2.resize(picture, (int(truth.size[0] * factor), int(truth.size[1] * factor)))
        canvas[: small.shape[0], : small.shape[1]] = small
        theirs = cv2.FaceDetectorYN.create(str(path), "", (width, height), 0.6, 0.3)
        rows = theirs.detect(canvas)[1]
        # x, y, width, height, five landmarks, score
        overlap = iou(found.xyxy * factor, np.hstack([rows[:, :2], rows[:, :2] + rows[:, 2:4]]))
        assert len(rows) == len(found) and overlap.max(axis=1).min() > 0.95
        match = overlap.argmax(axis=1)
        np.testing.assert_allclose(found.score, rows[match, 14], atol=0.02)
        points = rows[match, 4:14].reshape(-1, 5, 2) / factor
        np.testing.assert_allclose(found.keypoints[..., :2], points, atol=1.5)
        compared += len(found)
    assert compared >= 18
