"""Results of any detector: our record, COCO results, and what can be wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from perception.errors import InputError
from perception.evaluation.detection import evaluate, groups_of, load_truth
from perception.evaluation.results import read_results

BOX = [10.0, 10.0, 50.0, 40.0]


@pytest.fixture
def truth_file(tmp_path: Path) -> Path:
    content = {
        "images": [
            {"id": 4, "file_name": "a.png", "width": 200, "height": 100},
            {"id": 9, "file_name": "b.png", "width": 200, "height": 100},
        ],
        "categories": [{"id": 1, "name": "car"}, {"id": 7, "name": "tram"}],
        "annotations": [
            {"id": 1, "image_id": 4, "category_id": 1, "bbox": [10, 10, 40, 30]},
            {"id": 2, "image_id": 9, "category_id": 7, "bbox": [10, 10, 40, 30]},
        ],
    }
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(content))
    return path


def record(path: Path, *lines: dict[str, object]) -> Path:
    head = {"schema": "perception/1", "source": "x", "width": 200, "height": 100, "engines": {}}
    text = [json.dumps(line) for line in (head, *lines, {"report": {}})]
    path.write_text("\n".join(text) + "\n")
    return path


def line(picture: str | None, frame: int, *objects: tuple[str, float]) -> dict[str, object]:
    items = [{"task": "road", "class": c, "score": s, "xyxy": BOX} for c, s in objects]
    return {"frame": frame, "time": 0.0, "path": picture, "objects": items}


def test_a_record_of_pictures_is_matched_by_path(truth_file: Path, tmp_path: Path) -> None:
    truths = load_truth(truth_file)
    lines = [line(str(tmp_path / "b.png"), 0), line(str(tmp_path / "a.png"), 1, ("car", 0.8))]
    found = read_results(record(tmp_path / "r.jsonl", *lines), truths)
    figures = evaluate(truths, found, groups_of(truths))
    assert figures["car"].ap50 == pytest.approx(1.0) and figures["tram"].ap50 == 0


def test_predicted_tracks_are_no_detections(truth_file: Path, tmp_path: Path) -> None:
    seen = line(str(tmp_path / "a.png"), 0, ("car", 0.8))
    seen["objects"][0]["predicted"] = True  # type: ignore[index]
    path = record(tmp_path / "r.jsonl", seen, line(str(tmp_path / "b.png"), 1))
    assert [len(item) for item in read_results(path, load_truth(truth_file))] == [0, 0]


def test_a_record_of_a_video_is_matched_by_frame(truth_file: Path, tmp_path: Path) -> None:
    content = json.loads(truth_file.read_text())
    for frame, image in zip((12, 30), content["images"], strict=True):
        image["frame"] = frame
    truth_file.write_text(json.dumps(content))
    lines = [line(None, 30, ("tram", 0.5)), line(None, 12), line(None, 13, ("car", 0.9))]
    found = read_results(record(tmp_path / "r.jsonl", *lines), load_truth(truth_file))
    assert [item.classes for item in found] == [("object",), ("tram",)]


def test_coco_results_name_classes_by_number(truth_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    entry = {"image_id": 9, "category_id": 7, "bbox": [10, 10, 40, 30], "score": 0.4}
    path.write_text(json.dumps([entry]))
    truths = load_truth(truth_file)
    figures = evaluate(truths, read_results(path, truths), groups_of(truths))
    assert figures["tram"].ap50 == pytest.approx(1.0) and figures["car"].ap50 == 0


def test_missing_pictures_are_named(truth_file: Path, tmp_path: Path) -> None:
    path = record(tmp_path / "r.jsonl", line(str(tmp_path / "a.png"), 0))
    with pytest.raises(InputError, match=r"no line for 1 of 2 pictures.*b\.png"):
        read_results(path, load_truth(truth_file))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be a record"),
        ("{}", "must be a record"),
        ("not json", "neither JSON lines nor"),
        ('[{"image_id": 9, "bbox": [1, 1, 2, 2], "score": 1}]', "entry 0 has no 'category_id'"),
        ('[{"image_id": 9, "category_id": 3, "bbox": [1, 1, 2, 2], "score": 1}]', "category"),
        ('[{"image_id": 9, "category_id": 1, "bbox": [1, 1], "score": 1}]', "entry 0 is broken"),
        ('[{"image_id": 5, "category_id": 1, "bbox": [1, 1, 2, 2], "score": 1}]', "other pictures"),
        ('{"schema": "perception/1"}\n{"frame": 0}', "line 2 is broken"),
    ],
)
def test_broken_results_are_one_sentence(
    truth_file: Path, tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "results"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_results(path, load_truth(truth_file))


def test_no_results_file(truth_file: Path) -> None:
    with pytest.raises(InputError, match="nowhere: no such file"):
        read_results("nowhere", load_truth(truth_file))
