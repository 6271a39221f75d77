"""Labelled pictures from COCO json files with a `labelled` list per picture.

A class that a picture's source does not label is unknown there, not absent: `Sample.known` says which
classes may be trained as background. `add_teacher_labels` fills unknown classes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from engines.data.classes import known_classes, meaning
from perception.errors import ConfigError, InputError, unknown
from perception.geometry import iou

# An object of which less than this share can be seen (where the labels say so) is not asked for.
MIN_VISIBILITY = 0.3

# A teacher's box that covers more of the picture than LARGE and scores less is background.
LARGE, SURE_OF_LARGE = 0.03, 0.45

# Sources whose car never stands close behind another: what reaches the lower edge that wide is the road.
CLEAR_AHEAD = ("gtsdb", "clips")
ROAD_WIDTH = 0.5  # of the picture

# What number plates hang on.
PLATED = ("car", "truck", "bus", "motorcycle")

# Sources that box the lit lamp of a traffic light, not its housing: no labels for a detector.
LAMPS_ONLY = ("lights_korea",)

F32 = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled picture.

    Attributes:
        path: of the picture.
        size: (width, height).
        source: name of the data source; sampling weights are by source.
        group: pictures of one group (a ride, a video) stay on one side of a split.
        split: "train" or "eval".
        xyxy: (M, 4) boxes in pixels.
        allowed: (M, C) classes a box may be; several where the label leaves it open.
        known: (C,) classes whose every object is boxed.
        ignore: (K, 4) regions in which nothing is known about the classes of `ignore_classes` (K, C).
        labels: the source's own label of each box.
    """

    path: Path
    size: tuple[int, int]
    source: str
    group: str
    split: str
    xyxy: F32
    allowed: Bools
    known: Bools
    ignore: F32
    ignore_classes: Bools
    labels: tuple[str, ...] = field(default=())

    def read(self) -> npt.NDArray[np.uint8]:
        """The picture, (H, W, 3) uint8 BGR."""
        image = cv2.imread(str(self.path), cv2.IMREAD_COLOR)
        if image is None:
            problem = "cannot be decoded" if self.path.is_file() else "does not exist"
            raise InputError(f"{self.path}: the picture {problem}; check the data folder")
        return np.asarray(image, np.uint8)


