"""Tracks of a recording, with the future known: judged from both sides, gaps filled, smoothed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perception.tracking.kalman import BoxFilter, BoxStates, to_xyxy
from perception.tracking.tracker import LOOK_S

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


# Of the evidence from both sides, which is about twice that from one.
MEMORY_S = 0.8
CONFIRM = 1.0
# The longest gap that is filled; beyond it the straight path between the ends is a guess.
MAX_GAP_S = 1.5
# How much a detected box counts against the smoothed one.
DETECTED = 0.3


@dataclass(frozen=True, slots=True)
class History:
    """All detections of one object, in order of time.

    Attributes:
        frame: (N,) frame numbers, ascending.
        time: (N,) seconds.
        xyxy: (N, 4) as detected.
        evidence: (N,) of each detection.
        score: (N,).
    """

    frame: I64
    time: F64
    xyxy: F64
    evidence: F64
    score: F64


def both_sides(history: History, memory_s: float) -> F64:
    """Evidence (N,) at every detection from those before and after, each fading with distance in time."""
    step = np.diff(history.time)
    fade = np.exp(-step / memory_s)
    # As in the tracker: frames close in time are not independent looks.
    own = history.evidence * np.minimum(1, np.concatenate([[1], step / LOOK_S]))
    before, after = own.copy(), own.copy()
    for i, keep in enumerate(fade):
        before[i + 1] += keep * before[i]
    for i in range(len(fade) - 1, -1, -1):
        after[i] += fade[i] * after[i + 1]
    both: F64 = before + after - own
    return both


def smooth(history: History, times: F64, motion: BoxFilter) -> F64:
    """The object's boxes (T, 4) at `times`, which hold every time of the history.

    A Kalman filter forwards and a Rauch-Tung-Striebel pass backwards (Bar-Shalom et al. 2001, section
    8.6); at times without a detection the boxes bridge the gap.
    """
    row = dict(zip(history.time.tolist(), range(len(history.time)), strict=True))
    states = motion.start(history.xyxy[:1])
    predicted: list[BoxStates] = []
    filtered: list[BoxStates] = [states]
    for last, now in zip(times[:-1].tolist(), times[1:].tolist(), strict=True):
        states = motion.predict(states, now - last)
        predicted.append(states)
        if now in row:
            states = motion.update(states, history.xyxy[row[now]][None])
        filtered.append(states)
    position = filtered[-1].position
    velocity = filtered[-1].velocity
    result = [position]
    for i in range(len(times) - 2, -1, -1):
        dt = float(times[i + 1] - times[i])
        pp, pv, vv = filtered[i].variance[0]
        # Gain P F' (P+)^-1 of the two-state filter, all coordinates alike.
        a, b, d = predicted[i].variance[0]
        gain = np.array([[pp + dt * pv, pv], [pv + dt * vv, vv]]) @ np.linalg.inv([[a, b], [b, d]])
        dp = position - predicted[i].position
        dv = velocity - predicted[i].velocity
        position = filtered[i].position + gain[0, 0] * dp + gain[0, 1] * dv
        velocity = filtered[i].velocity + gain[1, 0] * dp + gain[1, 1] * dv
        result.append(position)
    return to_xyxy(np.concatenate(result[::-1]))


@dataclass(frozen=True, slots=True)
class Path:
    """The judged, filled and smoothed boxes of one object.

    Attributes:
        frame: (N,) ascending.
        xyxy: (N, 4).
        score: (N,) of the detection; where a gap was filled, of the detection before.
    """

    frame: I64
    xyxy: F64
    score: F64


def refine(
    history: History, frames: I64, times: F64, size: tuple[float, float], motion: BoxFilter
) -> Path | None:
    """The object's path, or None where nothing of it is believed.

    Args:
        history: its detections.
        frames: (F,) numbers of all frames of the sequence, ascending.
        times: (F,) their times.
        size: (width, height) of the picture.
        motion: the noises of the box filter.
    """
    believed = both_sides(history, MEMORY_S) >= CONFIRM
    if not believed.any():
        return None
    first, last = np.searchsorted(frames, history.frame[[0, -1]])
    frames, times = frames[first : last + 1], times[first : last + 1]
    at = np.searchsorted(frames, history.frame)
    boxes = smooth(history, times, motion)
    boxes[at] = DETECTED * history.xyxy + (1 - DETECTED) * boxes[at]
    boxes = np.clip(boxes, 0, np.tile(size, 2))
    keep = np.zeros(len(frames), bool)
    keep[at] = believed
    bridged = believed[:-1] & believed[1:] & (np.diff(history.time) <= MAX_GAP_S + 1e-6)
    for row in np.flatnonzero(bridged):
        keep[at[row] : at[row + 1]] = True
    score = history.score[np.searchsorted(history.frame, frames, side="right") - 1]
    return Path(frames[keep], boxes[keep], score[keep])
