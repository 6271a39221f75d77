"""Labelled pictures: what labels mean, what is unknown, and errors that name file and entry."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engines.data.classes import known_classes, meaning
from engines.data.coco import add_teacher_labels, load_coco, select
from engines.data.splits import held_back, trainable
from perception.errors import ConfigError, InputError
from perception.types import ROAD_CLASSES


def test_labels_of_a_source_mean_our_classes() -> None:
    assert meaning("car") == ("car",)
    assert meaning("vehicle") == ("car", "truck")
    assert meaning("tl_green") == ("traffic_light",)
    assert meaning("speed_90") == ("traffic_sign",)
    assert meaning("crosswalk") == ()


def names(mask: np.ndarray) -> set[str]:
    return {name for name, known in zip(ROAD_CLASSES, mask, strict=True) if known}


def test_only_wholly_labelled_classes_are_known() -> None:
    assert names(known_classes(["car", "person"], ROAD_CLASSES)) == {"car", "person"}
    assert names(known_classes(["vehicle", "bus"], ROAD_CLASSES)) == {"car", "truck", "bus"}
    assert names(known_classes(["tl_red", "tl_green"], ROAD_CLASSES)) == {"traffic_light"}
    # Some kinds of sign: other signs are there, unlabelled.
    assert names(known_classes(["speed_30", "stop", "tl_red"], ROAD_CLASSES)) == set()


def change(rectangles: Path, tmp_path: Path, edit) -> Path:  # type: ignore[no-untyped-def]
    content = json.loads((rectangles / "annotations.json").read_text())
    edit(content)
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(content))
    return path


def test_samples_carry_boxes_classes_and_what_is_known(rectangles: Path) -> None:
    samples = load_coco(rectangles, ROAD_CLASSES)
    assert len(samples) == 16
    first = samples[0]
    assert first.labels == ("car", "person") and names(first.known) == {"car", "person"}
    assert first.allowed[0].tolist() == [True] + [False] * 8
    assert first.read().shape == (64, 96, 3)
    assert len(select(samples, split="eval", sources=["rectangles"], where="x")) == 4


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda c: c["annotations"][3].update(bbox=[1, 2, 0, 5]),
            "annotations, id 4: bbox must be",
        ),
        (lambda c: c["annotations"][3].update(bbox=[1, 2, 3]), "annotations, id 4: bbox must be"),
        (lambda c: c["annotations"][0].update(image_id=999), "id 1: names picture 999"),
        (lambda c: c["annotations"][0].update(category_id=9), "id 1: names category 9"),
        (lambda c: c["images"][2].pop("file_name"), "images, id 2: has no 'file_name'"),
        (lambda c: c["categories"][0].update(name="cra"), "did you mean 'car'|unknown class"),
        (lambda c: c.pop("images"), "must have a list 'images'"),
    ],
)
def test_broken_labels_name_file_and_entry(  # type: ignore[no-untyped-def]
    rectangles: Path, tmp_path: Path, edit, message: str
) -> None:
    path = change(rectangles, tmp_path, edit)
    with pytest.raises(InputError, match=rf"changed\.json: .*({message})"):
        load_coco(path, ROAD_CLASSES)


def test_missing_files_are_named(rectangles: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        load_coco(tmp_path / "nowhere.json", ROAD_CLASSES)
    path = change(rectangles, tmp_path, lambda c: c["images"][0].update(file_name="gone.png"))
    with pytest.raises(InputError, match=r"gone\.png: the picture does not exist"):
        load_coco(path, ROAD_CLASSES)[0].read()
    (tmp_path / "gone.png").write_text("no picture")
    with pytest.raises(InputError, match=r"gone\.png: the picture cannot be decoded"):
        load_coco(path, ROAD_CLASSES)[0].read()


def test_empty_selection_and_unknown_source_are_errors(rectangles: Path) -> None:
    samples = load_coco(rectangles, ROAD_CLASSES)
    with pytest.raises(ConfigError, match="split 'test' of rectangles has no pictures"):
        select(samples, split="test", sources=["rectangles"], where="recipe")
    with pytest.raises(ConfigError, match=r"recipe: .*circles"):
        select(samples, split="train", sources=["circles"], where="recipe")


def test_teacher_fills_unknown_classes_only(rectangles: Path) -> None:
    sample = load_coco(rectangles, ROAD_CLASSES)[1]  # one car, no person
    x1, y1, x2, y2 = (float(v) for v in sample.xyxy[0])
    elsewhere = [0.0, 0.0, 9.0, 9.0] if x1 > 20 else [82.0, 52.0, 94.0, 62.0]
    seen = [
        {"class": "bus", "score": 0.9, "xyxy": elsewhere},
        {"class": "car", "score": 0.9, "xyxy": elsewhere},  # cars are labelled: no car is there
        {"class": "truck", "score": 0.8, "xyxy": [x1, y1, x2, y2]},  # the labelled car
        {"class": "bicycle", "score": 0.3, "xyxy": elsewhere},
        {"class": "bicycle", "score": 0.01, "xyxy": elsewhere},
    ]
    key = f"{sample.path.parent.name}/{sample.path.name}"
    taught = ("car", "truck", "bus", "bicycle")
    (filled,) = add_teacher_labels(
        [sample], {key: seen}, ROAD_CLASSES, taught=taught, sure=0.5, unsure=0.1
    )
    assert filled.labels == ("car", "teacher:bus")
    assert len(filled.ignore) == 1 and names(filled.ignore_classes[0]) == {"bicycle"}
    assert names(filled.known) == {"car", "person", "truck", "bus", "bicycle"}


def test_two_kinds_for_one_object_leave_the_second_open(rectangles: Path) -> None:
    sample = load_coco(rectangles, ROAD_CLASSES)[1]
    x1 = float(sample.xyxy[0, 0])
    box = [0.0, 0.0, 9.0, 9.0] if x1 > 20 else [82.0, 52.0, 94.0, 62.0]
    seen = [
        {"class": "truck", "score": 0.6, "xyxy": box},
        {"class": "bus", "score": 0.9, "xyxy": box},
    ]
    (filled,) = add_teacher_labels(
        [sample],
        {f"{sample.path.parent.name}/{sample.path.name}": seen},
        ROAD_CLASSES,
        taught=("truck", "bus"),
        sure=0.5,
        unsure=0.1,
    )
    assert filled.labels == ("car", "teacher:bus")
    assert names(filled.ignore_classes[0]) == {"truck"}


def test_held_back_pictures_are_not_trained_on_and_a_ride_keeps_a_gap() -> None:
    for number in range(386):
        path = Path(f"plates/{number:05d}.webp")
        assert not (held_back("plates", "ride", path) and trainable("plates", "ride", path))
    assert not trainable("plates", "ride", Path("00305.webp"))
    groups = [f"group{number}" for number in range(400)]
    held = [group for group in groups if held_back("gtsdb", group, Path("x"))]
    assert 20 < len(held) < 90
    assert not any(trainable("gtsdb", group, Path("x")) for group in held)
    assert trainable("highway", "group", Path("x"))


def test_a_teachers_large_unsure_boxes_and_the_bonnet_are_background(rectangles: Path) -> None:
    sample = load_coco(rectangles, ROAD_CLASSES)[1]
    seen = [
        {"class": "truck", "score": 0.3, "xyxy": [0.0, 0.0, 60.0, 60.0]},  # a wall
        {"class": "truck", "score": 0.9, "xyxy": [5.0, 40.0, 90.0, 64.0]},  # our own bonnet
    ]
    (filled,) = add_teacher_labels(
        [sample],
        {f"{sample.path.parent.name}/{sample.path.name}": seen},
        ROAD_CLASSES,
        taught=("truck",),
        sure=0.5,
        unsure=0.1,
    )
    assert filled.labels == ("car",) and len(filled.ignore) == 0
    assert "truck" in names(filled.known)


def test_hidden_objects_are_not_asked_for(rectangles: Path, tmp_path: Path) -> None:
    path = change(rectangles, tmp_path, lambda c: c["annotations"][0].update(visibility=0.1))
    first = load_coco(path, ROAD_CLASSES)[0]
    assert first.labels == ("person",)
    assert len(first.ignore) == 1 and names(first.ignore_classes[0]) == {"car"}


def plate_sample(rectangles: Path):  # type: ignore[no-untyped-def]
    """A picture of 96x64 with one labelled plate in the middle, vehicles unknown."""
    sample = load_coco(rectangles, ROAD_CLASSES)[1]
    column = ROAD_CLASSES.index("plate")
    only = np.zeros(len(ROAD_CLASSES), bool)
    only[column] = True
    return replace(
        sample,
        size=(96, 64),
        xyxy=np.array([[40, 40, 52, 44]], np.float32),
        allowed=only[None],
        known=only,
        labels=("plate",),
    )


def teach(sample, *seen, **options):  # type: ignore[no-untyped-def]
    key = f"{sample.path.parent.name}/{sample.path.name}"
    items = [{"class": c, "score": s, "xyxy": box} for c, s, box in seen]
    options = {"taught": ("car", "truck"), "sure": 0.5, "unsure": 0.15, **options}
    (filled,) = add_teacher_labels([sample], {key: items}, ROAD_CLASSES, **options)
    return filled


def test_a_plate_makes_a_doubtful_vehicle_sure(rectangles: Path) -> None:
    around = [26.0, 16.0, 66.0, 52.0]
    filled = teach(
        plate_sample(rectangles), ("car", 0.11, around), ("truck", 0.16, [0.0, 16.0, 40.0, 60.0])
    )
    assert filled.labels == ("plate", "teacher:car")
    assert len(filled.ignore) == 1 and names(filled.ignore_classes[0]) == {"truck"}


def test_a_plate_without_a_vehicle_leaves_its_surroundings_open(rectangles: Path) -> None:
    beside = [70.0, 16.0, 95.0, 52.0]
    filled = teach(plate_sample(rectangles), ("car", 0.3, beside))
    assert filled.labels == ("plate",)
    assert {tuple(box) for box in filled.ignore.tolist()} == {
        tuple(beside),
        (-8.0, -8.0, 100.0, 62.0),
    }, "the large unsure box is open too: it may well be the vehicle"


def test_hints_are_labels_but_what_is_not_seen_stays_unknown(rectangles: Path) -> None:
    sample = load_coco(rectangles, ROAD_CLASSES)[1]
    options = {"hints": ("plate",), "sure_of_hint": 0.6}
    seen = [("plate", 0.7, [0.0, 0.0, 9.0, 5.0]), ("plate", 0.5, [80.0, 0.0, 89.0, 5.0])]
    filled = teach(sample, *seen, **options)
    assert filled.labels == ("car", "teacher:plate") and len(filled.ignore) == 0
    assert "plate" not in names(filled.known)


def test_the_road_ahead_of_a_lone_car_is_no_vehicle(rectangles: Path) -> None:
    sample = load_coco(rectangles, ROAD_CLASSES)[1]
    sample = replace(sample, xyxy=sample.xyxy[:0], allowed=sample.allowed[:0], labels=())
    road = ("truck", 0.9, [20.0, 30.0, 76.0, 64.0])
    assert teach(sample, road).labels == ("teacher:truck",)
    assert teach(replace(sample, source="gtsdb"), road).labels == ()
