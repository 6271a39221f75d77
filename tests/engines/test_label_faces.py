"""The teacher of faces: mirrored looks agree, landmarks are the face's own, a killed run goes on."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from engines import label_faces
from engines.label_faces import Teacher, label, main, pictures_of
from perception.errors import InputError
from perception.geometry import iou
from perception.types import Detections


def test_a_mirrored_look_comes_back_to_its_place() -> None:
    points = np.zeros((1, 5, 3), np.float32)
    points[0, :, 0] = [20, 40, 30, 22, 38]  # eyes, nose, corners of the mouth, left before right
    found = Detections(
        np.array([[10, 5, 50, 60]], np.float32), np.ones(1, np.float32),
        np.zeros(1, np.int32), ("face",), points,
    )  # fmt: skip
    back = label_faces._mirrored(found, 200)
    assert back.xyxy.tolist() == [[150, 5, 190, 60]]
    assert back.keypoints[0, :, 0].tolist() == [160, 180, 170, 162, 178]
    assert len(label_faces._mirrored(Detections.empty(("face",)), 200)) == 0


def test_pictures_are_listed_in_order_with_what_is_known(tmp_path: Path) -> None:
    folder = tmp_path / "driver"
    (folder / "a").mkdir(parents=True)
    for name in ("b.webp", "a/c.png", "notes.txt"):
        (folder / name).write_bytes(b"")
    entry = {"file_name": "a/c.png", "source": "night", "group": 7, "split": "eval"}
    (folder / "annotations.json").write_text(json.dumps({"images": [entry]}))
    found = [facts for _, facts in pictures_of(folder)]
    assert [facts["file_name"] for facts in found] == ["a/c.png", "b.webp"]
    assert found[0] == {"folder": "driver", **entry, "group": "7"}
    assert found[1]["source"] == "driver" and found[1]["split"] == ""
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="has no picture"):
        pictures_of(empty)


def test_what_is_labelled_stays(tmp_path: Path) -> None:
    asked = []

    def teacher(image: np.ndarray) -> list[dict[str, object]]:
        asked.append(int(image.mean()))
        return [{"xyxy": [0, 0, 1, 1], "score": 0.9, "landmarks": [[0, 0]] * 5}]

    pictures = []
    for number in range(3):
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), np.full((8, 8, 3), number, np.uint8))
        pictures.append((path, {"folder": "f", "file_name": path.name}))
    output = tmp_path / "labels.json"
    label(pictures[:2], teacher, output)  # type: ignore[arg-type]
    first = output.read_text()
    images = label(pictures, teacher, output)  # type: ignore[arg-type]
    assert asked == [0, 1, 2] and len(images) == 3 and len(first) < len(output.read_text())
    (tmp_path / "3.png").write_text("no picture")
    broken = (tmp_path / "3.png", {"folder": "f", "file_name": "3.png"})
    with pytest.raises(InputError, match=r"3\.png: the picture cannot be decoded"):
        label([broken], teacher, output)  # type: ignore[arg-type]


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "--teacher", "no.onnx", "-o", str(tmp_path / "x.json")]) == 2
    assert "no such engine file" in capsys.readouterr().err


def test_the_teacher_finds_labelled_faces_and_their_landmarks(shared: Path) -> None:
    teacher = Teacher(shared / "weights/yunet_n_dynamic.onnx", views=[80_000, 250_000])
    picture = cv2.imread(str(shared / "data/faces/labelled/2008_001322.jpg"))
    faces = [face for face in teacher(picture) if face["score"] > 0.6]
    assert len(faces) == 3
    mirrored = [f for f in teacher(picture[:, ::-1].copy()) if f["score"] > 0.6]
    boxes = np.array([face["xyxy"] for face in mirrored], np.float32)
    boxes = boxes[:, [2, 1, 0, 3]] * (-1, 1, -1, 1) + (500, 0, 500, 0)
    overlap = iou(np.array([face["xyxy"] for face in faces], np.float32), boxes.astype(np.float32))
    assert (overlap.max(axis=1) > 0.97).all(), "what the mirror shows is the same"
    for face in faces:
        x1, y1, x2, y2 = face["xyxy"]
        points = np.array(face["landmarks"])
        assert (
            points.shape == (5, 2) and points[0, 0] < points[1, 0] and points[3, 0] < points[4, 0]
        )
        assert (points > (x1, y1)).all() and (points < (x2, y2)).all()
        assert points[:2, 1].max() < points[2, 1] < points[3:, 1].min()


def test_a_second_net_denies_what_is_no_face(shared: Path) -> None:
    check = label_faces.SecondOpinion(shared / "weights/ultralight_rfb_320.onnx")
    truth = json.loads((shared / "data/faces/annotations.json").read_text())
    entry = next(i for i in truth["images"] if i["file_name"].endswith("2008_001322.jpg"))
    picture = cv2.imread(str(shared / "data/faces" / entry["file_name"]))
    for note in truth["annotations"]:
        if note["image_id"] == entry["id"]:
            x, y, width, height = note["bbox"]
            assert check(picture, (x, y, x + width, y + height)) > 0.9
    wheel = np.full((200, 200, 3), 120, np.uint8)
    for radius, grey in ((60, 30), (40, 160), (12, 60)):
        cv2.circle(wheel, (100, 100), radius, (grey,) * 3, -1)
    assert check(wheel, (40, 40, 160, 160)) < 0.6, "not sure enough for a label"
