"""Detectors with anchors: boxes come back in source pixels, foreign files are refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from perception.backends import TensorSpec
from perception.card import EngineCard, InputSpec
from perception.errors import ConfigError, EngineError
from perception.models.anchors import Anchors, anchor_boxes, ultralight_card
from perception.models.detector import Detector
from perception.types import Frame

STRIDES, SIZES = (8, 16), ((10.0, 16.0), (32.0,))


class FixedEngine:
    """An engine with outputs made beforehand."""

    path = Path("fixed.onnx")
    backend = "fixed"

    def __init__(
        self,
        outputs: dict[str, npt.NDArray[np.float32]],
        shape: tuple[int, ...] = (-1, 3, -1, -1),
        card: EngineCard | None = None,
    ) -> None:
        self._outputs = outputs
        self.card = card
        self.inputs = (TensorSpec("images", np.dtype(np.float32), shape),)
        self.outputs = tuple(
            TensorSpec(name, np.dtype(np.float32), (-1, -1, value.shape[-1]))
            for name, value in outputs.items()
        )

    def infer(self, feeds: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        return self._outputs

    def close(self) -> None: ...


def make_card() -> EngineCard:
    return EngineCard(
        name="test", family="anchors", task="face", classes=("face",),
        input=InputSpec(size=(160, 96), fit="letterbox"),
        decoder={"strides": STRIDES, "sizes": SIZES, "variances": [0.1, 0.2], "max_iou": 0.4},
    )  # fmt: skip


def encode(box: tuple[float, ...], anchor: npt.NDArray[np.float32]) -> list[float]:
    x1, y1, x2, y2 = box
    return [
        ((x1 + x2) / 2 - anchor[0]) / anchor[2] / 0.1,
        ((y1 + y2) / 2 - anchor[1]) / anchor[3] / 0.1,
        np.log((x2 - x1) / anchor[2]) / 0.2,
        np.log((y2 - y1) / anchor[3]) / 0.2,
    ]


def test_boxes_come_back_in_source_pixels() -> None:
    # A 320x180 source in a 160x96 input: scale 1/2, 3 rows of padding above and below.
    anchors = anchor_boxes((160, 96), STRIDES, SIZES)
    raw = np.zeros((1, len(anchors), 5), np.float32)
    raw[..., 4] = -20
    for row, box, logit in (
        (101, (40, 30, 58, 52), 2.0),
        (100, (41, 30, 58, 52), 1.0),  # the same face seen by the other anchor of the cell
        (len(anchors) - 1, (100, 40, 140, 90), 0.5),
        (7, (20, 20, 30, 30), -2.0),
    ):
        raw[0, row] = [*encode(box, anchors[row]), logit]
    found = Anchors(FixedEngine({"predictions": raw}), make_card(), min_score=0.3)(
        Frame(np.zeros((180, 320, 3), np.uint8))
    )
    wanted = np.array([[80, 54, 116, 98], [200, 74, 280, 174]], np.float32)
    assert found.xyxy == pytest.approx(wanted, abs=0.01)
    assert found.score == pytest.approx(1 / (1 + np.exp([-2.0, -0.5])), abs=1e-5)
    assert found.classes == ("face",) and found.keypoints.shape == (2, 0, 3)


def test_anchors_lie_on_a_grid_that_covers_the_input() -> None:
    anchors = anchor_boxes((32, 24), (16,), ((8.0, 12.0),))
    wanted = [[8, 6, 8, 8], [8, 6, 12, 12], [24, 6, 8, 8], [24, 6, 12, 12]]
    assert anchors[:4].tolist() == wanted and len(anchors) == 8
    assert anchors[4].tolist() == [8, 18, 8, 8], "24 rows are two cells of 12"


def test_outputs_that_do_not_fit_are_refused() -> None:
    wrong = FixedEngine({"predictions": np.zeros((1, 10, 6), np.float32)})
    with pytest.raises(EngineError, match="must have 5 columns for 1 classes, but has 6"):
        Anchors(wrong, make_card())
    short = Anchors(FixedEngine({"predictions": np.zeros((1, 10, 5), np.float32)}), make_card())
    with pytest.raises(EngineError, match="anchors for an input of 160x96, but has 10"):
        short(Frame(np.zeros((90, 160, 3), np.uint8)))
    with pytest.raises(EngineError, match="the outputs scores and boxes, but has"):
        ultralight_card(wrong)


def test_a_decoded_export_is_only_scaled() -> None:
    boxes = np.array([[[0.25, 0.5, 0.5, 0.75], [0, 0, 0.1, 0.1]]], np.float32)
    scores = np.array([[[0.1, 0.9], [0.8, 0.2]]], np.float32)
    engine = FixedEngine({"scores": scores, "boxes": boxes}, (1, 3, 240, 320))
    found = Anchors(engine, ultralight_card(engine), min_score=0.5)(
        Frame(np.zeros((720, 1280, 3), np.uint8))
    )
    # The picture is stretched to the input, so the mapping back is by width and by height.
    assert found.xyxy == pytest.approx(np.array([[320, 360, 640, 540]]), abs=0.01)
    assert found.score == pytest.approx([0.9])


def test_the_public_file_finds_the_labelled_faces(shared: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    from perception.evaluation.detection import load_truth
    from perception.geometry import iou

    detector = Detector(
        shared / "weights/ultralight_rfb_320.onnx", family="ultralight", min_score=0.6
    )
    for truth in load_truth(shared / "data/faces"):
        found = detector.model(Frame(cv2.imread(str(truth.path))))
        assert (iou(found.xyxy, truth.xyxy).max(axis=0) > 0.5).all()
    with pytest.raises(
        ConfigError, match="families of public checkpoints: ultralight, yolox, yunet"
    ):
        Detector(shared / "weights/ultralight_rfb_320.onnx", family="anchors")
