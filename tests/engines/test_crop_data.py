"""Crops for classifiers: what was photographed stays on one side of the split, and boxes are where they are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from engines.data import crop_sources as sources
from engines.data.crops import (
    CALIBRATE,
    FEW_TRACKS,
    JUDGE,
    MARGIN,
    MIRRORED,
    SIGNS,
    TRAIN,
    Crops,
    gtsrb,
    share_of,
    track_share,
)
from perception.errors import InputError
from tests.engines.sign_archive import archive


def test_tracks_are_never_split_and_every_class_is_judged(tmp_path: Path) -> None:
    parts = gtsrb(archive(tmp_path / "a.zip"), 16)
    assert {part: len(crops) for part, crops in parts.items()} == {
        TRAIN: 30, CALIBRATE: 0, JUDGE: 6,
    }  # fmt: skip
    assert np.bincount(parts[JUDGE].labels).tolist() == [3, 3]
    assert parts[TRAIN].pictures.shape == (30, 16, 16, 3)


def test_a_class_with_many_tracks_gives_some_for_the_temperature() -> None:
    shares = [track_share(3, place, FEW_TRACKS) for place in range(24)]
    assert (shares.count(JUDGE), shares.count(CALIBRATE), shares.count(TRAIN)) == (4, 2, 18)
    assert CALIBRATE not in [track_share(3, place, FEW_TRACKS - 1) for place in range(24)]


def test_groups_have_one_place_each() -> None:
    shares = [share_of(f"ride {number}") for number in range(600)]
    assert shares == [share_of(f"ride {number}") for number in range(600)]
    assert 70 < shares.count(JUDGE) < 130 and 25 < shares.count(CALIBRATE) < 75


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("00/00000_99.jpg", "cannot be decoded"),
        ("00/picture.jpg", r"must be CC/TTTTT_FF\.jpg"),
        ("43/00000_00.jpg", "classes 0 to 42 only"),
    ],
)
def test_a_broken_entry_is_named(tmp_path: Path, extra: str, message: str) -> None:
    with pytest.raises(
        InputError, match=rf"a\.zip: {extra.replace('.', chr(92) + '.')}: .*{message}"
    ):
        gtsrb(archive(tmp_path / "a.zip", extra=extra), 16)


def test_missing_archive_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such archive"):
        gtsrb(tmp_path / "b.zip", 16)


def test_mirroring_twice_is_no_mirroring() -> None:
    assert all(MIRRORED[there] == here for here, there in MIRRORED.items())
    assert set(MIRRORED) - {"none"} <= set(SIGNS)
    # Numbers and letters are never mirrored, nor are pictures that have a side.
    assert not [
        n for n in MIRRORED if n.startswith(("speed", "end", "stop", "no_o", "no_t", "round"))
    ]


def test_the_middle_of_a_stored_crop_is_the_wanted_one() -> None:
    picture = np.zeros((1, 64, 64, 3), np.uint8)
    extent = 0.5
    picture[0, 16:48, 16:48] = 255
    assert Crops("x", picture, np.zeros(1, np.int64), extent).middle(16).min() > 250


def test_crops_of_nothing_touch_no_object(rectangles: Path) -> None:
    parts = sources.nothing(rectangles, ["car", "person"], 3, most=60)
    found = np.concatenate([crops.pictures for crops in parts.values()])
    assert 0 < len(found) <= 60
    assert all(set(crops.labels) <= {3} for crops in parts.values())
    # Cars are white and people black on grey: a crop that touched one would show it.
    assert found.min() > 60 and found.max() < 160


def test_other_objects_are_cropped_with_their_margin(rectangles: Path) -> None:
    parts = sources.other_objects(rectangles, ["car"], 3, most=5)
    crops = next(c for c in parts.values() if len(c))
    assert crops.extent == pytest.approx((1 + 2 * MARGIN) / 2)
    # White cars with grey around: the box is the middle half of the stored crop.
    inside = crops.pictures[:, 18:46, 18:46]
    assert np.median(inside, (1, 2, 3)).min() > 200


def rendered_scene(folder: Path) -> Path:
    import cv2

    folder.mkdir()
    image = np.zeros((80, 200, 3), np.uint8)
    names = {"speed_50": 60, "speed_90": 120, "snow": 180}
    annotations = []
    for number, (name, grey) in enumerate(names.items()):
        image[20:50, 10 + 60 * number : 40 + 60 * number] = grey
        annotations.append(
            {
                "id": number, "image_id": 1, "category_id": 1, "visibility": 1.0,
                "bbox": [10 + 60 * number, 20, 30, 30], "attributes": {"sign": name},
            }
        )  # fmt: skip
    annotations.append({**annotations[0], "visibility": 0.5})
    annotations.append({**annotations[0], "bbox": [10, 20, 5, 5]})
    cv2.imwrite(str(folder / "1.png"), image)
    content = {"images": [{"id": 1, "file_name": "1.png"}], "annotations": annotations}
    (folder / "annotations.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def test_rendered_signs_have_gtsrbs_names_and_others_are_rejected(tmp_path: Path) -> None:
    classes = (*SIGNS, "none")
    parts = sources.rendered(rendered_scene(tmp_path / "r"), "sign", classes, least=9)
    (crops,) = [c for c in parts.values() if len(c)]
    wanted = [classes.index("speed_50"), classes.index("none"), classes.index("ice")]
    assert crops.labels.tolist() == wanted
    assert crops.middle(16)[:, 8, 8, 0].tolist() == [60, 120, 180]


def test_rendered_scenes_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"annotations\.json: no such file; make it with"):
        sources.rendered(tmp_path, "sign", SIGNS, least=9)


def test_every_state_told_by_eye_is_one_of_ours() -> None:
    content = json.loads(sources.STREETVIEW_STATES.read_text(encoding="utf-8"))
    states = {state for mine in content["states"].values() for state in mine.values()}
    assert states <= {"red", "yellow", "green", "unknown"}


def test_states_told_by_eye_fit_the_boxes(shared: Path) -> None:
    parts = sources.streetview_lights(shared / "data" / "road")
    content = json.loads(sources.STREETVIEW_STATES.read_text(encoding="utf-8"))
    assert sum(len(c) for c in parts.values()) == sum(len(m) for m in content["states"].values())
