"""What is on every frame of a clip, by group of classes: the truth that a run over the clip is scored against.

Two forms are read: the JSON beside the clips of sample_videos/ (objects with class, box, id and visibility), and
MOTChallenge text, whose numbers for classes mean cars in KITTI's files, people in MOT17's, and anything else
where neither fits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from perception.errors import InputError
from perception.evaluation.detection import ROAD_GROUPS
from perception.evaluation.mot import BoxTable, read_mot
from perception.evaluation.tracking import RULES, Rule, rule_for

# Kinds of road users and things; the single kinds of vehicle would say again what "vehicle" says.
GROUPS = tuple(group for group in ROAD_GROUPS if group.name not in ("car", "truck", "bus"))
# Objects of which less is to be seen are neither asked for nor wrong, as in benchmarks/samples.py.
MIN_VISIBILITY = 0.25
MIN_HEIGHT = 24.0
# Things that are small by nature.
MIN_HEIGHTS = {"traffic_sign": 12.0, "traffic_light": 12.0, "plate": 8.0}
# Which detected classes a MOTChallenge file is about, by the rule that fits it; None: all.
CLASSES_OF_RULE: Mapping[str, tuple[str, ...] | None] = {
    "kitti": ("car", "truck", "bus"),
    "mot17": ("person",),
    "plain": None,
}


@dataclass(frozen=True, slots=True)
class GroupTruth:
    """The true boxes of one group of classes.

    Attributes:
        name: of the group.
        classes: detected classes that belong to it; None: all.
        boxes: by frame, counted from 0; a score of 0 says "neither asked for nor wrong".
        rule: which of the boxes count.
    """

    name: str
    classes: tuple[str, ...] | None
    boxes: BoxTable
    rule: Rule


def read_video_truth(path: str | Path) -> list[GroupTruth]:
    """Read the truth of a clip; groups without a single box are left out.

    Raises:
        InputError: no such file, or it is neither form; says where it is broken.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the truth of the clip, as JSON or as text")
    if path.suffix.lower() == ".json":
        return _from_json(path)
    return [_from_mot(path)]


def _from_mot(path: Path) -> GroupTruth:
    table = read_mot(path, unique_ids=True)
    if len(table) == 0:
        raise InputError(f"{path}: expected truth, but the file has no lines")
    name = rule_for([table])
    # MOTChallenge counts frames from 1, some of its imitators from 0.
    first = min(1, int(table.frame.min()))
    table = replace(table, frame=table.frame - first)
    label = {"kitti": "vehicle", "mot17": "person"}.get(name, "object")
    return GroupTruth(label, CLASSES_OF_RULE[name], table, RULES[name])


def _from_json(path: Path) -> list[GroupTruth]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        labelled = set(content["classes"])
        rows = [
            (int(entry["frame"]), row) for entry in content["frames"] for row in entry["objects"]
        ]
        every = [_row(frame, row) for frame, row in rows]
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: not a JSON file ({error})") from error
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: not the truth of a clip (classes, frames with objects of id, class and xyxy): {error!r}"
        ) from error
    groups = []
    for group in GROUPS:
        if not any(set(names) <= labelled for names in group.complete):
            continue
        mine = [values for label, values in every if label in group.labels]
        if mine:
            height = MIN_HEIGHTS.get(group.name, MIN_HEIGHT)
            rule = Rule(unconsidered_neutral=True, min_height=height)
            groups.append(GroupTruth(group.name, group.classes, _table(path, mine, height), rule))
    if not groups:
        raise InputError(f"{path}: none of its classes {sorted(labelled)} can be scored")
    return groups


def _row(frame: int, row: Mapping[str, Any]) -> tuple[str, list[float]]:
    """Class, and frame, id, four sides, visibility."""
    x1, y1, x2, y2 = (float(value) for value in row["xyxy"])
    if x2 < x1 or y2 < y1:
        raise ValueError(f"frame {frame}: xyxy must go from left to right and top to bottom")
    return str(row["class"]), [
        frame,
        int(row["id"]),
        x1,
        y1,
        x2,
        y2,
        float(row.get("visibility", 1)),
    ]


def _table(path: Path, rows: Sequence[list[float]], min_height: float) -> BoxTable:
    values = np.array(rows, np.float64)
    values = values[np.argsort(values[:, 0], kind="stable")]
    asked = (values[:, 6] >= MIN_VISIBILITY) & (values[:, 5] - values[:, 3] >= min_height)
    return BoxTable(
        path=str(path),
        frame=values[:, 0].astype(np.int64),
        object_id=values[:, 1].astype(np.int64),
        xyxy=values[:, 2:6],
        score=asked.astype(np.float64),
        class_id=np.full(len(values), -1, np.int64),
        line=np.zeros(len(values), np.int64),
    )
