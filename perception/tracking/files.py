"""Track detections in MOTChallenge text: one file, or a folder of sequences.

    summary = track_file("det.txt", "tracks.txt", frame_rate=10.0, offline=False)
    print(summary)

A frame number that has no line in the file is a frame that was not there (dropped, or nothing found):
nothing is given out for it, and time goes on by its 1 / frame_rate seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from perception.errors import ConfigError, InputError
from perception.evaluation.mot import F64, I64, BoxTable, read_mot, write_mot
from perception.tracking.evidence import POINTRCNN, Evidence
from perception.tracking.kalman import BoxFilter
from perception.tracking.offline import History, refine
from perception.tracking.tracker import Tracker
from perception.types import Detections

# The files do not say what was detected; one file is one kind of object.
CLASSES = ("object",)
# Frame, id, box and score of some tracks.
_Rows = tuple[I64, I64, F64, F64]


@dataclass(frozen=True, slots=True)
class Summary:
    """What was tracked; `str()` is a sentence to print."""

    sequences: int
    frames: int
    detections: int
    tracks: int
    boxes: int
    output: str

    def __str__(self) -> str:
        first = f"{self.sequences} sequences: " if self.sequences > 1 else ""
        return (
            f"{first}{self.frames} frames, {self.detections} detections -> "
            f"{self.tracks} tracks, {self.boxes} boxes: {self.output}"
        )


@dataclass(frozen=True, slots=True)
class TrackTable:
    """Tracks of one sequence as rows, in order of frame.

    Attributes:
        frame: (N,).
        track_id: (N,), from 1.
        xyxy: (N, 4) pixels.
        score: (N,).
    """

    frame: I64
    track_id: I64
    xyxy: F64
    score: F64

    def __len__(self) -> int:
        return len(self.frame)


def track_file(
    detections: str | Path,
    output: str | Path,
    *,
    frame_rate: float = 10.0,
    offline: bool = False,
    neutral_score: float = POINTRCNN.neutral_score,
    size_slope: float = POINTRCNN.size_slope,
) -> Summary:
    """Track a file, or every sequence of a folder.

    Args:
        detections: a file of detections, or a folder with `NAME/det/det.txt` or `NAME.txt` per sequence.
        output: the file to write; for a folder, the folder to write `NAME.txt` into (made if missing).
        frame_rate: frames per second: frame numbers divided by it are seconds.
        offline: look ahead: judge objects from both sides in time, fill gaps, smooth.
        neutral_score, size_slope: how to read the scores, see `Evidence`; the defaults are fitted to
            PointRCNN's car scores as published for KITTI.

    Raises:
        InputError: a file is missing, malformed or cannot be written; names file and line.
        ConfigError: a setting is out of range.
    """
    if not 0 < frame_rate < math.inf:
        raise ConfigError(f"frame rate must be above 0, but is {frame_rate}")
    evidence = Evidence(neutral_score, size_slope)
    pairs = _pairs(Path(detections), Path(output))
    # Read everything before writing anything: a broken file leaves no half of an answer.
    tables = [_checked(read_mot(path, in_order=True)) for path, _ in pairs]
    if Path(detections).is_dir():
        try:
            Path(output).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot make folder {output}: {error.strerror or error}") from error
    frames = tracks = boxes = 0
    for table, (_, place) in zip(tables, pairs, strict=True):
        result = track_table(table, frame_rate=frame_rate, offline=offline, evidence=evidence)
        write_mot(place, result.frame, result.track_id, result.xyxy, result.score)
        frames += len(np.unique(table.frame))
        tracks += len(np.unique(result.track_id))
        boxes += len(result)
    return Summary(len(pairs), frames, sum(map(len, tables)), tracks, boxes, str(output))


def _pairs(source: Path, target: Path) -> list[tuple[Path, Path]]:
    """What to read and where to write it."""
    pairs = [(source, target)]
    if source.is_dir():
        found = {path.parent.parent.name: path for path in source.glob("*/det/det.txt")}
        found = found or {path.stem: path for path in source.glob("*.txt")}
        if not found:
            raise InputError(
                f"{source} has no sequences: expected NAME/det/det.txt or NAME.txt in it"
            )
        pairs = [(path, target / f"{name}.txt") for name, path in sorted(found.items())]
    elif target.is_dir():
        raise InputError(
            f"{target} is a folder; name the file to write, like {target / 'tracks.txt'}"
        )
    for path, place in pairs:
        if path.resolve() == place.resolve():
            raise InputError(f"{place} is the file of detections; write the tracks somewhere else")
    return pairs


def _checked(table: BoxTable) -> BoxTable:
    """The detections, with a score everywhere: -1 is "not given", and such a box is taken as certain."""
    score = np.where(table.score == -1, 1.0, table.score)
    wrong = np.flatnonzero((score < 0) | (score > 1))
    if len(wrong):
        row = wrong[0]
        raise InputError(
            f"{table.path}, line {table.line[row]}: score must be in 0..1, but is {score[row]:g}; "
            f"turn raw scores into 0..1 first, for instance with a sigmoid"
        )
    return replace(table, score=score)


def track_table(
    table: BoxTable,
    *,
    frame_rate: float,
    offline: bool = False,
    evidence: Evidence = POINTRCNN,
    **settings: Any,
) -> TrackTable:
    """Track the detections of one sequence; `settings` are for `Tracker`; see `track_file`."""
    if offline:
        # Follow everything, believe nothing yet.
        settings.update(confirm=-1e9, coast_s=0.0)
    tracker = Tracker(evidence=evidence, **settings)
    parts: list[_Rows] = []
    rows_of: dict[int, list[int]] = {}
    for frame, rows in table.frames():
        found = Detections(
            xyxy=table.xyxy[rows].astype(np.float32),
            score=table.score[rows].astype(np.float32),
            class_id=np.zeros(rows.stop - rows.start, np.int32),
            classes=CLASSES,
        )
        tracks = tracker(found, frame / frame_rate)
        for number, row in zip(tracks.track_id.tolist(), tracks.detection.tolist(), strict=True):
            rows_of.setdefault(number, []).append(rows.start + row)
        frames = np.full(len(tracks), frame, np.int64)
        boxes, score = tracks.xyxy.astype(np.float64), tracks.score.astype(np.float64)
        parts.append((frames, tracks.track_id, boxes, score))
    if offline:
        parts = _refined(table, list(rows_of.values()), evidence, tracker.filter, frame_rate)
    return _sorted(parts)


def _sorted(parts: list[_Rows]) -> TrackTable:
    """All rows in order of frame, then of id."""
    if not parts:
        return TrackTable(
            np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0)
        )
    frame = np.concatenate([part[0] for part in parts])
    track_id = np.concatenate([part[1] for part in parts])
    xyxy = np.concatenate([part[2] for part in parts])
    score = np.concatenate([part[3] for part in parts])
    order = np.lexsort((track_id, frame))
    return TrackTable(frame[order], track_id[order], xyxy[order], score[order])


def _refined(
    table: BoxTable,
    rows_of: list[list[int]],
    evidence: Evidence,
    motion: BoxFilter,
    frame_rate: float,
) -> list[_Rows]:
    """The paths of all objects, numbered from 1 in order of their first detection."""
    frames = np.unique(table.frame)
    width, height = table.xyxy[:, 2:].max(axis=0) if len(table) else (0, 0)
    says = evidence(table.score.astype(np.float32), table.xyxy[:, 3] - table.xyxy[:, 1])
    parts: list[_Rows] = []
    for rows in rows_of:
        history = History(
            frame=table.frame[rows],
            time=table.frame[rows] / frame_rate,
            xyxy=table.xyxy[rows],
            evidence=says[rows],
            score=table.score[rows],
        )
        path = refine(history, frames, frames / frame_rate, (width, height), motion)
        if path is not None:
            number = np.full(len(path.frame), len(parts) + 1, np.int64)
            parts.append((path.frame, number, path.xyxy, path.score))
    return parts
