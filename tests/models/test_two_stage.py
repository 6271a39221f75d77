"""Decoding of two-stage engines: known rows come back as boxes in source pixels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from perception.backends import TensorSpec
from perception.card import EngineCard, InputSpec
from perception.errors import EngineError
from perception.models.detector import Detector
from perception.models.two_stage import TwoStage
from perception.types import Detections, Frame, FrameResult

CLASSES = ("car", "truck", "person")
SOURCE = Frame(np.zeros((720, 1280, 3), np.uint8))


class RowsEngine:
    """An engine that answers these rows to every picture."""

    path = Path("rows.onnx")
    backend = "rows"

    def __init__(self, rows: list[list[float]], **decoder: Any) -> None:
        self.rows = np.array(rows, np.float32).reshape(1, -1, 10)
        settings = {"second": 0.5, "max_iou": 0.5, "nms_groups": [["car", "truck"]]} | decoder
        self.card: EngineCard | None = EngineCard(
            name="test", family="two_stage", task="road", classes=CLASSES,
            input=InputSpec(size=(640, 384), fit="letterbox"), decoder=settings,
        )  # fmt: skip
        self.inputs = (TensorSpec("images", np.dtype(np.float32), (1, 3, 384, 640)),)
        self.outputs = (TensorSpec("detections", np.dtype(np.float32), self.rows.shape),)
        self.shapes: list[tuple[int, ...]] = []

    def infer(self, feeds: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        self.shapes.append(feeds["images"].shape)
        return {"detections": self.rows}

    def close(self) -> None: ...


def row(
    box: tuple[float, float, float, float], class_id: int, first: float, second: float
) -> list[float]:
    scores = [[0.0] * 3, [0.0] * 3]
    scores[0][class_id], scores[1][class_id] = first, second
    return [*box, *scores[0], *scores[1]]


def detect(rows: list[list[float]], **options: Any) -> Detections:
    decoder = options.pop("decoder", {})
    engine = RowsEngine(rows, **decoder)
    assert engine.card is not None
    return TwoStage(engine, engine.card, **options)(SOURCE)


def test_boxes_come_back_in_source_pixels() -> None:
    # A 1280x720 source in a 640x384 input: scale 1/2, 12 rows of padding above and below.
    found = detect(
        [row((100, 112, 200, 162), 0, 0.81, 0.81), row((300, 212, 320, 262), 2, 0.5, 0.5)]
    )
    assert found.xyxy.tolist() == [[200, 200, 400, 300], [600, 400, 640, 500]]
    assert found.class_id.tolist() == [0, 2] and found.classes == CLASSES
    assert found.score.tolist() == pytest.approx([0.81, 0.5])


@pytest.mark.parametrize(("second", "score"), [(0.0, 0.9), (0.5, 0.6), (1.0, 0.4)])
def test_score_is_the_weighted_geometric_mean_of_both_stages(second: float, score: float) -> None:
    found = detect([row((100, 112, 200, 162), 1, 0.9, 0.4)], decoder={"second": second})
    assert found.score.tolist() == pytest.approx([score])


def test_second_stage_can_change_the_class() -> None:
    rows = [[100, 112, 200, 162, 0.6, 0.5, 0.0, 0.2, 0.9, 0.0]]
    assert detect(rows).class_id.tolist() == [1]


def test_duplicates_are_suppressed_among_vehicles_and_others_are_left() -> None:
    box = (100.0, 112.0, 200.0, 162.0)
    found = detect([row(box, 1, 0.5, 0.5), row(box, 0, 0.9, 0.9), row(box, 2, 0.4, 0.4)])
    assert found.class_id.tolist() == [0, 2]


def test_low_scores_other_classes_and_boxes_outside_are_dropped() -> None:
    rows = [
        row((100, 112, 200, 162), 0, 0.9, 0.05),
        row((10, 112, 30, 162), 2, 0.9, 0.9),
        row((100, 0, 200, 11), 0, 0.9, 0.9),  # in the padding
    ]
    assert len(detect(rows, classes=["car"])) == 0
    assert detect(rows).class_id.tolist() == [2]


def test_nothing_found_is_empty() -> None:
    found = detect([row((100, 112, 200, 162), 0, 0.0, 0.0)])
    assert len(found) == 0 and found.xyxy.shape == (0, 4)


def test_detector_stage_opens_the_family_at_its_fixed_size() -> None:
    engine = RowsEngine([row((100, 112, 200, 162), 0, 0.9, 0.9)])
    stage = Detector(engine, min_score=0.3)
    result = FrameResult(SOURCE)
    stage(result)
    assert len(result.detections["road"]) == 1
    assert engine.shapes == [(1, 3, 384, 640)]


def test_output_of_another_width_is_refused() -> None:
    engine = RowsEngine([])
    engine.outputs = (TensorSpec("detections", np.dtype(np.float32), (1, 5, 14)),)
    assert engine.card is not None
    with pytest.raises(EngineError, match=r"rows\.onnx: output must have 10 columns for 3 classes"):
        TwoStage(engine, engine.card)
