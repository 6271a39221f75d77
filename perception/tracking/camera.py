"""The camera's turn, found from boxes alone.

When the camera pans or pitches, all boxes shift together, far enough at low rates that a box lands on
where its neighbour was; one by one they cannot be told apart, together they can. The shift is found by
vote: every pair of a predicted and a detected box of like size proposes one, and the one under which all
predictions overlap their detections best wins, if it is clearly better than no shift.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from perception.geometry import iou

F64 = npt.NDArray[np.float64]

LIKE_SIZE = 0.3  # largest difference of log width or log height
MAX_RISE = 0.6  # largest shift up or down, in heights of the box
MOST_BOXES, MOST_FOUND = 12, 16
STILL = 0.8  # median IoU of predictions and detections from which on there is nothing to look for
MIN_GAIN = 0.1  # IoU per box that a shift must bring
PER_HEIGHT = 0.1  # what a shift by one height costs: of two good ones the smaller is likely


def is_still(overlap: npt.NDArray[np.float32]) -> bool:
    """Whether there is nothing to look for: most predictions (N) lie well on a detection (M), or there are too few.

    Args:
        overlap: (N, M) IoU of the boxes of `common_shift`.
    """
    if min(overlap.shape) < 2:
        return True
    best: list[float] = sorted(overlap[:MOST_BOXES, :MOST_FOUND].max(axis=1).tolist())
    # The median; numpy's own takes longer than all else that is done on most frames.
    return (best[(len(best) - 1) // 2] + best[len(best) // 2]) / 2 >= STILL


def common_shift(predicted: F64, detected: F64) -> tuple[float, float]:
    """How far all boxes have moved beyond their prediction: (x, y) in pixels, (0, 0) if not clear.

    Args:
        predicted: (N, 4) boxes of well-known objects, the best first; at least two are needed.
        detected: (M, 4) boxes, the best first.
    """
    known, found = predicted[:MOST_BOXES], detected[:MOST_FOUND]
    if is_still(iou(known.astype(np.float32), found.astype(np.float32))):
        return 0.0, 0.0
    sides = np.maximum(known[:, 2:] - known[:, :2], 1)
    found_sides = np.maximum(found[:, 2:] - found[:, :2], 1)
    unlike = np.abs(np.log(sides[:, None] / found_sides[None])).max(axis=2)
    moves = (found[None, :, :2] + found[None, :, 2:] - known[:, None, :2] - known[:, None, 2:]) / 2
    likely = (unlike < LIKE_SIZE) & (np.abs(moves[..., 1]) < MAX_RISE * sides[:, None, 1])
    proposals = np.concatenate([np.zeros((1, 2)), moves[likely]])
    shifted = known[None] + np.tile(proposals, 2)[:, None]
    overlap = iou(shifted.reshape(-1, 4).astype(np.float32), found.astype(np.float32))
    best = overlap.reshape(len(proposals), len(known), len(found)).max(axis=2)
    length = np.abs(proposals[:, 0]) / np.median(sides[:, 1])
    gain = best.sum(axis=1) - PER_HEIGHT * length
    winner = int(gain.argmax())
    if gain[winner] - gain[0] < MIN_GAIN * len(known) or (best[winner] > 0.5).sum() < 2:
        return 0.0, 0.0
    return float(proposals[winner, 0]), float(proposals[winner, 1])
