"""Average precision of detections against labelled boxes.

The COCO measure (`perception.evaluation.average_precision`). Pictures of different sources label different
classes: a group of classes is judged only in the pictures that label it wholly, so an object nobody
labelled is never called a false alarm.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from perception.errors import InputError, RequestError
from perception.evaluation.average_precision import THRESHOLDS, Matched, match
from perception.geometry import iou
from perception.types import F32, Detections


@dataclass(frozen=True, slots=True)
class Truth:
    """The labelled boxes of one picture.

    Attributes:
        path: of the picture.
        size: (width, height).
        xyxy: (M, 4) float32, pixels.
        labels: one per box.
        labelled: the labels this picture's source uses; others are unknown here.
        source, split, group: as the file says, "" where it does not.
        frame: number of a video's frame, where the file says it.
        number: the picture's id in the file; categories: (id, label) of the file.
    """

    path: Path
    size: tuple[int, int]
    xyxy: F32
    labels: tuple[str, ...]
    labelled: tuple[str, ...]
    source: str = ""
    split: str = ""
    group: str = ""
    frame: int | None = None
    number: int = -1
    categories: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """Classes that are judged as one.

    Attributes:
        name: of the figure.
        labels: labels of the truth that belong to it.
        classes: detected classes that belong to it.
        complete: alternatives; a picture counts when its source labels all of one of them.
    """

    name: str
    labels: tuple[str, ...]
    classes: tuple[str, ...]
    complete: tuple[tuple[str, ...], ...]

    def counts(self, truth: Truth) -> bool:
        return any(set(names) <= set(truth.labelled) for names in self.complete)


def _single(name: str) -> Group:
    return Group(name, (name,), (name,), ((name,),))


LIGHT_LABELS = ("traffic_light", "tl_red", "tl_yellow", "tl_green", "tl_off")
# `vehicle` judges finding the vehicle whatever its kind: some sources merge car and truck.
ROAD_GROUPS = (
    Group(
        "vehicle",
        ("car", "truck", "bus", "vehicle"),
        ("car", "truck", "bus"),
        (("car", "truck", "bus"), ("vehicle", "bus")),
    ),
    *(_single(name) for name in ("car", "truck", "bus", "motorcycle", "bicycle", "person")),
    Group(
        "traffic_light",
        LIGHT_LABELS,
        ("traffic_light",),
        (("traffic_light",), ("tl_red", "tl_green", "tl_yellow")),
    ),
    _single("traffic_sign"),
    _single("plate"),
)


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured for one group.

    Attributes:
        ap: mean over IoU 0.50 to 0.95 in steps of 0.05.
        ap50: at IoU 0.5.
        recall: highest at IoU 0.5.
        objects, pictures: how many were judged.
    """

    ap: float
    ap50: float
    recall: float
    objects: int
    pictures: int


