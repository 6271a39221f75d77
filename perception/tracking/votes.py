"""Votes over time: many unsure answers about one object become one that can be trusted.

Answers about the same object add up as logarithms of their scores, as independent witnesses' would; because
they are not independent (the next frame shows nearly the same pixels) their mean is taken, not their sum, so
that a hundred poor looks are no surer than one. A vote loses weight with its age.
"""

from __future__ import annotations

import math

import numpy as np

from perception.types import F32

# A class is never ruled out by one look: a score below this counts as this.
LEAST_SCORE = 0.01


class Votes:
    """The votes about one object.

    Args:
        classes: how many classes there are.
        memory_s: after so many seconds a vote has 1/e of its weight; inf for never less.
    """

    __slots__ = ("_memory_s", "_sum", "_time", "_weight", "_winner")

    def __init__(self, classes: int, *, memory_s: float) -> None:
        self._memory_s = memory_s
        self._sum = np.zeros(classes, np.float64)
        self._weight = 0.0
        self._time = -math.inf
        self._winner: tuple[int, float] | None = None

    def add(self, scores: F32, time: float, *, weight: float = 1.0) -> None:
        """Count an answer, scores (C,) that add up to 1, given at `time` (seconds)."""
        kept = math.exp(-(time - self._time) / self._memory_s) if self._weight else 0.0
        self._sum = self._sum * kept + weight * np.log(np.maximum(scores, LEAST_SCORE))
        self._weight = self._weight * kept + weight
        self._time = time
        self._winner = None

    @property
    def scores(self) -> F32:
        """(C,) what the votes say together, adding up to 1; even before the first vote."""
        mean = self._sum / self._weight if self._weight else self._sum
        raised = np.exp(mean - mean.max())
        return np.asarray(raised / raised.sum(), np.float32)

    @property
    def winner(self) -> tuple[int, float]:
        """The leading class and its score."""
        if self._winner is None:
            scores = self.scores
            best = int(scores.argmax())
            self._winner = best, float(scores[best])
        return self._winner
