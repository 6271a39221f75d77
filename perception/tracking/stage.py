"""The tracker as a stage of a pipeline."""

from __future__ import annotations

import logging
import math

from perception.tracking.evidence import Evidence
from perception.tracking.tracker import Tracker
from perception.types import FrameResult

_log = logging.getLogger(__name__)


class TrackerStage:
    """Reads `detections.<task>`, writes `tracks.<task>`; one per stream.

    When the stream's time goes back all tracks end; ids are still never used twice.

    Args:
        task: whose detections are tracked ("road", "face").
        max_age_s: an object that is not seen for longer ends.
        coast_s: a track that is not seen is still given out, as predicted, for so long.
        neutral_score: the score at which this detector is as often right as wrong.
        size_slope: see `Evidence`; 0 where scores do not depend on the size of the box.
        confirm: evidence that makes an object a track: one good detection, or a few fair ones.

    Raises:
        ConfigError: a setting is out of range.
    """

    def __init__(
        self,
        *,
        task: str = "road",
        max_age_s: float = 1.5,
        coast_s: float = 0.2,
        neutral_score: float = 0.25,
        size_slope: float = 0.0,
        confirm: float = 0.3,
    ) -> None:
        self.task = task
        self.name = "track" if task == "road" else f"track_{task}"
        self.reads = (f"detections.{task}",)
        self.writes = (f"tracks.{task}",)
        self.tracker = Tracker(
            max_age_s=max_age_s,
            coast_s=coast_s,
            evidence=Evidence(neutral_score, size_slope),
            confirm=confirm,
        )
        self._last_s = -math.inf

    def __call__(self, result: FrameResult) -> None:
        frame = result.frame
        if frame.time < self._last_s:
            # A live stream that was connected again may count its time anew.
            _log.info(
                "stream %d: time went back from %.3f s to %.3f s; all tracks end",
                frame.stream,
                self._last_s,
                frame.time,
            )
            self.tracker.restart()
        self._last_s = frame.time
        if f"detections.{self.task}" in result.skipped:
            result.tracks[self.task] = self.tracker.predicted(frame.time, size=frame.size)
            return
        result.tracks[self.task] = self.tracker(
            result.detections[self.task], frame.time, size=frame.size
        )

    def close(self) -> None:
        """Nothing to close."""
