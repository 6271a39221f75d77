"""Scores of a run over a clip whose every frame has its truth, also of a run that did not keep up.

What a program that follows a camera knows when the next frame comes is the newest result there is by then. So
every frame of the truth is compared with that: a pipeline that is done with each frame before the next one
scores as if it had all the time in the world, and one that drops frames, or is late, pays for what moved
meanwhile. (The idea is that of Li, Wang and Ramanan, "Towards Streaming Perception", arXiv:2005.10420; there
a result has to be ready the moment the frame comes, so that no pipeline is ever right about it.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from perception.evaluation.mot import F64, I64, BoxTable
from perception.evaluation.tracking import Rule, match_frames
from perception.evaluation.tracking_metrics import score_sequence
from perception.evaluation.video_truth import GroupTruth
from perception.geometry import iou
from perception.types import Detections, FrameResult, Tracks

MIN_IOU = 0.5
RECALLS = np.linspace(0, 1, 101)
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a pipeline said about a frame, and when.

    Attributes:
        index: of the frame.
        time: of the frame, seconds.
        ready: when it was said, on the same clock.
        detections, tracks: by task.
    """

    index: int
    time: float
    ready: float
    detections: Mapping[str, Detections]
    tracks: Mapping[str, Tracks]

    @classmethod
    def of(cls, result: FrameResult, before: Answer | None = None) -> Answer:
        """From a result, without its picture; where a detector rested, what it said `before` still stands."""
        frame = result.frame
        detections = dict(result.detections)
        if before is not None:
            detections |= {
                task: found
                for task, found in before.detections.items()
                if f"detections.{task}" in result.skipped
            }
        ready = frame.time + result.latency
        return cls(frame.index, frame.time, ready, detections, dict(result.tracks))


@dataclass(frozen=True, slots=True)
class GroupScores:
    """How well one group of classes was found and followed, in percent.

    Attributes:
        ap50: average precision at IoU 0.5 over 101 points of recall.
        precision, recall: of everything that was said, whatever its score.
        hota, mota, idf1, switches: of the tracks; None when no tracker ran.
        boxes: true boxes that were asked for.
    """

    ap50: float
    precision: float
    recall: float
    hota: float | None
    mota: float | None
    idf1: float | None
    switches: int | None
    boxes: int

    def as_dict(self) -> dict[str, float | int | None]:
        values = {name: getattr(self, name) for name in self.__slots__}
        return {
            name: round(value, 2) if isinstance(value, float) else value
            for name, value in values.items()
        }


def in_time(answers: Sequence[Answer], times: Sequence[float]) -> dict[int, Answer]:
    """For each frame the newest answer there was when the next frame came; frames without any are left out.

    Args:
        answers: in order of frames.
        times: of every frame, seconds; the last frame gets as long as the one before.
    """
    known: dict[int, Answer] = {}
    steps = np.diff(times)
    ends = [*times[1:], times[-1] + (float(steps[-1]) if len(steps) else np.inf)] if times else []
    waiting = list(answers)[::-1]
    newest: Answer | None = None
    for number, end in enumerate(ends):
        while waiting and waiting[-1].index <= number and waiting[-1].ready <= end:
            newest = waiting.pop()
        if newest is not None:
            known[number] = newest
    return known


def score_video(
    truth: Sequence[GroupTruth], known: Mapping[int, Answer], frames: int
) -> dict[str, GroupScores]:
    """Scores by name of the group.

    Args:
        truth: of the clip.
        known: by frame, what was known of it.
        frames: length of the clip; truth of later frames is not asked for.
    """
    found = {}
    for group in truth:
        boxes = _rows(group.boxes, group.boxes.frame < frames)
        right, wanted = _judged(group, boxes, known)
        hits, said = int(right.sum()), len(right)
        tracking: dict[str, Any] = dict.fromkeys(("hota", "mota", "idf1", "switches"))
        if any(answer.tracks for answer in known.values()) or not known:
            scores = score_sequence(match_frames(boxes, _tracks(group, known), group.rule))
            tracking = {name: getattr(scores, name) for name in tracking}
        found[group.name] = GroupScores(
            ap50=100 * _average_precision(right, wanted),
            precision=100 * hits / said if said else 100.0,
            recall=100 * hits / wanted if wanted else 100.0,
            boxes=wanted,
            **tracking,
        )
    return found


def _rows(table: BoxTable, kept: Any) -> BoxTable:
    names = ("frame", "object_id", "xyxy", "score", "class_id", "line")
    return BoxTable(table.path, **{name: getattr(table, name)[kept] for name in names})


