from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from perception.errors import InputError
from perception.evaluation.video_truth import read_video_truth


def written(path: Path, objects: list[dict[str, Any]], **changes: Any) -> Path:
    content = {
        "classes": ["car", "truck", "bus", "traffic_sign"],
        "frames": [{"frame": number, "objects": [row]} for number, row in enumerate(objects)],
    }
    path.write_text(json.dumps(content | changes))
    return path


def test_json_is_read_by_groups_of_classes(tmp_path: Path) -> None:
    objects = [
        {"id": 7, "class": "car", "xyxy": [0, 0, 40, 30], "visibility": 1},
        {"id": 7, "class": "truck", "xyxy": [5, 0, 45, 30], "visibility": 0.2},
        {"id": 9, "class": "bus", "xyxy": [5, 0, 45, 23]},
        {"id": 3, "class": "traffic_sign", "xyxy": [5, 0, 17, 12]},
    ]
    vehicle, sign = read_video_truth(written(tmp_path / "a.json", objects))
    assert (vehicle.name, vehicle.classes) == ("vehicle", ("car", "truck", "bus"))
    assert vehicle.boxes.frame.tolist() == [0, 1, 2]
    assert vehicle.boxes.object_id.tolist() == [7, 7, 9]
    assert vehicle.boxes.score.tolist() == [1, 0, 0], "hardly visible, and too small: not asked for"
    assert sign.boxes.xyxy.tolist() == [[5, 0, 17, 12]]
    assert sign.boxes.score.tolist() == [1], "a sign is small by nature"


def test_mot_text_is_about_what_its_classes_say(tmp_path: Path) -> None:
    path = tmp_path / "gt.txt"
    path.write_text("1,1,10,10,20,50,1,1,1\n2,1,12,10,20,50,1,1,1\n2,2,50,10,20,50,0,7,1\n")
    (people,) = read_video_truth(path)
    assert (people.name, people.classes) == ("person", ("person",))
    assert people.boxes.frame.tolist() == [0, 1, 1], "its first frame is 1"
    path.write_text("0,1,10,10,20,50,1,3\n1,1,12,10,20,50,1,3\n1,-1,0,0,9,9,1,8\n")
    (cars,) = read_video_truth(path)
    assert (cars.name, cars.classes) == ("vehicle", ("car", "truck", "bus"))
    assert cars.boxes.frame.tolist() == [0, 1, 1]
    path.write_text("1,1,10,10,20,50\n")
    (things,) = read_video_truth(path)
    assert (things.name, things.classes) == ("object", None)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.json", "{", "not a JSON file"),
        ("a.json", "[]", "not the truth of a clip"),
        ("a.json", '{"classes": ["car"], "frames": [{"frame": 0}]}', "KeyError.'objects'"),
        ("a.json", '{"classes": ["tree"], "frames": []}', r"none of its classes \['tree'\]"),
        ("a.txt", "", "the file has no lines"),
        ("a.txt", "1,2,3\n", "line 1: expected at least six numbers"),
    ],
)
def test_what_is_no_truth_is_said(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError, match=sentence):
        read_video_truth(path)


def test_a_box_that_goes_backwards_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", [{"id": 1, "class": "car", "xyxy": [9, 0, 4, 4]}])
    with pytest.raises(InputError, match="frame 0: xyxy must go from left to right"):
        read_video_truth(path)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file; give the truth"):
        read_video_truth(tmp_path / "a.json")
