"""The overlay as one file after the other, each of a fixed length and playable by itself."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from perception.colour import planes_to_bgr
from perception.errors import InputError, SinkError
from perception.sinks import check_output
from perception.sinks.video import VideoSink
from perception.sources import SourceInfo
from perception.types import Frame, FrameResult, Planes

log = logging.getLogger(__name__)

Draw = Callable[[FrameResult], Planes]


class SegmentsSink:
    """Writes OUT_0001.mp4, OUT_0002.mp4 ..., each `segment_s` of stream time long.

    A segment that is finished is on the disk before the next one begins. The one being written plays up to
    its last second if the run is killed. A gap of the source begins a new segment, for each starts at 0.
    Numbers go on after those that are there, so nothing is overwritten.

    Args:
        path: OUT.mp4, .mov or .mkv; the number goes before the suffix.
        segment_s: seconds of a segment.
        draw: what to encode for a result; by default the frame as it is.
        options: further keyword arguments of each `VideoSink`.

    Attributes:
        files: what was written, in order.

    Raises:
        InputError: the output cannot be written.
        ValueError: `segment_s` is not positive.
    """

    def __init__(
        self, path: str | Path, segment_s: float, *, draw: Draw | None = None, **options: Any
    ) -> None:
        if not segment_s > 0:
            raise ValueError(f"segment_s must be positive seconds, but is {segment_s}")
        self.path = check_output(path)
        # Refuses at once what no segment could be.
        VideoSink(self._named(1), draw=None, audio=False, **options)
        self.segment_s = segment_s
        self.files: list[Path] = []
        self._draw = draw
        self._options = options
        self._sink: VideoSink | None = None
        self._first_pts = 0
        self._number = self._last_number()

    def open(self, info: SourceInfo) -> None:
        # A segment ends where it ends, whatever the source says of its own end; and it has no sound.
        self._info = replace(info, path=None, has_audio=False, end_pts=None, frames=None)

    def prepare(self, result: FrameResult) -> Planes | None:
        """The picture to encode for a result; None for the frame as it is."""
        return self._draw(result) if self._draw is not None else result.frame.planes

    def write(self, result: FrameResult, planes: Planes | None = None) -> None:
        """Encode one frame, in a new segment where one is due.

        Args:
            result: of the frame.
            planes: what `prepare` made of it, where that was called already.

        Raises:
            SinkError: the disk is full or gone.
        """
        frame = result.frame
        if planes is None:
            planes = self.prepare(result)
        age_s = float((frame.pts - self._first_pts) * frame.time_base)
        gap = any(event.kind == "reconnect" for event in result.events)
        if self._sink is None or gap or not 0 <= age_s < self.segment_s:
            self._begin(frame.pts)
        assert self._sink is not None
        moved = Frame(
            None if planes is not None else frame.image,
            planes=planes,
            to_bgr=planes_to_bgr,
            index=frame.index,
            pts=frame.pts - self._first_pts,
            time_base=frame.time_base,
        )
        self._sink.write(FrameResult(moved))

    def finish(self, report: dict[str, Any]) -> None:
        """Nothing: a video has no place for a report."""

    def close(self) -> None:
        """Finish the segment at hand. Idempotent.

        Raises:
            SinkError: the disk is full or gone.
        """
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.close()
            _to_disk(sink.path)

    def _begin(self, pts: int) -> None:
        self.close()
        self._number += 1
        self._first_pts = pts
        path = self._named(self._number)
        sink = VideoSink(path, audio=False, **self._options)
        try:
            sink.open(self._info)
        except InputError as error:
            raise SinkError(f"{path}: the next segment cannot be begun ({error})") from error
        self._sink = sink
        self.files.append(path)
        log.info("%s: begun", path)

    def _named(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.stem}_{number:04}{self.path.suffix}")

    def _last_number(self) -> int:
        """The highest number that is taken already."""
        start = f"{self.path.stem}_"
        taken = [
            found.stem.removeprefix(start)
            for found in self.path.parent.glob(f"*{self.path.suffix}")
            if found.stem.startswith(start)
        ]
        return max((int(number) for number in taken if number.isdigit()), default=0)


def _to_disk(path: Path) -> None:
    """Survive a power cut: the file's contents and its name are written out."""
    for target in (path, path.parent):
        descriptor = os.open(target, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
