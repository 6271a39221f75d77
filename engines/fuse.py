"""Join what several looks at one picture found: a teacher's views at other sizes, mirrored, of other nets.

Weighted boxes fusion (Solovyev et al., arXiv:1910.13302) with a rule of its own for scores. A small object is
seen only by the views that enlarge it, so its score is the mean of its best half of views; a large object
is there at every size, so its score is the mean of all: a road or a wall that one view calls a car is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perception.geometry import iou
from perception.types import F32

SAME = 0.5  # IoU from which two boxes are one object
LARGE = 0.03  # of the picture


@dataclass(frozen=True, slots=True)
class Look:
    """What one view found.

    Attributes:
        xyxy: (N, 4) pixels of the picture.
        score: (N,).
        kind: (N,) class numbers.
        knows: (C,) the classes this view can find.
    """

    xyxy: F32
    score: F32
    kind: npt.NDArray[np.intp]
    knows: npt.NDArray[np.bool_]


def fuse(
    looks: Sequence[Look], groups: npt.NDArray[np.intp], size: tuple[int, int]
) -> tuple[F32, F32, npt.NDArray[np.intp]]:
    """Boxes, scores and classes, best first.

    Args:
        looks: one per view.
        groups: (C,) classes of one number may be confused with one another: an object of two kinds
            comes out twice, the likelier kind with the score of both.
        size: (width, height) of the picture.
    """
    xyxy = np.concatenate([look.xyxy for look in looks]).reshape(-1, 4).astype(np.float32)
    score = np.concatenate([look.score for look in looks]).astype(np.float32)
    kind = np.concatenate([look.kind for look in looks]).astype(np.intp)
    view = np.concatenate([np.full(len(look.score), i) for i, look in enumerate(looks)]).astype(int)
    knows = np.stack([look.knows for look in looks])
    found: list[tuple[F32, float, int]] = []
    overlap = iou(xyxy, xyxy)
    free = np.ones(len(score), bool)
    for row in np.argsort(-score, kind="stable"):
        if not free[row]:
            continue
        mine = free & (overlap[row] > SAME) & (groups[kind] == groups[kind[row]])
        free &= ~mine
        box = np.average(xyxy[mine], axis=0, weights=score[mine]).astype(np.float32)
        share = float((box[2] - box[0]) * (box[3] - box[1])) / (size[0] * size[1])
        best = np.zeros(knows.shape, np.float32)
        np.maximum.at(best, (view[mine], kind[mine]), score[mine])
        able = knows[:, groups == groups[kind[row]]].any(axis=1)
        kinds = np.flatnonzero(best.max(axis=0))
        by_kind = {int(k): _mean(best[able, k], large=share > LARGE) for k in kinds}
        first = max(by_kind, key=lambda k: by_kind[k])
        by_kind[first] = _mean(best[able].max(axis=1), large=share > LARGE)
        found += [(box, value, k) for k, value in by_kind.items()]
    found.sort(key=lambda item: -item[1])
    return (
        np.array([box for box, _, _ in found], np.float32).reshape(-1, 4),
        np.array([value for _, value, _ in found], np.float32),
        np.array([k for _, _, k in found], np.intp),
    )


def _mean(scores: F32, *, large: bool) -> float:
    """Mean of the views' scores: of all, or of the best half, at least two."""
    number = len(scores) if large else min(len(scores), max(2, len(scores) // 2))
    return float(np.sort(scores)[-number:].mean())
