"""Crops of road pictures and rendered scenes: signs, lights, and what is neither."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from engines.data.crops import LIGHTS, MARGIN, Crops, by_share, share_of, stack
from perception.backends import open_engine
from perception.crops import cut
from perception.errors import InputError
from perception.evaluation.detection import Truth, load_truth
from perception.geometry import iou
from perception.models.detector import Detector
from perception.types import F32, U8, Frame

# Stored with this margin (and MARGIN of it wanted), so that training can move and widen a crop.
WIDE = 0.5
STORED = 64
# Signs as the renderer and the road pictures call them, in GTSRB's names; None: no class of GTSRB.
RENDERED_SIGNS: dict[str, str | None] = {
    "right_of_way": "priority_at_next_crossing",
    "narrows_right": "road_narrows",
    "snow": "ice",
}
# The Korean source boxes the lit lamp alone: a crop of the housing is up to this many times as wide.
LAMP_WIDEN = 2.6
# Red and yellow together is left out: neither answer is wrong.
LIGHT_STATES = {"off": "unknown", "red_yellow": None}
# States of the street-view lights, by picture and number of the box; told by eye. Housings seen from the side or
# from behind are "unknown". Left out: what could not be told, and unlit ones narrower than 12 pixels.
STREETVIEW_STATES = Path(__file__).with_name("light_states.json")


def labelled_signs(road: str | Path, classes: Sequence[str]) -> dict[str, Crops]:
    """Crops of the road pictures whose signs have a kind; kinds that are no class are the last class."""
    return _boxes(
        "signs_road",
        (t for t in load_truth(road) if t.source == "signs_road"),
        {
            label: classes.index(label) if label in classes else len(classes) - 1
            for label in (*(f"speed_{n}" for n in range(20, 130, 10)), "stop")
        },
    )


def labelled_lights(road: str | Path) -> dict[str, Crops]:
    """Crops of lights whose state is labelled, but for the Seoul ride, which judges."""
    states = {f"tl_{name}": number for number, name in enumerate(LIGHTS)}
    truths = load_truth(road)
    found: dict[str, Crops] = {}
    for source in ("lights_korea", "signs_road"):
        lamps = source == "lights_korea"
        parts = _boxes(
            source,
            (t for t in truths if t.source == source),
            states,
            margin=WIDE + (LAMP_WIDEN - 1) if lamps else WIDE,
            widen=LAMP_WIDEN if lamps else 1.25,
            by_picture=True,
        )
        found |= {f"{source}/{part}": crops for part, crops in parts.items()}
    return found


def streetview_lights(road: str | Path) -> dict[str, Crops]:
    """Crops of the street-view lights whose state is in `STREETVIEW_STATES`."""
    content = json.loads(STREETVIEW_STATES.read_text(encoding="utf-8"))
    states: dict[str, dict[str, str]] = content["states"]

    def items() -> Iterator[tuple[str, U8, int]]:
        for truth in load_truth(road):
            mine = states.get(truth.path.name) if truth.source == content["source"] else None
            if mine is None:
                continue
            image = read(truth.path)
            for row, state in mine.items():
                box = truth.xyxy[int(row)]
                crop = cut(image, box, (STORED, STORED), margin=WIDE)
                yield share_of(truth.group), crop, LIGHTS.index(state)

    return by_share(items(), lambda found: _stack("streetview", found))


def seoul_lights(road: str | Path, *, jitter: float = 0.0) -> Crops:
    """The lights that judge; with `jitter`, their boxes' edges are off by that share, as a detector's are."""
    rng = np.random.default_rng(0)
    found = []
    for truth in load_truth(road):
        if truth.source != "lights_seoul":
            continue
        image = read(truth.path)
        for box, label in zip(truth.xyxy, truth.labels, strict=True):
            sides = np.tile(box[2:] - box[:2], 2)
            moved = (box + rng.normal(0, jitter, 4) * sides).astype(np.float32)
            found.append(
                (cut(image, moved, (STORED, STORED), margin=WIDE), LIGHTS.index(label[3:]))
            )
    return stack("lights_seoul", found, STORED, extent=_extent(WIDE))


def detected_lights(road: str | Path, engine: str | Path, *, min_score: float = 0.2) -> Crops:
    """The judging lights in the boxes that a detector gives them (IoU 0.3 with the labelled box or more)."""
    detector = Detector(open_engine(engine, backend="onnxruntime"), min_score=min_score)
    found = []
    try:
        for truth in load_truth(road):
            if truth.source != "lights_seoul" or not len(truth.xyxy):
                continue
            image = read(truth.path)
            boxes = detector.model(Frame(image))
            mine = boxes.xyxy[boxes.class_id == boxes.classes.index("traffic_light")]
            overlap = iou(mine, truth.xyxy)
            for box, row in zip(mine, overlap, strict=True):
                if row.max() >= 0.3:
                    crop = cut(image, box, (STORED, STORED), margin=WIDE)
                    found.append((crop, LIGHTS.index(truth.labels[int(row.argmax())][3:])))
    finally:
        detector.close()
    return stack("lights_seoul", found, STORED, extent=_extent(WIDE))


def rendered(
    folder: str | Path, attribute: str, classes: Sequence[str], *, least: float
) -> dict[str, Crops]:
    """Crops of rendered scenes' objects by an attribute ("sign", "light"), at least `least` pixels high."""
    path = Path(folder) / "annotations.json"
    if not path.is_file():
        raise InputError(f"{path}: no such file; make it with sample_videos/render.py --train")
    content = json.loads(path.read_text(encoding="utf-8"))
    names = {entry["id"]: entry["file_name"] for entry in content["images"]}
    wanted: dict[str, list[tuple[F32, int]]] = {}
    for entry in content["annotations"]:
        value = entry.get("attributes", {}).get(attribute)
        if value is None or min(entry["bbox"][2:]) < least or entry.get("visibility", 1) < 0.75:
            continue
        value = RENDERED_SIGNS.get(value, value)
        value = LIGHT_STATES.get(value, value) if attribute == "light" else value
        if value is None:
            continue
        label = classes.index(value) if value in classes else len(classes) - 1
        x, y, width, height = entry["bbox"]
        box = np.array([x, y, x + width, y + height], np.float32)
        wanted.setdefault(names[entry["image_id"]], []).append((box, label))

    def items() -> Iterator[tuple[str, U8, int]]:
        for name, boxes in wanted.items():
            image = read(path.parent / name)
            for box, label in boxes:
                yield share_of(name), cut(image, box, (STORED, STORED), margin=WIDE), label

    return by_share(items(), lambda found: _stack("rendered", found))


