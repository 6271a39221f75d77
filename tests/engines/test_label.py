"""The teacher's labels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

from engines import label
from engines.data.coco import load_coco
from perception.types import ROAD_CLASSES


def test_teacher_sees_a_labelled_bus_where_it_is(shared: Path) -> None:
    views = label.teacher_views(shared / "weights" / "yolox_nano.onnx", [147_456, -147_456])
    teacher = label.Labeller(views)
    samples = load_coco(shared / "data" / "road", ROAD_CLASSES)
    sample = next(s for s in samples if s.source == "highway" and s.labels == ("bus",))
    seen = [item for item in teacher(sample) if item["class"] == "bus" and item["score"] > 0.5]
    assert seen
    x1, y1, x2, y2 = sample.xyxy[0].tolist()
    best = max(seen, key=lambda item: item["score"])["xyxy"]
    wide, high = x2 - x1, y2 - y1
    for found, wanted, side in zip(best, (x1, y1, x2, y2), (wide, high, wide, high), strict=True):
        assert abs(found - wanted) < 0.2 * side


def test_command_writes_labels_of_training_pictures(
    shared: Path, rectangles: Path, tmp_path: Path
) -> None:
    output = tmp_path / "labels.json"
    teacher = str(shared / "weights" / "yolox_nano.onnx")
    command = [str(rectangles), "-o", str(output), "--teacher", teacher, "--views", "6144"]
    assert label.main(command) == 0
    assert len(json.loads(output.read_text())) == 12


def test_missing_data_is_one_sentence(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    teacher = str(shared / "weights" / "yolox_nano.onnx")
    assert label.main(["nowhere", "-o", "x.json", "--teacher", teacher]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_a_road_engine_of_ours_is_a_second_teacher(shared: Path) -> None:
    committed = Path(label.__file__).parent / "weights" / "road.onnx"
    samples = load_coco(shared / "data" / "road", ROAD_CLASSES)
    sample = next(s for s in samples if s.source == "gtsdb")
    both = label.teacher_views(shared / "weights" / "yolox_nano.onnx", [147_456])
    both += label.student_views(committed, [250_000])
    assert "traffic_sign" in {item["class"] for item in label.Labeller(both)(sample, 1.7)}


def test_unknown_source_lists_the_known(
    shared: Path, rectangles: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    teacher = str(shared / "weights" / "yolox_nano.onnx")
    command = [str(rectangles), "-o", str(tmp_path / "x.json"), "--teacher", teacher]
    assert label.main([*command, "--sources", "moon"]) == 2
    assert "there are" in capsys.readouterr().err
