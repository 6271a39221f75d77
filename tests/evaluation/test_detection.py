"""Average precision: known cases, merged classes, pictures that do not label a class."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError, RequestError
from perception.evaluation.detection import (
    ROAD_GROUPS,
    Truth,
    evaluate,
    load_truth,
    precision_recall_at,
    table,
)
from perception.types import ROAD_CLASSES, Detections

BOX = (10.0, 10.0, 50.0, 40.0)
OTHER = (100.0, 20.0, 160.0, 90.0)
ALL = ROAD_CLASSES
GROUPS = {group.name: group for group in ROAD_GROUPS}


def truth(boxes: dict[tuple[float, ...], str], labelled: tuple[str, ...] = ALL) -> Truth:
    xyxy = np.array(list(boxes), np.float32).reshape(-1, 4)
    return Truth(Path("x.png"), (200, 100), xyxy, tuple(boxes.values()), labelled)


def found(*rows: tuple[tuple[float, ...], str, float]) -> Detections:
    return Detections(
        np.array([box for box, _, _ in rows], np.float32).reshape(-1, 4),
        np.array([score for _, _, score in rows], np.float32),
        np.array([ROAD_CLASSES.index(name) for _, name, _ in rows], np.int32),
        ROAD_CLASSES,
    )


def test_perfect_detections_score_one() -> None:
    figures = evaluate([truth({BOX: "car"})], [found((BOX, "car", 0.9))])
    assert figures["car"].ap50 == pytest.approx(1.0)
    assert figures["car"].ap == pytest.approx(1.0)
    assert figures["vehicle"].objects == 1
    assert "person" not in figures


def test_a_false_alarm_above_the_hit_halves_the_precision() -> None:
    figures = evaluate([truth({BOX: "car"})], [found((OTHER, "car", 0.9), (BOX, "car", 0.5))])
    assert figures["car"].ap50 == pytest.approx(0.5)
    assert figures["car"].recall == pytest.approx(1.0)


def test_a_box_shifted_to_iou_of_two_thirds_counts_below_that_threshold_only() -> None:
    shifted = (18.0, 10.0, 58.0, 40.0)  # overlap 32 of 48 columns: IoU 2/3
    figures = evaluate([truth({BOX: "car"})], [found((shifted, "car", 0.9))])
    # Thresholds 0.50, 0.55, 0.60, 0.65 of ten.
    assert figures["car"].ap == pytest.approx(0.4)


def test_a_truck_called_a_car_is_a_vehicle_but_no_truck() -> None:
    figures = evaluate([truth({BOX: "truck"})], [found((BOX, "car", 0.9))])
    assert figures["vehicle"].ap50 == pytest.approx(1.0)
    assert figures["truck"].ap50 == 0.0


def test_merged_vehicle_label_judges_vehicles_but_not_cars() -> None:
    picture = truth({BOX: "vehicle"}, ("vehicle", "bus", "traffic_light"))
    figures = evaluate([picture], [found((BOX, "truck", 0.9))])
    assert figures["vehicle"].ap50 == pytest.approx(1.0)
    assert "car" not in figures and "truck" not in figures


def test_detections_of_an_unlabelled_class_are_no_false_alarms() -> None:
    labelled = truth({BOX: "person"}, ("person",))
    unlabelled = truth({OTHER: "car"}, ("car", "truck", "bus"))
    figures = evaluate(
        [labelled, unlabelled],
        [found((BOX, "person", 0.5)), found((BOX, "person", 0.9), (OTHER, "car", 0.8))],
    )
    assert figures["person"].ap50 == pytest.approx(1.0)
    assert figures["person"].pictures == 1


def test_a_light_of_any_colour_is_a_traffic_light() -> None:
    picture = truth({BOX: "tl_red"}, ("tl_red", "tl_green", "tl_yellow"))
    figures = evaluate([picture], [found((BOX, "traffic_light", 0.9))])
    assert figures["traffic_light"].ap50 == pytest.approx(1.0)


def test_no_detection_scores_zero() -> None:
    figures = evaluate([truth({BOX: "car"})], [found()])
    assert figures["car"].ap50 == 0.0 and figures["car"].objects == 1


def test_lists_of_different_length_are_refused() -> None:
    with pytest.raises(RequestError, match="1 pictures have 0"):
        evaluate([truth({BOX: "car"})], [])


def test_working_point_ignores_small_objects_and_what_lies_on_them() -> None:
    small = (60.0, 60.0, 70.0, 70.0)
    picture = truth({BOX: "car", OTHER: "bus", small: "car"})
    detections = found((BOX, "car", 0.9), (small, "car", 0.8), ((0, 70, 30, 100), "car", 0.7))
    precision, recall = precision_recall_at(
        [picture], [detections], GROUPS["vehicle"], min_score=0.3, min_height=24
    )
    assert (precision, recall) == (0.5, 0.5)
    precision, recall = precision_recall_at(
        [picture], [detections], GROUPS["vehicle"], min_score=0.75, min_height=0
    )
    assert precision == 1.0 and recall == pytest.approx(2 / 3)


def test_table_has_a_line_per_engine_and_a_dash_for_what_was_not_judged() -> None:
    one = evaluate([truth({BOX: "car"})], [found((BOX, "car", 0.9))])
    two = evaluate([truth({BOX: "bus"})], [found((BOX, "bus", 0.9))])
    text = table({"one": one, "two": two})
    assert text.splitlines()[0] == "| engine | vehicle | car | bus |"
    assert text.splitlines()[2] == "| one | 1.000 | 1.000 | - |"


def write(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_truth_is_read_with_its_labels_and_source(tmp_path: Path) -> None:
    write(
        tmp_path / "annotations.json",
        {
            "categories": [{"id": 7, "name": "car"}],
            "images": [
                {
                    "id": 1,
                    "file_name": "a/b.png",
                    "width": 20,
                    "height": 10,
                    "labelled": ["car"],
                    "split": "eval",
                    "source": "a",
                }
            ],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4]}],
        },
    )
    (one,) = load_truth(tmp_path)
    assert one.path == tmp_path / "a/b.png"
    assert one.xyxy.tolist() == [[1, 2, 4, 6]]
    assert (one.labels, one.labelled, one.split, one.source) == (("car",), ("car",), "eval", "a")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "not a COCO file"),
        ([], "not a COCO file"),
        (
            {"categories": [], "images": [], "annotations": [{"image_id": 1, "bbox": [1, 2]}]},
            "annotation .* is broken",
        ),
        ({"categories": [], "images": [{"id": 1}], "annotations": []}, "picture .* is broken"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, content: object, message: str) -> None:
    path = write(tmp_path / "truth.json", content)
    with pytest.raises(InputError, match=rf"truth\.json.*{message}"):
        load_truth(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_truth(tmp_path / "nothing.json")


def test_text_is_not_json(tmp_path: Path) -> None:
    (tmp_path / "truth.json").write_text("hello")
    with pytest.raises(InputError, match="not a JSON file"):
        load_truth(tmp_path / "truth.json")
