"""Training pictures: boxes follow their objects, signs are not mirrored, batches are reproducible."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from engines.data.augment import Settings, make_picture, spoil  # noqa: E402
from engines.data.coco import Sample, load_coco  # noqa: E402
from engines.data.loader import Loader  # noqa: E402
from perception.errors import ConfigError  # noqa: E402
from perception.types import ROAD_CLASSES  # noqa: E402

CLEAN = {name: 0.0 for name in ("light", "night", "rain", "blur", "noise", "compression", "coarse")}
STILL = {**CLEAN, "aspect": 0.05, "stay_squeezed": 0.0}
CLASSES = len(ROAD_CLASSES)


def one_box(kind: str, colour: int = 255) -> tuple[Sample, np.ndarray]:
    image = np.zeros((100, 160, 3), np.uint8)
    image[20:60, 30:70] = colour
    allowed = np.zeros((1, CLASSES), bool)
    allowed[0, ROAD_CLASSES.index(kind)] = True
    sample = Sample(
        path=Path("x.png"),
        size=(160, 100),
        source="made",
        group="",
        split="train",
        xyxy=np.array([[30, 20, 70, 60]], np.float32),
        allowed=allowed,
        known=np.ones(CLASSES, bool),
        ignore=np.zeros((0, 4), np.float32),
        ignore_classes=np.zeros((0, CLASSES), bool),
    )
    return sample, image


@pytest.mark.parametrize("mosaic", [0.0, 1.0])
def test_boxes_follow_their_objects(mosaic: float) -> None:
    item = one_box("car")
    settings = Settings(mosaic=mosaic, **CLEAN)
    seen = 0
    for seed in range(40):
        image, target = make_picture(
            lambda _: item, np.random.default_rng(seed), (256, 160), settings
        )
        for x1, y1, x2, y2 in target.xyxy.tolist():
            inside = image[round(y1) + 2 : round(y2) - 2, round(x1) + 2 : round(x2) - 2]
            if inside.size:
                assert inside.mean() > 240
                seen += 1
    assert seen > 20


def test_signs_and_plates_are_never_mirrored() -> None:
    columns = tuple(ROAD_CLASSES.index(name) for name in ("traffic_sign", "plate"))
    settings = Settings(mosaic=0, flip=1.0, zoom=(1.0, 1.0), **CLEAN)
    for kind, mirrored in (("traffic_sign", False), ("plate", False), ("car", True)):
        sample, image = one_box(kind)
        image[20:60, 30:50] = (0, 0, 255)  # the left half is red
        picture, target = make_picture(
            lambda _, item=(sample, image): item,
            np.random.default_rng(3),
            (256, 160),
            settings,
            one_sided=columns,
        )
        x1, y1, x2, y2 = target.xyxy[0].tolist()
        left = picture[int((y1 + y2) / 2), int(x1 + (x2 - x1) / 4)]
        assert (left[0] < 50) != mirrored


def test_each_tile_of_a_mosaic_keeps_its_own_ignorance() -> None:
    sample, image = one_box("car")
    known = np.zeros(CLASSES, bool)
    known[0] = True
    from dataclasses import replace

    item = (replace(sample, known=known), image)
    _, target = make_picture(
        lambda _: item, np.random.default_rng(0), (256, 160), Settings(mosaic=1.0, **CLEAN)
    )
    tiles = target.ignore[-4:]
    assert target.known.all()
    assert target.ignore_classes[-4:, 1:].all() and not target.ignore_classes[-4:, 0].any()
    sides = tiles[:, 2:] - tiles[:, :2]
    assert float(sides.prod(1).sum()) == 256 * 160


def test_a_squeezed_source_gets_its_shape_back() -> None:
    item = one_box("car")
    wide = Settings(mosaic=0, zoom=(1, 1), flip=0, stretched={"made": 1.7}, **STILL)
    shapes = []
    for seed in range(20):
        _, target = make_picture(lambda _: item, np.random.default_rng(seed), (320, 320), wide)
        for x1, y1, x2, y2 in target.xyxy.tolist():
            if x1 > 0 and y1 > 0 and x2 < 320 and y2 < 320:
                shapes.append((x2 - x1) / (y2 - y1))
    assert np.mean(shapes) == pytest.approx(1.7, abs=0.15)


def test_every_kind_of_damage_keeps_shape_and_type() -> None:
    image = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
    for name in CLEAN:
        settings = Settings(**{**CLEAN, name: 1.0})
        for seed in range(4):
            spoilt = spoil(image, np.random.default_rng(seed), settings)
            assert spoilt.shape == image.shape and spoilt.dtype == np.uint8
            assert (spoilt != image).any()


def loader(rectangles: Path, **changes: object) -> Loader:
    samples = [s for s in load_coco(rectangles, ROAD_CLASSES) if s.split == "train"]
    arguments = {
        "weights": {"rectangles": 1.0},
        "classes": ROAD_CLASSES,
        "batch": 3,
        "sizes": [(64, 64), (96, 64)],
        "settings": Settings(),
        "seed": 5,
        **changes,
    }
    return Loader(samples, **arguments)  # type: ignore[arg-type]


def test_a_batch_depends_on_seed_and_number_only(rectangles: Path) -> None:
    one, two = loader(rectangles), loader(rectangles)
    wanted = [one.batch(number) for number in range(4)]
    found = [two.batch(number) for number in range(2, 4)]
    for (a, targets_a, size_a), (b, targets_b, size_b) in zip(wanted[2:], found, strict=True):
        assert torch.equal(a, b) and size_a == size_b
        for x, y in zip(targets_a, targets_b, strict=True):
            assert torch.equal(x.xyxy, y.xyxy)
    assert not torch.equal(
        loader(rectangles, seed=6, sizes=[(64, 64)]).batch(0)[0],
        loader(rectangles, seed=7, sizes=[(64, 64)]).batch(0)[0],
    )


def test_weights_name_known_sources_and_leave_something(rectangles: Path) -> None:
    with pytest.raises(ConfigError, match="circles"):
        loader(rectangles, weights={"circles": 1.0})
    with pytest.raises(ConfigError, match="leaves no picture"):
        loader(rectangles, weights={"rectangles": 0.0})