def load_coco(
    path: str | Path, classes: Sequence[str], *, source: str | None = None
) -> list[Sample]:
    """Read a COCO json file; picture names are relative to it.

    Args:
        path: of the json file, or of a folder with an annotations.json.
        classes: our classes, in the order of the network.
        source: for pictures that do not say their `source`; pictures without a `split` are for
            training, without `group` they are a group of their own, without `labelled` every class
            of `classes` that the file names is labelled.

    Raises:
        InputError: no such file, not JSON, or an entry is broken; the message names file and entry.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "annotations.json"
    content = _read_json(path)
    names = {}
    for entry in _entries(content, "categories", path):
        names[_value(entry, "id", path, "categories")] = _value(entry, "name", path, "categories")
    for name in names.values():
        for our in meaning(name):
            if our not in classes:
                raise InputError(f"{path}: {unknown('class', name, classes)}")
    boxes: dict[int, list[tuple[list[float], str, bool]]] = {}
    images = _entries(content, "images", path)
    sizes = {entry.get("id"): (entry.get("width"), entry.get("height")) for entry in images}
    for entry in _entries(content, "annotations", path):
        number = entry.get("id")
        where = f"annotations, id {number}"
        picture = _value(entry, "image_id", path, where)
        if picture not in sizes:
            raise InputError(f"{path}: {where}: names picture {picture}, which is not listed")
        category = _value(entry, "category_id", path, where)
        if category not in names:
            raise InputError(f"{path}: {where}: names category {category}, which is not listed")
        box = _value(entry, "bbox", path, where)
        if len(box) != 4 or not np.isfinite(box).all() or box[2] <= 0 or box[3] <= 0:
            raise InputError(
                f"{path}: {where}: bbox must be x, y, width > 0, height > 0, but is {box}"
            )
        hidden = entry.get("visibility", 1.0) < MIN_VISIBILITY
        boxes.setdefault(picture, []).append((box, names[category], hidden))
    samples = []
    for entry in images:
        where = f"images, id {entry.get('id')}"
        file_name = _value(entry, "file_name", path, where)
        given = entry.get("source", source or path.parent.name)
        mine = [item for item in boxes.get(entry["id"], []) if meaning(item[1])]
        labelled = entry.get("labelled", list(names.values()))
        if given in LAMPS_ONLY:
            mine = [item for item in mine if meaning(item[1]) != ("traffic_light",)]
            labelled = [name for name in labelled if meaning(name) != ("traffic_light",)]
        xywh = np.array([box for box, _, _ in mine], np.float32).reshape(-1, 4)
        xyxy = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
        allowed = np.zeros((len(mine), len(classes)), bool)
        for row, (_, label, _) in enumerate(mine):
            for our in meaning(label):
                allowed[row, list(classes).index(our)] = True
        hidden = np.array([item[2] for item in mine], bool)
        samples.append(
            Sample(
                path=path.parent / file_name,
                size=(_value(entry, "width", path, where), _value(entry, "height", path, where)),
                source=given,
                group=str(entry.get("group", file_name)),
                split=entry.get("split", "train"),
                xyxy=xyxy[~hidden],
                allowed=allowed[~hidden],
                known=known_classes(labelled, classes),
                ignore=xyxy[hidden],
                ignore_classes=allowed[hidden],
                labels=tuple(label for _, label, hide in mine if not hide),
            )
        )
    return samples


def select(
    samples: Sequence[Sample], *, split: str, sources: Sequence[str], where: str
) -> list[Sample]:
    """The samples of a split and of these sources; an empty selection is an error."""
    have = {sample.source for sample in samples}
    for name in sources:
        if name not in have:
            raise ConfigError(f"{where}: {unknown('data source', name, sorted(have))}")
    found = [s for s in samples if s.split == split and s.source in sources]
    if not found:
        raise ConfigError(
            f"{where}: split {split!r} of {', '.join(sources)} has no pictures; choose another split"
        )
    return found


def hold_back(
    samples: Sequence[Sample], rule: Callable[[Sample], bool]
) -> tuple[list[Sample], list[Sample]]:
    """Split into (kept, held back) by `rule`."""
    return [s for s in samples if not rule(s)], [s for s in samples if rule(s)]


def add_teacher_labels(
    samples: Sequence[Sample],
    labels: Mapping[str, Sequence[Mapping[str, Any]]],
    classes: Sequence[str],
    *,
    taught: Sequence[str],
    sure: float,
    unsure: float,
    hints: Sequence[str] = (),
    sure_of_hint: float = 0.6,
) -> list[Sample]:
    """Fill the unknown classes of each sample with what a teacher saw.

    Boxes scored at least `sure` become labels, those between `unsure` and `sure` become regions in
    which that class is unknown, and the class counts as known everywhere else. A teacher's box that lies
    on a labelled box (IoU over 0.55) is that object under another name and is left out. A vehicle
    that a labelled plate hangs on is sure at any score: by night a teacher hardly sees more than its lamps.

    Args:
        labels: by "folder/name" of the picture: {"class", "score", "xyxy"} each.
        taught: classes that the teacher can see.
        hints: classes of which the teacher sees only some: boxes scored at least `sure_of_hint` become
            labels, and what it does not see stays unknown.
    """
    names = list(classes)
    filled = []
    for sample in samples:
        key = f"{sample.path.parent.name}/{sample.path.name}"
        if key not in labels:
            filled.append(sample)
            continue
        extra, regions = [], []
        plates = _plates(sample, names)
        for item in sorted(labels[key], key=lambda item: -item["score"]):
            if item["class"] not in names:
                continue
            column, score = names.index(item["class"]), item["score"]
            box = np.array([item["xyxy"]], np.float32)
            hint = item["class"] in hints and score >= sure_of_hint
            if sample.known[column] or not (hint or item["class"] in taught):
                continue
            bears = item["class"] in PLATED and _bears(box[0], plates).any()
            doubtful = _doubtful(box[0], score, sample) and not bears
            if (score < unsure and not bears) or (doubtful and plates is None):
                continue
            if len(sample.xyxy) and iou(box, sample.xyxy).max() > 0.55:
                continue
            # Two kinds for one object: the better scored is the label, the other is left open.
            twice = bool(extra) and iou(box, _boxes(extra)).max() > 0.55
            certain = bears or (score >= sure and not doubtful)
            (extra if (hint or certain) and not twice else regions).append((box[0], column))
            if bears and not twice:
                plates = plates[~_bears(box[0], plates)]
        for plate in () if plates is None else plates:
            # No vehicle was seen around it: there is one all the same.
            regions += [
                (_around(plate), names.index(name))
                for name in PLATED
                if name in taught and name in names
            ]
        known = sample.known.copy()
        known[[names.index(name) for name in taught]] = True
        filled.append(
            replace(
                sample,
                xyxy=np.concatenate([sample.xyxy, _boxes(extra)]),
                allowed=np.concatenate([sample.allowed, _rows(extra, len(classes))]),
                known=known,
                ignore=np.concatenate([sample.ignore, _boxes(regions)]),
                ignore_classes=np.concatenate(
                    [sample.ignore_classes, _rows(regions, len(classes))]
                ),
                labels=(*sample.labels, *(f"teacher:{classes[c]}" for _, c in extra)),
            )
        )
    return filled


def _doubtful(box: F32, score: float, sample: Sample) -> bool:
    """Whether a teacher's box is background rather than an object not seen surely.

    A small object may get a low score, a large one does not: it is a wall or the road. What fills the
    lower edge from side to side is the road, or the bonnet of the car that carries the camera.
    """
    width, height = sample.size
    x1, y1, x2, y2 = (float(value) for value in box)
    share = (x2 - x1) * (y2 - y1) / (width * height)
    widest = ROAD_WIDTH if sample.source in CLEAR_AHEAD else 0.8
    bonnet = y2 > 0.96 * height and x2 - x1 > widest * width
    return bonnet or (share > LARGE and score < SURE_OF_LARGE)


def _plates(sample: Sample, names: list[str]) -> F32 | None:
    """Labelled plates (P, 4); None where the source does not label them."""
    if "plate" not in names or not sample.known[names.index("plate")]:
        return None
    return sample.xyxy[sample.allowed[:, names.index("plate")]]


def _bears(box: F32, plates: F32 | None) -> Bools:
    """(P,) whether a plate hangs where a vehicle of this box has its own."""
    if plates is None or not len(plates):
        return np.zeros(0, bool)
    middle = (plates[:, :2] + plates[:, 2:]) / 2
    place = (middle - box[:2]) / (box[2:] - box[:2])
    share = (plates[:, 2] - plates[:, 0]) / (box[2] - box[0])
    low = (place[:, 1] > 0.4) & (place[:, 1] < 1)
    return np.asarray((abs(place[:, 0] - 0.5) < 0.35) & low & (share > 0.1) & (share < 0.6))


def _around(plate: F32) -> F32:
    """A region that the vehicle of a plate is in: four plates to each side, four up and one and a half down."""
    x1, y1, x2, y2 = plate
    wide = x2 - x1
    return np.array([x1 - 4 * wide, y1 - 4 * wide, x2 + 4 * wide, y2 + 1.5 * wide], np.float32)


def _boxes(items: Sequence[tuple[F32, int]]) -> F32:
    return np.array([box for box, _ in items], np.float32).reshape(-1, 4)


def _rows(items: Sequence[tuple[F32, int]], classes: int) -> Bools:
    rows = np.zeros((len(items), classes), bool)
    for number, (_, column) in enumerate(items):
        rows[number, column] = True
    return rows


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"{path}: no such file; a data set is a folder with an annotations.json")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: not a JSON file ({error})") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: must be a JSON object, but is a {type(content).__name__}")
    return content


def _entries(content: dict[str, Any], key: str, path: Path) -> list[dict[str, Any]]:
    entries = content.get(key)
    if not isinstance(entries, list):
        raise InputError(f"{path}: must have a list {key!r}, but has {type(entries).__name__}")
    return entries


def _value(entry: Mapping[str, Any], key: str, path: Path, where: str) -> Any:
    if key not in entry:
        raise InputError(f"{path}: {where}: has no {key!r}")
    return entry[key]
