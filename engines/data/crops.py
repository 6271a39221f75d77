"""Crops to classify: signs from GTSRB's archive, lights and non-objects from labelled pictures."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from engines.data.coco import load_coco
from perception.errors import InputError
from perception.evaluation.detection import Truth
from perception.geometry import iou
from perception.types import ROAD_CLASSES

U8 = npt.NDArray[np.uint8]

# GTSRB class numbers 0..42 (Stallkamp et al., "Man vs. computer", 2012).
SIGNS = tuple(
    "speed_20 speed_30 speed_50 speed_60 speed_70 speed_80 end_speed_80 speed_100 speed_120 "
    "no_overtaking no_overtaking_trucks priority_at_next_crossing priority_road yield stop no_vehicles "
    "no_trucks no_entry danger curve_left curve_right double_curve bumpy_road slippery_road "
    "road_narrows road_works traffic_signals pedestrians children bicycles ice wild_animals "
    "end_of_limits turn_right turn_left straight straight_or_right straight_or_left keep_right "
    "keep_left roundabout end_no_overtaking end_no_overtaking_trucks".split()
)
NO_SIGN = "none"
LIGHTS = ("red", "yellow", "green", "unknown")
MARGIN = 0.1  # of a box's sides, added around it before cropping


@dataclass(frozen=True)
class Crops:
    """Pictures (N, S, S, 3) uint8 BGR with class numbers (N,)."""

    pictures: U8
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


def sign_crops(path: str | Path, side: int) -> tuple[Crops, Crops]:
    """(training, judging) crops of GTSRB's archive; every sixth track of a class judges.

    A track is up to 30 pictures of one physical sign, so it is never split.

    Raises:
        InputError: no such archive, or an entry that is no picture or has another name.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such archive of sign crops")
    parts: tuple[list[tuple[U8, int]], list[tuple[U8, int]]] = ([], [])
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if not name.endswith(".jpg"):
                continue
            try:
                folder, file_name = name.split("/")[-2:]
                label, track = int(folder), int(file_name.split("_")[0])
            except ValueError as error:
                raise InputError(f"{path}: {name}: must be CC/TTTTT_FF.jpg") from error
            image = cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_COLOR)
            if image is None:
                raise InputError(f"{path}: {name}: the picture cannot be decoded")
            square = cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR)
            judges = (track + label) % 6 == 0
            parts[judges].append((np.asarray(square, np.uint8), label))
    return _stack(parts[0], side), _stack(parts[1], side)


def rendered_lights(folder: str | Path, side: int, *, least: float = 6.0) -> Crops:
    """Crops of the lights of rendered scenes, at least `least` pixels high, by their `light` attribute."""
    path = Path(folder) / "annotations.json"
    if not path.is_file():
        raise InputError(f"{path}: no such file; make it with sample_videos/render.py --train")
    content = json.loads(path.read_text(encoding="utf-8"))
    names = {entry["id"]: entry["file_name"] for entry in content["images"]}
    states: dict[str, list[tuple[list[float], str]]] = {}
    for entry in content["annotations"]:
        state = entry.get("attributes", {}).get("light")
        if state in LIGHTS and entry["bbox"][3] >= least and entry.get("visibility", 1) > 0.7:
            states.setdefault(names[entry["image_id"]], []).append((entry["bbox"], state))
    found = []
    for name, items in states.items():
        image = cv2.imread(str(path.parent / name), cv2.IMREAD_COLOR)
        if image is None:
            raise InputError(f"{path.parent / name}: the picture cannot be read")
        for (x, y, width, height), state in items:
            box = np.array([x, y, x + width, y + height], np.float32)
            found.append((crop(np.asarray(image, np.uint8), box, side), LIGHTS.index(state)))
    return _stack(found, side)


def light_crops(truths: Sequence[Truth], side: int) -> Crops:
    """Crops of the lights of pictures whose labels say their state."""
    found = []
    for truth in truths:
        states = [
            (box, label.removeprefix("tl_"))
            for box, label in zip(truth.xyxy, truth.labels, strict=True)
            if label.removeprefix("tl_") in LIGHTS
        ]
        if not states:
            continue
        image = cv2.imread(str(truth.path), cv2.IMREAD_COLOR)
        if image is None:
            raise InputError(f"{truth.path}: the picture cannot be read")
        picture = np.asarray(image, np.uint8)
        found += [(crop(picture, box, side), LIGHTS.index(state)) for box, state in states]
    return _stack(found, side)


def background(
    data: str | Path, side: int, *, label: int, avoid: Sequence[str], most: int, judging: bool
) -> Crops:
    """Random crops of road pictures that touch no box of the classes `avoid`, where all are labelled.

    Pictures are split for training and judging by a checksum of their group.
    """
    columns = [ROAD_CLASSES.index(name) for name in avoid]
    found: list[tuple[U8, int]] = []
    samples = [s for s in load_coco(data, ROAD_CLASSES) if s.split == "train"]
    samples = [s for s in samples if s.known[columns].all()]
    samples = [s for s in samples if (zlib.crc32(s.group.encode()) % 6 == 0) == judging]
    per_picture = -(-most // max(1, len(samples)))
    for sample in samples:
        rng = np.random.default_rng(zlib.crc32(sample.path.name.encode()))
        image = sample.read()
        height, width = image.shape[:2]
        for _ in range(per_picture):
            size = np.exp(rng.uniform(np.log(10), np.log(min(height, width) / 3)))
            shape = np.array([size, size * np.exp(rng.normal(0, 0.3))])
            corner = rng.uniform(0, 1, 2) * (np.array([width, height]) - shape)
            box = np.concatenate([corner, corner + shape]).astype(np.float32)
            boxes = sample.xyxy[sample.allowed[:, columns].any(1)]
            grown = box + np.concatenate([-shape, shape]).astype(np.float32) * (MARGIN + 0.05)
            if len(boxes) and iou(grown[None], boxes).max() > 0:
                continue
            found.append((crop(image, box, side), label))
    return _stack(found[:most], side)


def crop(image: U8, box: npt.NDArray[np.float32], side: int) -> U8:
    """The box with a margin, stretched to a square; outside the picture, its edge goes on."""
    x1, y1, x2, y2 = (float(value) for value in box)
    grow_x, grow_y = (x2 - x1) * MARGIN, (y2 - y1) * MARGIN
    scale_x, scale_y = side / (x2 - x1 + 2 * grow_x), side / (y2 - y1 + 2 * grow_y)
    matrix = np.array(
        [[scale_x, 0, -(x1 - grow_x) * scale_x], [0, scale_y, -(y1 - grow_y) * scale_y]], np.float32
    )
    return np.asarray(
        cv2.warpAffine(image, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


def join(*parts: Crops) -> Crops:
    """All crops in one."""
    return Crops(
        np.concatenate([part.pictures for part in parts]),
        np.concatenate([part.labels for part in parts]),
    )


def _stack(found: Sequence[tuple[U8, int]], side: int) -> Crops:
    return Crops(
        np.array([picture for picture, _ in found], np.uint8).reshape(-1, side, side, 3),
        np.array([label for _, label in found], np.int64),
    )