def _of_group(classes: tuple[str, ...], class_id: Any, group: GroupTruth) -> Bools:
    """Which rows belong to the group."""
    if group.classes is None:
        return np.ones(len(class_id), bool)
    named: Bools = np.array([name in group.classes for name in classes], bool)
    return np.asarray(named[class_id])


def _judged(group: GroupTruth, boxes: BoxTable, known: Mapping[int, Answer]) -> tuple[Bools, int]:
    """Of every detection that counts whether it is right, best score first; and how many were wanted."""
    rows = dict(boxes.frames())
    scores: list[F64] = []
    marks: list[Bools] = []
    wanted = 0
    for frame in sorted(rows.keys() | known.keys()):
        true = _rows(boxes, rows.get(frame, slice(0, 0)))
        asked, ignored = _roles(true, group.rule)
        wanted += int(asked.sum())
        answer = known.get(frame)
        for said in answer.detections.values() if answer is not None else ():
            mine = said[_of_group(said.classes, said.class_id, group)]
            mine = mine[np.argsort(-mine.score, kind="stable")]
            kept, right = _matched(mine, true, asked, ignored, group.rule)
            scores.append(mine.score[kept].astype(np.float64))
            marks.append(right[kept])
    order = np.argsort(-np.concatenate(scores or [np.zeros(0)]), kind="stable")
    return np.concatenate(marks or [np.zeros(0, bool)])[order], wanted


def _roles(true: BoxTable, rule: Rule) -> tuple[Bools, Bools]:
    """Which true boxes are asked for, and which are regions to ignore; the rest is neutral or out of play."""
    ignored = np.isin(true.class_id, rule.ignored)
    target = ~ignored
    if rule.targets is not None:
        target &= np.isin(true.class_id, rule.targets)
    return target & (true.score != 0), ignored


def _matched(
    said: Detections, true: BoxTable, asked: Bools, ignored: Bools, rule: Rule
) -> tuple[Bools, Bools]:
    """Of detections, best first: which count, and which of them are right. Each true box is found once."""
    overlap = iou(said.xyxy, true.xyxy.astype(np.float32))
    free = ~ignored
    kept, right = np.ones(len(said), bool), np.zeros(len(said), bool)
    for row in range(len(said)):
        for candidates in (free & asked, free & ~asked):
            values = np.where(candidates, overlap[row], 0.0)
            if len(values) and values.max() >= MIN_IOU:
                column = int(values.argmax())
                free[column] = False
                right[row] = kept[row] = bool(asked[column])
                break
        else:
            height = float(said.xyxy[row, 3] - said.xyxy[row, 1])
            kept[row] = height > rule.min_height and not _is_inside(
                said.xyxy[row], true.xyxy[ignored]
            )
    return kept, right


def _is_inside(box: Any, regions: F64) -> bool:
    """Whether more than half of a box lies in one of the regions."""
    sides = np.minimum(box[2:], regions[:, 2:]) - np.maximum(box[:2], regions[:, :2])
    area = float((box[2] - box[0]) * (box[3] - box[1]))
    return bool((np.maximum(sides, 0).prod(axis=1) > 0.5 * area).any())


def _tracks(group: GroupTruth, known: Mapping[int, Answer]) -> BoxTable:
    """The tracks of a group as a table; tasks count their ids each from 1, so they are kept apart."""
    frames: list[I64] = []
    ids: list[I64] = []
    boxes: list[F64] = []
    tasks = sorted({task for answer in known.values() for task in answer.tracks})
    for frame in sorted(known):
        for task, tracks in known[frame].tracks.items():
            mine = _of_group(tracks.classes, tracks.class_id, group)
            frames.append(np.full(int(mine.sum()), frame, np.int64))
            ids.append(tracks.track_id[mine] * len(tasks) + tasks.index(task))
            boxes.append(tracks.xyxy[mine].astype(np.float64))
    count = sum(map(len, frames))
    return BoxTable(
        path="tracks",
        frame=np.concatenate([*frames, np.zeros(0, np.int64)]),
        object_id=np.concatenate([*ids, np.zeros(0, np.int64)]),
        xyxy=np.concatenate([*boxes, np.zeros((0, 4))]),
        score=np.ones(count),
        class_id=np.full(count, -1, np.int64),
        line=np.zeros(count, np.int64),
    )


def _average_precision(right: Bools, wanted: int) -> float:
    """Area under the precision-recall curve, precision made falling, as in COCO."""
    if wanted == 0 or len(right) == 0:
        return 0.0
    hits = np.cumsum(right)
    precision = np.maximum.accumulate((hits / np.arange(1, len(right) + 1))[::-1])[::-1]
    places = np.searchsorted(hits / wanted, RECALLS, side="left")
    return float(np.concatenate([precision, [0.0]])[places].mean())