def other_objects(
    road: str | Path, labels: Sequence[str], label: int, *, most: int
) -> dict[str, Crops]:
    """Crops of labelled boxes that are something else, at most `most` of each of `labels`."""
    truths = load_truth(road)
    items: list[tuple[str, U8, int]] = []
    for name in labels:
        # Every source's pictures come together; a mixed order takes from all of them.
        order = np.random.default_rng(zlib.crc32(name.encode())).permutation(len(truths))
        taken = 0
        for truth in (truths[number] for number in order):
            rows = [row for row, have in enumerate(truth.labels) if have == name][:3]
            if not rows or taken >= most or truth.source == "lights_seoul":
                continue
            image = read(truth.path)
            for row in rows:
                crop = cut(image, truth.xyxy[row], (STORED, STORED), margin=WIDE)
                items.append((share_of(truth.group), crop, label))
                taken += 1
    return by_share(items, lambda found: _stack("other_objects", found))


def nothing(road: str | Path, avoid: Sequence[str], label: int, *, most: int) -> dict[str, Crops]:
    """Random crops that touch no box of the labels `avoid`."""
    truths = [t for t in load_truth(road) if t.split == "train"]
    per_picture = -(-most // max(1, len(truths)))

    def items() -> Iterator[tuple[str, U8, int]]:
        for truth in truths:
            rng = np.random.default_rng(zlib.crc32(truth.path.name.encode()))
            image = read(truth.path)
            rows = np.array([name in avoid for name in truth.labels], bool)
            for box in _random_boxes(rng, truth.size, per_picture):
                sides = np.concatenate([box[:2] - box[2:], box[2:] - box[:2]])
                grown = (box + sides * WIDE).astype(np.float32)
                if rows.any() and iou(grown[None], truth.xyxy[rows]).max() > 0:
                    continue
                yield share_of(truth.group), cut(image, box, (STORED, STORED), margin=WIDE), label

    return by_share(items(), lambda found: _stack("nothing", found))


def false_alarms(
    road: str | Path, engine: str | Path, source: str, task: str, label: int, *, min_score: float
) -> dict[str, Crops]:
    """What a detector takes for `task` in pictures of `source`, which labels that class wholly, and is not."""
    detector = Detector(open_engine(engine, backend="onnxruntime"), min_score=min_score)

    def items() -> Iterator[tuple[str, U8, int]]:
        for truth in load_truth(road):
            if truth.source != source:
                continue
            image = read(truth.path)
            found = detector.model(Frame(image))
            mine = found.xyxy[found.class_id == found.classes.index(task)]
            if len(truth.xyxy) and len(mine):
                mine = mine[iou(mine, truth.xyxy).max(1) < 0.05]
            for box in mine:
                yield share_of(truth.group), cut(image, box, (STORED, STORED), margin=WIDE), label

    try:
        return by_share(items(), lambda found: _stack("false_alarms", found))
    finally:
        detector.close()


def read(path: Path) -> U8:
    """(H, W, 3) uint8 BGR."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise InputError(f"{path}: the picture cannot be read; check the data folder")
    return np.asarray(image, np.uint8)


def _boxes(
    name: str,
    truths: Iterable[Truth],
    classes: Mapping[str, int],
    *,
    margin: float = WIDE,
    widen: float = 1.25,
    by_picture: bool = False,
) -> dict[str, Crops]:
    """Crops of the boxes whose label is one of `classes`."""

    def items() -> Iterator[tuple[str, U8, int]]:
        for truth in truths:
            mine = [
                (box, classes[label])
                for box, label in zip(truth.xyxy, truth.labels, strict=True)
                if label in classes
            ]
            image = read(truth.path) if mine else None
            part = share_of(truth.path.name if by_picture else truth.group)
            for box, label in mine:
                assert image is not None
                yield part, cut(image, box, (STORED, STORED), margin=margin), label

    def build(found: list[tuple[U8, int]]) -> Crops:
        return stack(name, found, STORED, extent=_extent(margin), widen=widen)

    return by_share(items(), build)


def _stack(name: str, found: list[tuple[U8, int]]) -> Crops:
    return stack(name, found, STORED, extent=_extent(WIDE), widen=1.25)


def _extent(margin: float) -> float:
    return (1 + 2 * MARGIN) / (1 + 2 * margin)


def _random_boxes(
    rng: np.random.Generator, size: tuple[int, int], count: int
) -> list[npt.NDArray[np.float32]]:
    """Boxes (4,) of 10 pixels to a third of the picture, anywhere in it."""
    boxes = []
    for _ in range(count):
        side = np.exp(rng.uniform(np.log(10), np.log(min(size) / 3)))
        sides = np.array([side, side * np.exp(rng.normal(0, 0.3))])
        corner = rng.uniform(0, 1, 2) * (np.array(size) - sides)
        boxes.append(np.concatenate([corner, corner + sides]).astype(np.float32))
    return boxes
