"""The tracker as a stage of a pipeline."""

from __future__ import annotations

from typing import Any

from perception.tracking.tracker import Tracker
from perception.types import FrameResult


class TrackerStage:
    """Reads `detections.<task>`, writes `tracks.<task>`; one per stream.

    Args:
        task: whose detections are tracked ("road", "face").
        settings: what `perception.tracking.Tracker` takes (`max_age_s`, `confirm`, ...).

    Raises:
        ConfigError: a setting is out of range.
    """

    def __init__(self, *, task: str = "road", **settings: Any) -> None:
        self.task = task
        self.name = "track" if task == "road" else f"track_{task}"
        self.reads = (f"detections.{task}",)
        self.writes = (f"tracks.{task}",)
        self.tracker = Tracker(**settings)

    def __call__(self, result: FrameResult) -> None:
        result.tracks[self.task] = self.tracker(result.detections[self.task], result.frame.time)

    def close(self) -> None:
        """Nothing to close."""
