"""The objects of a result as the renderer wants them: whole pixels, only what can be seen."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from math import ceil, floor, isfinite
from typing import Any

from perception.types import FrameResult

Key = tuple[str, int]
"""Task and track id."""

Rect = tuple[int, int, int, int]
"""x1, y1, x2, y2, whole pixels."""

_BEYOND = 64  # pixels outside the picture that boxes may reach: their edges are out of sight there


@dataclass(slots=True)
class Item:
    """One object to draw.

    Attributes:
        name: its class.
        box: the pixels x1 <= x < x2, y1 <= y < y2.
        key: None when it is not tracked.
        score: 0..1.
        predicted: the tracker knows it from before, and it was looked for and not found.
        tentative: a detection that no track has taken up yet, in a task with a tracker.
        attributes: what classifiers said about it.
    """

    name: str
    box: Rect
    key: Key | None
    score: float
    predicted: bool
    tentative: bool
    attributes: dict[str, Any]

    @property
    def area(self) -> int:
        """Pixels, inside the picture or not."""
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


def visible_items(
    result: FrameResult, *, min_score: float, tasks: Collection[str] | None
) -> list[Item]:
    """Objects that reach into the picture, with a finite box and at least this score."""
    width, height = result.frame.size
    right_limit, bottom_limit = width + _BEYOND, height + _BEYOND
    items = []
    unlooked = {
        (task, int(track_id))
        for task, tracks in result.tracks.items()
        for track_id in tracks.track_id[tracks.detection == -2]
    }
    for found in result.objects:
        if tasks is not None and found.task not in tasks:
            continue
        x1, y1, x2, y2 = found.xyxy
        if not found.score >= min_score or not isfinite(x1 + y1 + x2 + y2):
            continue
        left, top = max(floor(x1 + 0.5), -_BEYOND), max(floor(y1 + 0.5), -_BEYOND)
        right, bottom = min(ceil(x2 - 0.5), right_limit), min(ceil(y2 - 0.5), bottom_limit)
        if not (
            left < min(right, width) and top < min(bottom, height) and right > 0 and bottom > 0
        ):
            continue
        items.append(
            Item(
                name=found.class_name,
                box=(left, top, right, bottom),
                key=None if found.track_id is None else (found.task, found.track_id),
                score=found.score,
                predicted=found.predicted and (found.task, found.track_id) not in unlooked,
                tentative=found.track_id is None and found.task in result.tracks,
                attributes=found.attributes,
            )
        )
    return items
