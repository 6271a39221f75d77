"""Track detections in MOTChallenge text: one file, or a folder of sequences.

    summary = track_file("det.txt", "tracks.txt", frame_rate=10.0, offline=False)
    print(summary)

A frame number that has no line in the file is a frame that was not there (dropped, or nothing found):
nothing is given out for it, and time goes on by its 1 / frame_rate seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from perception.errors import ConfigError, InputError
from perception.evaluation.mot import F64, I64, BoxTable, read_mot, write_mot
from perception.tracking.tracker import Tracker
from perception.types import Detections

# The files do not say what was detected; one file is one kind of object.
CLASSES = ("object",)


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
    **settings: Any,
) -> Summary:
    """Track a file, or every sequence of a folder.

    Args:
        detections: a file of detections, or a folder with `NAME/det/det.txt` or `NAME.txt` per sequence.
        output: the file to write; for a folder, the folder to write `NAME.txt` into (made if missing).
        frame_rate: frames per second: frame numbers divided by it are seconds.
        offline: look ahead: smooth, fill gaps and judge each track as a whole.
        settings: for `Tracker`.

    Raises:
        InputError: a file is missing, malformed or cannot be written; names file and line.
        ConfigError: a setting is out of range.
    """
    if not 0 < frame_rate < float("inf"):
        raise ConfigError(f"frame rate must be above 0, but is {frame_rate}")
    source, target = Path(detections), Path(output)
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
    # Read everything before writing anything: a broken file leaves no half of an answer.
    tables = [read_mot(path, in_order=True) for path, _ in pairs]
    if source.is_dir():
        try:
            target.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot make folder {target}: {error.strerror or error}") from error
    frames = tracks = boxes = 0
    for table, (_, place) in zip(tables, pairs, strict=True):
        result = track_table(table, frame_rate=frame_rate, offline=offline, **settings)
        write_mot(place, result.frame, result.track_id, result.xyxy, result.score)
        frames += len(np.unique(table.frame))
        tracks += len(np.unique(result.track_id))
        boxes += len(result)
    return Summary(len(pairs), frames, sum(map(len, tables)), tracks, boxes, str(target))


def track_table(
    table: BoxTable, *, frame_rate: float, offline: bool = False, **settings: Any
) -> TrackTable:
    """Track the detections of one sequence; see `track_file`."""
    tracker = Tracker(**settings)
    parts = []
    for frame, rows in table.frames():
        found = Detections(
            xyxy=table.xyxy[rows],
            score=np.clip(table.score[rows], 0, 1),
            class_id=np.zeros(rows.stop - rows.start),
            classes=CLASSES,
        )
        tracks = tracker(found, frame / frame_rate)
        parts.append(
            TrackTable(
                np.full(len(tracks), frame, np.int64),
                tracks.track_id,
                tracks.xyxy.astype(np.float64),
                tracks.score.astype(np.float64),
            )
        )
    if not parts:
        return TrackTable(
            np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0)
        )
    return TrackTable(
        np.concatenate([part.frame for part in parts]),
        np.concatenate([part.track_id for part in parts]),
        np.concatenate([part.xyxy for part in parts]),
        np.concatenate([part.score for part in parts]),
    )
