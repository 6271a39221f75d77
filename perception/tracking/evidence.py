"""What a detection's score says about whether there is an object: its evidence, in log-odds.

A detector's score is turned into log-odds, and the score at which its detections are as often right as
wrong is taken off: above that score evidence is positive, below it is negative. That "neutral" score is a
property of the detector and, for many, of the size of the box, because detectors score far objects lower.
What remains no longer depends on the detector, so the tracker's other settings need not either.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perception.errors import ConfigError

F64 = npt.NDArray[np.float64]

# One frame says at most this, for and against: detections of one object on neighbouring frames are right
# or wrong together.
LEAST, MOST = -1.0, 2.0
# Log-odds of a detection per unit of its score's log-odds. A perfectly calibrated score would have 1; half
# is lost to the dependence between frames.
WEIGHT = 0.45


@dataclass(frozen=True, slots=True)
class Evidence:
    """How to read a detector's scores.

    Args:
        neutral_score: the score, in 0..1, at which a detection is as often right as wrong.
        size_slope: by how much the neutral score's log-odds rise when the box is twice as tall.
        size_px: the height of box, in pixels, to which `neutral_score` applies.

    Raises:
        ConfigError: a value is out of range.
    """

    neutral_score: float = 0.25
    size_slope: float = 0.0
    size_px: float = 40.0

    def __post_init__(self) -> None:
        if not 0 < self.neutral_score < 1:
            raise ConfigError(f"neutral_score must be between 0 and 1, but is {self.neutral_score}")
        if not math.isfinite(self.size_slope):
            raise ConfigError(f"size_slope must be a number, but is {self.size_slope}")
        if not 0 < self.size_px < math.inf:
            raise ConfigError(f"size_px must be above 0, but is {self.size_px}")

    def __call__(self, score: npt.NDArray[np.float32], height: F64) -> F64:
        """Evidence (N,) of detections with these scores (N,) and box heights (N,), in pixels."""
        chance = np.minimum(np.maximum(score.astype(np.float64), 1e-6), 1 - 1e-6)
        neutral: float | F64 = math.log(self.neutral_score / (1 - self.neutral_score))
        if self.size_slope:
            neutral = neutral + self.size_slope * np.log2(np.maximum(height, 10) / self.size_px)
        says = WEIGHT * (np.log(chance / (1 - chance)) - neutral)
        return np.asarray(np.minimum(np.maximum(says, LEAST), MOST), np.float64)


# PointRCNN's car scores after a sigmoid, as in the public KITTI detections: half right at 0.96 for a box
# of 40 px, with far boxes scored much lower than near ones. Fitted on the practice sequences.
POINTRCNN = Evidence(neutral_score=0.96, size_slope=2.0)
