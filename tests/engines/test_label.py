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
    teacher = label.Teacher(shared / "weights" / "yolox_nano.onnx", pixels=[147_456])
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
    command = [str(rectangles), "-o", str(output), "--teacher", teacher, "--pixels", "6144"]
    assert label.main(command) == 0
    assert len(json.loads(output.read_text())) == 12


def test_missing_data_is_one_sentence(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    teacher = str(shared / "weights" / "yolox_nano.onnx")
    assert label.main(["nowhere", "-o", "x.json", "--teacher", teacher]) == 2
    assert "nowhere" in capsys.readouterr().err
