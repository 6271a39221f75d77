"""Tracking: the same object keeps the same number from frame to frame.

    tracker = Tracker(max_age_s=1.5)
    tracks = tracker(detections, time_s)        # perception.types.Detections -> Tracks

In a pipeline: `TrackerStage(task="road", ...)` reads `detections.road` and writes `tracks.road`, one
instance per stream. For MOTChallenge text: `perception.tracking.files.track_file(detections, output,
frame_rate=10.0, offline=False) -> Summary`, where both paths are files, or folders of sequences;
`str(summary)` is the sentence to print. To score:
`perception.evaluation.tracking.evaluate(gt, tracks, rule="auto") -> Report` with `report.table()` (text)
and `report.as_dict()` (for JSON).
"""

from perception.tracking.evidence import POINTRCNN, Evidence
from perception.tracking.stage import TrackerStage
from perception.tracking.tracker import Tracker

__all__ = ["POINTRCNN", "Evidence", "Tracker", "TrackerStage"]
