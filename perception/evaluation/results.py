"""Read what was detected, for `perception eval detection`: our own record (JSON lines), or COCO results."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from perception.errors import InputError
from perception.evaluation.detection import Truth
from perception.types import Detections


def read_results(path: str | Path, truths: Sequence[Truth]) -> list[Detections]:
    """Detections of every picture of the truth.

    A line of a record belongs to the picture of its `path`; where that is null (a video), to the picture
    whose entry in the truth has the same `frame`. COCO results belong by `image_id`, and name their class
    by the truth's `category_id`. Tracks that were only predicted are no detections.

    Raises:
        InputError: no such file, neither form, an entry is broken, or pictures of the truth are missing.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"{path}: no such file; results are a record of perception run, or COCO json"
        )
    try:
        text = path.read_text(encoding="utf-8")
        first = text.lstrip()[:1]
        if first == "[":
            return _coco(json.loads(text), truths, path)
        lines = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: neither JSON lines nor a JSON list ({error})") from error
    if not lines or not isinstance(lines[0], dict) or "schema" not in lines[0]:
        raise InputError(
            f"{path}: must be a record of perception run --jsonl, or a list of COCO results"
        )
    return _record(lines[1:], truths, path)


def _record(
    lines: Sequence[Mapping[str, Any]], truths: Sequence[Truth], path: Path
) -> list[Detections]:
    by_picture: dict[Path | int, list[tuple[str, float, list[float]]]] = {}
    for number, line in enumerate(lines, 2):
        if "report" in line:
            continue
        try:
            name = line["path"]
            key = int(line["frame"]) if name is None else Path(name).resolve()
            by_picture[key] = [
                (str(item["class"]), float(item["score"]), [float(v) for v in item["xyxy"]])
                for item in line["objects"]
                if not item.get("predicted", False)
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: line {number} is broken ({error!r})") from error
    found = []
    missing = []
    for truth in truths:
        key = truth.path.resolve() if truth.frame is None else truth.frame
        if key not in by_picture:
            missing.append(truth.path.name if truth.frame is None else f"frame {truth.frame}")
            continue
        found.append(_detections(by_picture[key], path))
    if missing:
        raise InputError(
            f"{path}: has no line for {len(missing)} of {len(truths)} pictures of the truth, "
            f"the first is {missing[0]}"
        )
    return found


def _coco(
    entries: Sequence[Mapping[str, Any]], truths: Sequence[Truth], path: Path
) -> list[Detections]:
    names = {number: name for truth in truths for number, name in truth.categories}
    by_picture: dict[int, list[tuple[str, float, list[float]]]] = {}
    for number, entry in enumerate(entries):
        try:
            x, y, width, height = (float(value) for value in entry["bbox"])
            name = names[int(entry["category_id"])]
            row = (name, float(entry["score"]), [x, y, x + width, y + height])
            by_picture.setdefault(int(entry["image_id"]), []).append(row)
        except KeyError as error:
            raise InputError(
                f"{path}: entry {number} has no {error}, or a category the truth does not list"
            ) from error
        except (TypeError, ValueError) as error:
            raise InputError(f"{path}: entry {number} is broken ({error!r})") from error
    if by_picture and not {truth.number for truth in truths} & set(by_picture):
        raise InputError(f"{path}: none of its image_ids is in the truth; is it of other pictures?")
    # COCO results have no entry for a picture in which nothing was found.
    return [_detections(by_picture.get(truth.number, []), path) for truth in truths]


def _detections(rows: Sequence[tuple[str, float, list[float]]], path: Path) -> Detections:
    classes = tuple(dict.fromkeys(name for name, _, _ in rows)) or ("object",)
    try:
        return Detections(
            np.array([box for _, _, box in rows], np.float32).reshape(-1, 4),
            np.array([score for _, score, _ in rows], np.float32),
            np.array([classes.index(name) for name, _, _ in rows], np.int32),
            classes,
        )
    except ValueError as error:
        raise InputError(f"{path}: a box is broken ({error})") from error
