"""Tracks of a recording, with the future known: judged from both sides, joined, filled and smoothed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perception.tracking.assignment import match
from perception.tracking.kalman import BoxFilter, BoxStates, measure, to_xyxy

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


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

    def joined(self, later: History) -> History:
        return History(
            np.concatenate([self.frame, later.frame]),
            np.concatenate([self.time, later.time]),
            np.concatenate([self.xyxy, later.xyxy]),
            np.concatenate([self.evidence, later.evidence]),
            np.concatenate([self.score, later.score]),
        )


def both_sides(history: History, memory_s: float) -> F64:
    """Evidence (N,) at every detection from those before and after, each fading with distance in time."""
    fade = np.exp(-np.diff(history.time) / memory_s)
    before, after = history.evidence.copy(), history.evidence.copy()
    for i, keep in enumerate(fade):
        before[i + 1] += keep * before[i]
    for i in range(len(fade) - 1, -1, -1):
        after[i] += fade[i] * after[i + 1]
    return before + after - history.evidence


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
