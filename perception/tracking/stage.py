"""The tracker as a stage of a pipeline."""

from __future__ import annotations

from perception.tracking.evidence import Evidence
from perception.tracking.tracker import Tracker
from perception.types import FrameResult


class TrackerStage:
    """Reads `detections.<task>`, writes `tracks.<task>`; one per stream.

    Args:
        task: whose detections are tracked ("road", "face").
        max_age_s: an object that is not seen for longer ends.
        coast_s: a track that is not seen is still given out, as predicted, for so long.
        neutral_score: the score at which this detector is as often right as wrong.
        size_slope: see `Evidence`; 0 where scores do not depend on the size of the box.
        confirm: evidence that makes an object a track; 0 shows a good detection at once.

    Raises:
        ConfigError: a setting is out of range.
    """

    def __init__(
        self,
        *,
        task: str = "road",
        max_age_s: float = 1.5,
        coast_s: float = 0.2,
        neutral_score: float = 0.4,
        size_slope: float = 0.0,
        confirm: float = 0.0,
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

    def __call__(self, result: FrameResult) -> None:
        frame = result.frame
        result.tracks[self.task] = self.tracker(
            result.detections[self.task], frame.time, size=frame.size
        )

    def close(self) -> None:
        """Nothing to close."""
