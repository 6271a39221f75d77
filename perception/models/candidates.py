"""What every detector's decoder does alike: check the engine's columns, keep classes and the best rows, group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from perception.backends import Engine
from perception.errors import EngineError

MAX_CANDIDATES = 1000
MAX_DETECTIONS = 300


def check_columns(engine: Engine, expected: int, classes: Sequence[str], *, points: int = 0) -> str:
    """The name of the engine's first output, which has as many columns as its card's classes need.

    Raises:
        EngineError: it has another number; where the engine does not say, there is nothing to check.
    """
    output = engine.outputs[0]
    columns = output.shape[-1]
    if columns not in (expected, -1):
        raise EngineError(
            f"{engine.path}: output must have {expected} columns for {len(classes)} classes"
            f"{f' and {points} keypoints' if points else ''}, but has {columns}"
        )
    return output.name


def wanted_columns(
    have: Sequence[str], classes: Sequence[str] | None
) -> npt.NDArray[np.bool_] | None:
    """By class, whether it is asked for; None where all are."""
    if classes is None:
        return None
    return np.array([name in set(classes) for name in have])


def best_rows(
    rows: npt.NDArray[np.intp], score: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[Any]]:
    """The MAX_CANDIDATES rows of highest score, best first; all, in their order, where there are no more.

    Args:
        rows: (N,) numbers.
        score: (N,) of each.

    Returns:
        Rows and scores.
    """
    if len(rows) <= MAX_CANDIDATES:
        return rows, score
    order = np.argsort(-score, kind="stable")[:MAX_CANDIDATES]
    return rows[order], score[order]


def logit(probability: float) -> float:
    """The raw number whose sigmoid this is; of 0 and 1, those of a millionth beside them."""
    clipped = min(max(probability, 1e-6), 1 - 1e-6)
    return float(np.log(clipped / (1 - clipped)))


def suppression_groups(
    classes: Sequence[str], groups: Sequence[Sequence[str]]
) -> npt.NDArray[np.int32]:
    """Group number by class_id: classes named together suppress each other."""
    group = np.arange(len(classes), dtype=np.int32)
    for names in groups:
        members = [classes.index(name) for name in names if name in classes]
        group[members] = members[0] if members else -1
    return group
