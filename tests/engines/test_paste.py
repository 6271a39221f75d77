"""Signs pasted into other pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from engines.data.augment import Settings, make_picture
from engines.data.coco import Sample
from engines.data.paste import Patches

CLASSES = ("car", "traffic_sign", "traffic_light")
RED = (20, 20, 220)


def sample(
    *boxes: tuple[float, float, float, float], column: int = 1, knows: bool = True
) -> Sample:
    xyxy = np.array(boxes, np.float32).reshape(-1, 4)
    allowed = np.zeros((len(boxes), 3), bool)
    allowed[:, column] = True
    return Sample(
        path=Path("x.png"),
        size=(200, 150),
        source="streets",
        group="",
        split="train",
        xyxy=xyxy,
        allowed=allowed,
        known=np.array([True, knows, True]),
        ignore=np.zeros((0, 4), np.float32),
        ignore_classes=np.zeros((0, 3), bool),
        labels=tuple(CLASSES[column] for _ in boxes),
    )


def picture(*boxes: tuple[float, float, float, float]) -> np.ndarray:
    image = np.full((150, 200, 3), 90, np.uint8)
    for x1, y1, x2, y2 in boxes:
        image[int(y1) : int(y2), int(x1) : int(x2)] = RED
    return image


SIGN = (80.0, 60.0, 110.0, 90.0)


def patches(*, stretched: float = 1.0, knows: bool = False) -> Patches:
    return Patches(
        [sample(SIGN, knows=knows)], CLASSES, lambda _: picture(SIGN), {"streets": stretched}
    )


@pytest.mark.parametrize("seed", range(8))
def test_a_pasted_sign_is_where_its_box_says(seed: int) -> None:
    canvas = np.full((300, 400, 3), 90, np.uint8)
    boxes, kinds = patches().paste(
        canvas, np.zeros((0, 4), np.float32), np.random.default_rng(seed)
    )
    assert len(boxes) >= 1 and (kinds == [False, True, False]).all()
    redness = canvas[..., 2].astype(int) - canvas[..., 0]
    for x1, y1, x2, y2 in boxes:
        assert redness[round((y1 + y2) / 2), round((x1 + x2) / 2)] > 60
        redness[int(y1) : int(np.ceil(y2)) + 1, int(x1) : int(np.ceil(x2)) + 1] = 0
        assert abs((x2 - x1) - (y2 - y1)) <= 2, "a square sign stays square"
    assert redness.max() < 100, "no sign without a box"


def test_a_squeezed_source_is_unsqueezed() -> None:
    canvas = np.full((300, 400, 3), 90, np.uint8)
    boxes, _ = patches(stretched=2.0).paste(
        canvas, np.zeros((0, 4), np.float32), np.random.default_rng(1)
    )
    ratio = (boxes[:, 2] - boxes[:, 0]) / (boxes[:, 3] - boxes[:, 1])
    assert ratio.tolist() == pytest.approx([2.0] * len(boxes), rel=0.25)


def test_nothing_is_pasted_over_what_is_there() -> None:
    canvas = np.full((300, 400, 3), 90, np.uint8)
    whole = np.array([[0, 0, 400, 300]], np.float32)
    boxes, _ = patches().paste(canvas, whole, np.random.default_rng(0))
    assert len(boxes) == 0 and (canvas == 90).all()


def test_background_is_pasted_without_a_label() -> None:
    pasted = [
        len(
            patches(knows=True).paste(
                np.full((300, 400, 3), 200, np.uint8),
                np.zeros((0, 4), np.float32),
                np.random.default_rng(seed),
            )[0]
        )
        for seed in range(40)
    ]
    alone = [
        len(
            patches().paste(
                np.full((300, 400, 3), 200, np.uint8),
                np.zeros((0, 4), np.float32),
                np.random.default_rng(seed),
            )[0]
        )
        for seed in range(40)
    ]
    assert 0.4 < sum(pasted) / sum(alone) < 0.8


def test_training_pictures_gain_the_pasted_labels() -> None:
    street = sample(knows=True)
    settings = Settings(
        mosaic=0,
        flip=0,
        light=0,
        night=0,
        rain=0,
        blur=0,
        noise=0,
        compression=0,
        coarse=0,
        paste=1,
    )
    _, target = make_picture(
        lambda _: (street, picture()),
        np.random.default_rng(2),
        (320, 256),
        settings,
        patches=patches(),
    )
    assert len(target.xyxy) >= 1 and target.allowed[:, 1].all()


def test_a_teacher_is_not_copied() -> None:
    taught = sample(SIGN)
    object.__setattr__(taught, "labels", ("teacher:traffic_sign",))
    assert len(Patches([taught], CLASSES, lambda _: picture(SIGN), {})) == 0
