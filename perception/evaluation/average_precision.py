"""Average precision of one kind of object, as COCO defines it (Lin et al., arXiv:1405.0312).

Per picture, detections are matched greedily, best score first, each to the free box it overlaps most; over
all pictures, precision at 101 values of recall, each the best at that recall or above. The project's own
code: it needs nothing but numpy, and it gives the whole curve. Tests compare it with faster-coco-eval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perception.geometry import iou
from perception.types import F32

F64 = npt.NDArray[np.float64]

MAX_DETECTIONS = 100  # of one picture, the best
THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True, slots=True)
class Matched:
    """Detections of all pictures, best first.

    Attributes:
        score: (N,).
        hit: (T, N) whether each is a hit at each of `THRESHOLDS`.
        wanted: how many boxes there are to find.
    """

    score: F32
    hit: npt.NDArray[np.bool_]
    wanted: int

    def precision(self, row: int = 0) -> F64:
        """(N,) of the N best detections, at threshold `row`."""
        hits = np.cumsum(self.hit[row])
        return np.asarray(hits / np.arange(1, len(hits) + 1), np.float64)

    def recall(self, row: int = 0) -> F64:
        """(N,) of the N best detections, at threshold `row`."""
        return np.asarray(np.cumsum(self.hit[row]) / max(self.wanted, 1), np.float64)

    def average_precision(self, row: int = 0) -> float:
        """Mean of `interpolated`."""
        return float(self.interpolated(row).mean())

    def interpolated(self, row: int = 0) -> F64:
        """Precision (101,) at `RECALLS`: the best at that recall or above, 0 beyond the highest."""
        at_recall = np.zeros(len(RECALLS))
        best = np.maximum.accumulate(self.precision(row)[::-1])[::-1]
        place = np.searchsorted(self.recall(row), RECALLS, side="left")
        reached = place < len(best)
        at_recall[reached] = best[place[reached]]
        return at_recall


def match(pictures: Sequence[tuple[F32, F32, F32]]) -> Matched:
    """Match detections with the truth, picture by picture.

    Args:
        pictures: per picture: boxes of the truth (M, 4), detected boxes (K, 4), scores (K,).
    """
    scores, hits, wanted = [np.zeros(0, np.float32)], [np.zeros((len(THRESHOLDS), 0), bool)], 0
    for truth, found, score in pictures:
        order = np.argsort(-score, kind="stable")[:MAX_DETECTIONS]
        overlap = iou(found[order], truth)
        scores.append(score[order])
        hits.append(np.stack([_greedy(overlap, threshold) for threshold in THRESHOLDS]))
        wanted += len(truth)
    all_scores = np.concatenate(scores)
    best = np.argsort(-all_scores, kind="stable")
    return Matched(all_scores[best], np.concatenate(hits, axis=1)[:, best], wanted)


def _greedy(overlap: F32, threshold: float) -> npt.NDArray[np.bool_]:
    """(K,) whether each detection, in order, finds a free box it overlaps by `threshold` or more."""
    hit = np.zeros(len(overlap), bool)
    if not overlap.size:
        return hit
    free = np.ones(overlap.shape[1], bool)
    for row in np.flatnonzero(overlap.max(axis=1) >= threshold):
        open_to_it = np.where(free, overlap[row], -1.0)
        best = int(open_to_it.argmax())
        if open_to_it[best] >= threshold:
            hit[row], free[best] = True, False
    return hit
