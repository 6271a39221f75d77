"""The output record: one JSON object a line, flushed line by line, so a killed run leaves whole lines.

First line: schema, source, size and engines. Then one line per frame. Last line: the report.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from perception.errors import InputError, SinkError
from perception.sinks import check_output
from perception.sources import SourceInfo
from perception.types import F32, FrameResult, Lanes

SCHEMA = "perception/1"
# Looking for values that contain themselves takes as long as writing them; nothing here can.
_ENCODER = json.JSONEncoder(
    allow_nan=False, ensure_ascii=False, check_circular=False, separators=(", ", ": ")
)


class JsonLinesSink:
    """Writes the record to a file, or to standard output for "-".

    Coordinates are rounded to a tenth of a pixel, scores to 4 places, times to a microsecond: finer than
    what they measure.

    Args:
        path: of the file, replaced if it exists; "-" is standard output.
        engines: by task, for the header: what made the record.
        inputs: files that are read in the same run; the record may not be one of them.

    Raises:
        InputError: the file cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        engines: dict[str, Any] | None = None,
        inputs: tuple[str | Path, ...] = (),
    ) -> None:
        self.path = str(path)
        self.engines = dict(engines or {})
        self._file: BinaryIO | None = None
        self._whole = 0
        self._lanes: Lanes | None = None
        self._lanes_text = "[]"
        if self.path != "-":
            check_output(self.path, inputs=inputs)

    def open(self, info: SourceInfo, *, engines: dict[str, Any] | None = None) -> None:
        if self.path == "-":
            self._file = sys.stdout.buffer
        else:
            try:
                self._file = open(self.path, "wb")  # noqa: SIM115
            except OSError as error:
                raise InputError(f"{self.path}: cannot be written ({error.strerror})") from error
        self._line(
            {
                "schema": SCHEMA,
                "source": info.path or info.name,
                "width": info.size[0],
                "height": info.size[1],
                "engines": engines if engines is not None else self.engines,
            }
        )

    def write(self, result: FrameResult) -> None:
        """One line.

        Raises:
            SinkError: the disk is full or gone.
        """
        # Between two looks of a lane stage that rests, its lines are the same object and need no new text.
        if result.lanes is not self._lanes:
            self._lanes_text = _encode(_lanes(result.lanes))
            self._lanes = result.lanes
        text = _encode(_all_but_lanes(result))
        self._write(f'{text[:-1]}, "lanes": {self._lanes_text}}}')

    def finish(self, report: dict[str, Any]) -> None:
        """The last line."""
        self._line({"report": report})

    def close(self) -> None:
        """Idempotent."""
        file, self._file = self._file, None
        if file is None or self.path == "-":
            return
        try:
            file.close()
        except OSError as error:
            raise SinkError(
                f"{self.path}: the record could not be finished ({error.strerror})"
            ) from error

    def _line(self, value: dict[str, Any]) -> None:
        self._write(_encode(value))

    def _write(self, text: str) -> None:
        if self._file is None:
            return
        line = (text + "\n").encode(errors="backslashreplace")
        try:
            self._file.write(line)
            self._file.flush()
            self._whole += len(line)
        except OSError as error:
            self._abandon()
            raise SinkError(
                f"{self.path}: the record cannot be written ({error.strerror})"
            ) from error

    def _abandon(self) -> None:
        """Leave the whole lines."""
        file, self._file = self._file, None
        if file is None or self.path == "-":
            return
        # Closing writes the rest once more and fails once more.
        with contextlib.suppress(OSError):
            file.close()
        os.truncate(self.path, self._whole)


def record(result: FrameResult) -> dict[str, Any]:
    """A frame's line of the record, as a dict."""
    return {**_all_but_lanes(result), "lanes": _lanes(result.lanes)}


def _all_but_lanes(result: FrameResult) -> dict[str, Any]:
    frame = result.frame
    objects = []
    for item in result.objects:
        entry: dict[str, Any] = {
            "task": item.task,
            "class": item.class_name,
            "score": round(item.score, 4),
            "xyxy": [round(value, 1) for value in item.xyxy],
        }
        if item.track_id is not None:
            entry["track"] = item.track_id
        if item.predicted:
            entry["predicted"] = True
        entry["attributes"] = item.attributes
        if item.keypoints:
            entry["keypoints"] = [
                [round(x, 1), round(y, 1), round(score, 4)] for x, y, score in item.keypoints
            ]
        objects.append(entry)
    # Of a live source: when the frame came, and how old it was when its result was ready.
    live = {}
    if frame.wall is not None:
        live = {"wall": round(frame.wall, 3), "age_ms": round(result.latency * 1000, 1)}
    return {
        "frame": frame.index,
        "time": round(frame.time, 6),
        "pts": frame.pts,
        **live,
        "stream": frame.stream,
        "path": frame.path,
        "objects": objects,
        "events": [
            {
                "kind": event.kind,
                "time": round(event.time, 6),
                "track": event.track_id,
                **event.data,
            }
            for event in result.events
        ],
        "timings_ms": {name: round(seconds * 1000, 3) for name, seconds in result.timings.items()},
    }


def _lanes(lanes: Lanes | None) -> list[dict[str, Any]]:
    """Lane lines, then outlines of the drivable area."""
    if lanes is None:
        return []
    found: list[dict[str, Any]] = [
        {"side": lane.side, "score": round(float(lane.score), 4), "points": _points(lane.points)}
        for lane in lanes.lines
    ]
    found += [
        {"side": 0, "score": 1.0, "points": _points(outline), "kind": "drivable"}
        for outline in lanes.drivable
    ]
    return found


def _points(points: F32) -> list[list[float]]:
    rounded: list[list[float]] = np.round(points.astype(np.float64), 1).tolist()
    return rounded


def _encode(value: Any) -> str:
    try:
        return _ENCODER.encode(value)
    except (TypeError, ValueError):
        # Something a stage put in: numpy scalars, NaN, a path. Rare, so tried only now.
        return json.dumps(plain(value), allow_nan=False, ensure_ascii=False)


def plain(value: Any) -> Any:
    """`value` with everything JSON has no word for replaced: numpy by Python, NaN and infinity by null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int, bool)):
        return value
    return str(value)
