"""The measuring script: crops come back to their place, the table names every engine."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from engines.figures.road import Crops, renamed, tables
from perception.evaluation.detection import Figures
from perception.types import Detections, Frame


def bright(frame: Frame) -> Detections:
    """The bounding box of everything white, as a stop sign."""
    ys, xs = np.nonzero(frame.image[..., 0] > 128)
    if not len(xs):
        return Detections.empty(("stop_sign",))
    box = np.array([[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]], np.float32)
    score = np.array([0.5 + 0.4 * (frame.size[0] < 320)], np.float32)
    return Detections(box, score, np.zeros(1, np.int32), ("stop_sign",))


@pytest.mark.parametrize("left", [20, 150, 290])
def test_crops_find_what_the_whole_picture_shows_at_its_place(left: int) -> None:
    image = np.zeros((180, 320, 3), np.uint8)
    image[80:90, left : left + 12] = 255
    found = Crops(bright)(Frame(image))
    assert len(found) == 1, "one object seen several times is one detection"
    np.testing.assert_allclose(found.xyxy[0], [left, 80, left + 12, 90])
    assert found.score[0] == pytest.approx(0.9), "the crop's better score wins"


def test_stop_signs_of_coco_are_traffic_signs() -> None:
    image = np.full((8, 8, 3), 255, np.uint8)
    assert renamed(bright)(Frame(image)).classes == ("traffic_sign",)


def test_report_has_both_tables_and_the_cost() -> None:
    figures = {"road/car": Figures(ap=0.25, ap50=0.5, recall=0.9, objects=3, pictures=2)}
    text = tables({"road": figures}, {"road": 12.34})
    assert "| road | 0.500 |" in text and "| road | 0.250 |" in text
    assert "road/car 3 in 2 pictures" in text and "- road: 12.3 ms" in text