def load_truth(path: str | Path) -> list[Truth]:
    """Read a COCO json file, or a folder's annotations.json; picture names are relative to it.

    Raises:
        InputError: no such file, not COCO json, or an entry is broken (the message says which).
    """
    path = Path(path)
    if path.is_dir():
        path = path / "annotations.json"
    if not path.is_file():
        raise InputError(f"{path}: no such file; give a COCO json file or the folder that has one")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        names = {entry["id"]: str(entry["name"]) for entry in content["categories"]}
        images, annotations = content["images"], content["annotations"]
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: not a JSON file ({error})") from error
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not a COCO file: images, annotations or categories are missing ({error})"
        ) from error
    boxes: dict[Any, list[tuple[list[float], str]]] = {}
    for entry in annotations:
        try:
            x, y, width, height = (float(value) for value in entry["bbox"])
            label = names[entry["category_id"]]
            boxes.setdefault(entry["image_id"], []).append(([x, y, x + width, y + height], label))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: annotation {entry} is broken ({error!r})") from error
    truths = []
    categories = tuple((int(key), name) for key, name in names.items())
    for entry in images:
        try:
            mine = boxes.get(entry["id"], [])
            truths.append(
                Truth(
                    path=path.parent / entry["file_name"],
                    size=(int(entry["width"]), int(entry["height"])),
                    xyxy=np.array([box for box, _ in mine], np.float32).reshape(-1, 4),
                    labels=tuple(label for _, label in mine),
                    labelled=tuple(entry.get("labelled", names.values())),
                    source=str(entry.get("source", "")),
                    split=str(entry.get("split", "")),
                    group=str(entry.get("group", "")),
                    frame=int(entry["frame"]) if "frame" in entry else None,
                    number=int(entry["id"]),
                    categories=categories,
                )
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: picture {entry} is broken ({error!r})") from error
    return truths


def evaluate(
    truths: Sequence[Truth],
    detections: Sequence[Detections],
    groups: Sequence[Group] = ROAD_GROUPS,
) -> dict[str, Figures]:
    """Figures by group name; a group without a labelled object is left out.

    Raises:
        RequestError: the lists differ in length.
    """
    if len(truths) != len(detections):
        raise RequestError(
            f"there must be one Detections per picture, but {len(truths)} pictures have "
            f"{len(detections)}"
        )
    figures = {}
    for group in groups:
        result = matched(truths, detections, group)
        if result.wanted:
            each = [result.average_precision(row) for row in range(len(THRESHOLDS))]
            figures[group.name] = Figures(
                ap=float(np.mean(each)),
                ap50=each[0],
                recall=float(result.recall()[-1]) if len(result.score) else 0.0,
                objects=result.wanted,
                pictures=sum(group.counts(truth) for truth in truths),
            )
    return figures


def groups_of(truths: Sequence[Truth]) -> list[Group]:
    """The road's groups, and one for each label of these pictures that none of them judges."""
    known = {label for group in ROAD_GROUPS for label in group.labels}
    used = sorted({label for truth in truths for label in truth.labels} - known)
    return [*ROAD_GROUPS, *(_single(label) for label in used)]


def precision_recall_at(
    truths: Sequence[Truth],
    detections: Sequence[Detections],
    group: Group,
    *,
    min_score: float,
    min_iou: float = 0.5,
    min_height: float = 0.0,
) -> tuple[float, float]:
    """Precision and recall of one working point.

    Boxes of the truth lower than `min_height` pixels are not asked for: finding them is neither right nor
    wrong. Matching is greedy by score, one detection per box, as in COCO.

    Returns:
        (precision, recall); 1.0 where nothing was detected or nothing was to be found.
    """
    right = wrong = wanted = 0
    for truth, found in zip(truths, detections, strict=True):
        if not group.counts(truth):
            continue
        boxes = truth.xyxy[_rows(truth.labels, group.labels)]
        asked = boxes[:, 3] - boxes[:, 1] >= min_height
        wanted += int(asked.sum())
        classes = np.array([name in group.classes for name in found.classes], bool)
        mine = found[classes[found.class_id] & (found.score >= min_score)]
        overlap = iou(mine.xyxy, boxes)
        free = np.ones(len(boxes), bool)
        for row in np.argsort(-mine.score, kind="stable"):
            # Asked-for boxes first, as COCO does with its ignored ones.
            match = _best(overlap[row], free & asked, min_iou)
            if match is not None:
                free[match] = False
                right += 1
                continue
            match = _best(overlap[row], free & ~asked, min_iou)
            if match is not None:
                free[match] = False
            elif not (overlap[row][~asked] > 0.1).any():
                wrong += 1
    precision = right / (right + wrong) if right + wrong else 1.0
    return precision, right / wanted if wanted else 1.0


def table(
    rows: Mapping[str, Mapping[str, Figures]], *, figure: str = "ap50", by_group: bool = False
) -> str:
    """A Markdown table: one line per engine, one column per group; or `by_group`, with every figure."""
    names = list(dict.fromkeys(name for figures in rows.values() for name in figures))
    if by_group:
        lines = [
            "| engine | group | AP50 | AP | recall | objects | pictures |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]
        for engine, figures in rows.items():
            for name, f in figures.items():
                line = f"| {engine} | {name} | {f.ap50:.3f} | {f.ap:.3f} | {f.recall:.3f} "
                lines.append(line + f"| {f.objects} | {f.pictures} |")
        return "\n".join(lines)
    lines = ["| engine | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(names)]
    for engine, figures in rows.items():
        cells = [f"{getattr(figures[n], figure):.3f}" if n in figures else "-" for n in names]
        lines.append(f"| {engine} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _rows(labels: Sequence[str], wanted: Sequence[str]) -> Any:
    return np.array([label in wanted for label in labels], bool)


def _best(overlap: F32, free: Any, min_iou: float) -> int | None:
    candidates = np.where(free, overlap, -1.0)
    if not len(candidates) or candidates.max() < min_iou:
        return None
    return int(candidates.argmax())


def matched(truths: Sequence[Truth], detections: Sequence[Detections], group: Group) -> Matched:
    """Every detection of the group in the pictures that label it, matched with their boxes."""
    pictures = []
    for truth, found in zip(truths, detections, strict=True):
        if group.counts(truth):
            wanted = {*group.classes, *group.labels}
            mine = np.array([name in wanted for name in found.classes], bool)[found.class_id]
            boxes = truth.xyxy[_rows(truth.labels, group.labels)]
            pictures.append((boxes, found.xyxy[mine], found.score[mine]))
    return match(pictures)
