"""The tracker: detections of one frame and a time in, tracks out. It never looks ahead."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from perception.errors import ConfigError
from perception.geometry import iou
from perception.tracking.assignment import Rows, match
from perception.tracking.camera import MOST_BOXES, MOST_FOUND, common_shift, is_still
from perception.tracking.evidence import Evidence
from perception.tracking.kalman import BoxFilter, BoxStates, to_xyxy
from perception.types import Detections, Tracks

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

# Classes that a detector confuses on one and the same object: a track may change among them.
KINDS = (("car", "truck", "bus", "vehicle"), ("motorcycle", "bicycle"))

SAME_OBJECT = 0.7  # two classes of one kind that overlap by more than this are one object
# An unseen object so near to the left or right side is leaving: part of the picture's width, pixels.
EDGE, EDGE_PX = 0.005, 5.0
LOOK_S = 0.1  # frames closer in time than this are not independent looks
KEEP = 0.4  # by so much evidence may fall below what confirmed a track before it is not given out
SEEN = 0.5  # how much the detected box counts in the box that is given out, against the filter's
MISSED = 0.15  # evidence lost by an object per look that does not find it
# Columns of the table of objects behind their filters' states.
BORN, SEEN_S, EVIDENCE, SCORE, VOTES = 11, 12, 13, 14, 15


class _Objects:
    """What the tracker knows of its N objects, one row each, oldest first.

    One table, so that choosing rows is one step; its parts are views that may be written to.

    Attributes:
        track_id: (N,), 0 until confirmed.
        table: (N, VOTES + classes) float64: position and velocity of 4, variance of 3 (see BoxStates), born
            and seen in seconds, evidence, the last score, and the votes for each class.
    """

    __slots__ = ("table", "track_id")

    def __init__(self, track_id: I64, table: F64) -> None:
        self.track_id = track_id
        self.table = table

    def __len__(self) -> int:
        return len(self.track_id)

    @classmethod
    def empty(cls, classes: int) -> _Objects:
        return cls(np.zeros(0, np.int64), np.zeros((0, VOTES + classes)))

    def rows(self, rows: npt.NDArray[np.generic]) -> _Objects:
        return _Objects(self.track_id[rows], self.table[rows])

    @property
    def position(self) -> F64:
        return self.table[:, :4]

    @property
    def velocity(self) -> F64:
        return self.table[:, 4:8]

    @property
    def born(self) -> F64:
        return self.table[:, BORN]

    @property
    def seen(self) -> F64:
        return self.table[:, SEEN_S]

    @property
    def evidence(self) -> F64:
        return self.table[:, EVIDENCE]

    @property
    def score(self) -> F64:
        return self.table[:, SCORE]

    @property
    def votes(self) -> F64:
        return self.table[:, VOTES:]

    @property
    def states(self) -> BoxStates:
        return _states(self.table)

    def put(self, states: BoxStates) -> None:
        """Replace the states of all objects."""
        _put(self.table, states)


def _states(table: F64) -> BoxStates:
    """The filters' part of a table of objects, as views."""
    return BoxStates(table[:, :4], table[:, 4:8], table[:, 8:11])


def _put(table: F64, states: BoxStates) -> None:
    table[:, :4] = states.position
    table[:, 4:8] = states.velocity
    table[:, 8:11] = states.variance


class Tracker:
    """Follows objects from frame to frame of one stream.

    An object's evidence is the sum of what its detections' scores say, fading over `memory_s`; while it is
    at least `confirm`, the object is a track.

    Args:
        max_age_s: an object that is not seen for longer ends.
        coast_s: a track that is not seen is still given out, as predicted, for so long, unless it
            leaves the picture or its evidence is weak.
        evidence: how to read the detector's scores.
        memory_s: evidence fades by 1/e in this time.
        confirm: evidence that makes an object a track.
        start: evidence a detection needs to start an object, and to be associated first.
        min_iou: least overlap of a prediction with a detection in the first association.
        min_iou_weak: the same in the second, for the detections of weak evidence.
        camera_shift: look for a turn of the camera in the boxes (`perception.tracking.camera`).
        motion: the noises of the box filter.

    Raises:
        ConfigError: a value is out of range.
    """

    def __init__(
        self,
        *,
        max_age_s: float = 1.5,
        coast_s: float = 0.2,
        evidence: Evidence | None = None,
        memory_s: float = 0.4,
        confirm: float = 0.0,
        start: float = -0.5,
        min_iou: float = 0.15,
        min_iou_weak: float = 0.3,
        camera_shift: bool = True,
        motion: BoxFilter | None = None,
    ) -> None:
        for name, value in (("max_age_s", max_age_s), ("coast_s", coast_s)):
            if not 0 <= value < math.inf:
                raise ConfigError(f"{name} must be 0 or more seconds, but is {value}")
        if not memory_s > 0:
            raise ConfigError(f"memory_s must be above 0, but is {memory_s}")
        for name, value in (("min_iou", min_iou), ("min_iou_weak", min_iou_weak)):
            if not 0 < value <= 1:
                raise ConfigError(f"{name} must be above 0 and at most 1, but is {value}")
        for name, value in (("confirm", confirm), ("start", start)):
            if not math.isfinite(value):
                raise ConfigError(f"{name} must be a number, but is {value}")
        self.max_age_s = max_age_s
        self.coast_s = coast_s
        self.evidence = evidence or Evidence()
        self.memory_s = memory_s
        self.confirm = confirm
        self.start = start
        self.min_iou = min_iou
        self.min_iou_weak = min_iou_weak
        self.camera_shift = camera_shift
        self.filter = motion or BoxFilter()
        self._objects = _Objects.empty(0)
        self._classes: tuple[str, ...] | None = None
        self._kind = np.zeros(0, np.int64)
        self._limit = np.zeros(4)
        self._time = 0.0
        self._looked_s = 0.0
        self._next_id = 1

    def __call__(
        self,
        detections: Detections,
        time_s: float,
        *,
        size: tuple[int, int] | None = None,
    ) -> Tracks:
        """Take the detections of the next frame.

        Args:
            detections: what was found; `classes` must stay the same from call to call.
            time_s: the frame's time in seconds; must not go back.
            size: (width, height) of the picture; None: as far as boxes have been seen.

        Returns:
            The tracks seen on this frame, and those that are predicted (`detection` -1), oldest first.

        Raises:
            ValueError: time went back, or the classes changed.
        """
        self._check(detections, time_s)
        boxes = detections.xyxy.astype(np.float64)
        if size is not None:
            self._resize(size)
        elif len(boxes):
            self._resize(np.maximum(self._limit[:2], boxes[:, 2:].max(axis=0)).tolist())
        evidence = self.evidence(detections.score, boxes[:, 3] - boxes[:, 1])
        strong = evidence >= self.start
        self._predict(time_s)
        predicted = self._predicted_boxes()
        overlap = iou(predicted.astype(np.float32), detections.xyxy)
        if self.camera_shift and self._turn(predicted, boxes, detections, strong, overlap):
            overlap = iou(self._predicted_boxes().astype(np.float32), detections.xyxy)
        row_of = self._associate(detections, strong, overlap)
        self._update(boxes, detections, evidence, row_of)
        fresh = self._start(boxes, detections, evidence, strong, row_of)
        return self._report(boxes, np.concatenate([row_of, fresh]))

    def predicted(self, time_s: float, *, size: tuple[int, int] | None = None) -> Tracks:
        """Where the tracks are on a frame that the detector did not look at: nothing counts as missed.

        Args:
            time_s: the frame's time in seconds; must not go back.
            size: (width, height) of the picture.

        Returns:
            The tracks given out at the last look, for `coast_s` from when they were seen, as long as they are in
            the picture. `detection` is -2, or -1 for those that were only predicted at the last look as well.

        Raises:
            ValueError: time went back.
        """
        if self._classes is None:
            return Tracks.empty(())
        if not time_s >= self._time:
            raise ValueError(f"time must not go back, but went from {self._time} s to {time_s} s")
        if size is not None:
            self._resize(size)
        self._move(time_s)
        objects = self._objects
        part = self._inside(to_xyxy(objects.position))
        fresh = objects.seen >= self._looked_s
        shown = np.where(fresh, objects.evidence >= self.confirm - KEEP, self._coasting(part))
        shown &= objects.track_id > 0
        shown &= time_s - objects.seen <= self.coast_s + 1e-6
        shown &= (part[:, 2] > part[:, 0]) & (part[:, 3] > part[:, 1])
        rows = shown.nonzero()[0]
        detection = np.where(fresh[rows], -2, -1).astype(np.int64)
        return self._tracks(rows, part[rows], detection)

    def restart(self) -> None:
        """End all tracks, as at the start of another recording; ids go on where they were."""
        self._objects = self._objects.rows(np.zeros(0, np.intp))
        self._classes = None

    def _check(self, detections: Detections, time_s: float) -> None:
        if self._classes is None:
            self._classes = detections.classes
            kinds = {name: number for number, kind in enumerate(KINDS) for name in kind}
            self._kind = np.array(
                [kinds.get(name, len(KINDS) + i) for i, name in enumerate(self._classes)], np.int64
            )
            self._objects = _Objects.empty(len(self._classes))
            self._time = self._looked_s = time_s
        if detections.classes != self._classes:
            raise ValueError(
                f"classes must stay {self._classes} while tracking, but are now {detections.classes}"
            )
        if not time_s >= self._time:
            raise ValueError(f"time must not go back, but went from {self._time} s to {time_s} s")

    def _resize(self, size: Sequence[float]) -> None:
        if (self._limit[0], self._limit[1]) != tuple(size):
            self._limit = np.array([*size, *size], np.float64)

    def _predict(self, time_s: float) -> None:
        """Move all objects on to this time, for a look at it."""
        self._move(time_s)
        self._dt = time_s - self._looked_s
        self._looked_s = time_s
        self._look = min(1.0, self._dt / LOOK_S)

    def _move(self, time_s: float) -> None:
        dt, self._time = time_s - self._time, time_s
        if dt > self.max_age_s:
            self._objects = self._objects.rows(np.zeros(0, np.intp))
        objects = self._objects
        objects.put(self.filter.predict(objects.states, dt))
        objects.evidence[:] *= math.exp(-dt / self.memory_s)

    def _predicted_boxes(self) -> F64:
        """(N, 4) what of each object is expected in the picture."""
        return self._inside(to_xyxy(self._objects.position))

    def _turn(
        self,
        predicted: F64,
        boxes: F64,
        detections: Detections,
        strong: npt.NDArray[np.bool_],
        overlap: npt.NDArray[np.float32],
    ) -> bool:
        """Follow a turn of the camera: all objects shift, and go on shifting as fast. Whether there was one."""
        objects = self._objects
        recent = self._time - objects.seen < 0.25 + self._dt
        known = _best(objects.evidence, (objects.evidence > 0) & recent)[:MOST_BOXES]
        found = _best(detections.score, strong)[:MOST_FOUND]
        if is_still(overlap[known[:, None], found]):
            return False
        shift = common_shift(predicted[known], boxes[found])
        if shift == (0.0, 0.0):
            return False
        objects.position[:, :2] += shift
        if self._dt > 0:
            objects.velocity[:, :2] += np.array(shift) / self._dt
        return True

    def _associate(
        self,
        detections: Detections,
        strong: npt.NDArray[np.bool_],
        overlap: npt.NDArray[np.float32],
    ) -> I64:
        """The row of each object's detection, or -1."""
        objects = self._objects
        row_of = np.full(len(objects), -1, np.int64)
        if overlap.size and len(self._kind) > 1:
            kind = self._kind[objects.votes.argmax(axis=1)]
            overlap *= kind[:, None] == self._kind[detections.class_id]
        for candidates, least in ((strong, self.min_iou), (~strong, self.min_iou_weak)):
            rows = candidates.nonzero()[0]
            free = (row_of < 0).nonzero()[0]
            if len(rows) == 0 or len(free) == 0:
                continue
            weight = overlap[free[:, None], rows]
            weight[weight < least] = 0
            if weight.any():
                a, b = match(weight)
                row_of[free[a]] = rows[b]
        return row_of

    def _update(self, boxes: F64, detections: Detections, evidence: F64, row_of: I64) -> None:
        objects = self._objects
        found = (row_of >= 0).nonzero()[0]
        rows = row_of[found]
        part = objects.table[found]
        score = detections.score[rows]
        _put(part, self.filter.update(_states(part), boxes[rows]))
        part[:, SEEN_S] = self._time
        part[:, SCORE] = score
        part[np.arange(len(rows)), VOTES + detections.class_id[rows]] += score
        objects.table[found] = part
        change = np.full(len(objects), -MISSED)
        change[found] = evidence[rows]
        objects.evidence[:] += self._look * change

    def _inside(self, boxes: F64) -> F64:
        """The part of each box that is in the picture."""
        return np.minimum(np.maximum(boxes, 0), self._limit)

    def _start(
        self,
        boxes: F64,
        detections: Detections,
        evidence: F64,
        strong: npt.NDArray[np.bool_],
        row_of: I64,
    ) -> Rows:
        """Start an object at every strong detection that has none; returns their rows."""
        free = strong.copy()
        taken = row_of[row_of >= 0]
        free[taken] = False
        rows: Rows = free.nonzero()[0]
        if len(rows) and len(taken) and len(self._kind) > 1:
            # The same object under another name ("truck" on a "car") is no second object.
            a, b = detections.class_id[rows][:, None], detections.class_id[taken][None, :]
            twin = (self._kind[a] == self._kind[b]) & (a != b)
            if twin.any():
                twin &= iou(detections.xyxy[rows], detections.xyxy[taken]) > SAME_OBJECT
                rows = rows[~twin.any(axis=1)]
        n = len(rows)
        if n == 0:
            return rows
        table = np.zeros((n, VOTES + len(self._kind)))
        _put(table, self.filter.start(boxes[rows]))
        table[:, BORN] = table[:, SEEN_S] = self._time
        table[:, EVIDENCE] = evidence[rows]
        table[:, SCORE] = detections.score[rows]
        table[np.arange(n), VOTES + detections.class_id[rows]] = detections.score[rows]
        objects = self._objects
        self._objects = _Objects(
            np.concatenate([objects.track_id, np.zeros(n, np.int64)]),
            np.concatenate([objects.table, table]),
        )
        return rows

    def _report(self, boxes: F64, row_of: I64) -> Tracks:
        """Confirm, give out, and end what is over."""
        assert self._classes is not None
        objects = self._objects
        seen = row_of >= 0
        part = self._inside(to_xyxy(objects.position))
        known = objects.track_id > 0
        give = objects.evidence >= np.where(known, self.confirm - KEEP, self.confirm)
        all_seen = bool(seen.all())
        if not all_seen:
            give = np.where(seen, give, self._coasting(part))
        fresh = (give & ~known).nonzero()[0]
        objects.track_id[fresh] = self._next_id + np.arange(len(fresh))
        self._next_id += len(fresh)
        shown = give.nonzero()[0]
        # Between what was seen and what was expected: a little less jitter, no delay.
        given = part[shown]
        at = np.flatnonzero(seen[shown])
        given[at] = SEEN * boxes[row_of[shown[at]]] + (1 - SEEN) * given[at]
        tracks = self._tracks(shown, given, row_of[shown])
        if not all_seen:
            keep = seen | (self._time - objects.seen <= self.max_age_s + 1e-6)
            if not keep.all():
                self._objects = objects.rows(keep)
        return tracks

    def _coasting(self, part: F64) -> npt.NDArray[np.bool_]:
        """Which unseen tracks are still given out; `part` is what of them is in the picture."""
        objects = self._objects
        width = self._limit[0]
        margin = max(EDGE_PX, EDGE * width)
        leaving = (part[:, 0] <= margin) | (part[:, 2] >= width - margin)
        recent = self._time - objects.seen <= self.coast_s + 1e-6
        strong = objects.evidence >= self.confirm + 1
        coasting: npt.NDArray[np.bool_] = (objects.track_id > 0) & recent & ~leaving & strong
        return coasting

    def _tracks(self, rows: npt.NDArray[np.intp], boxes: F64, detection: I64) -> Tracks:
        assert self._classes is not None
        objects = self._objects
        return Tracks(
            track_id=objects.track_id[rows],
            xyxy=boxes.astype(np.float32),
            velocity=objects.velocity[rows, :2].astype(np.float32),
            age=(self._time - objects.born[rows]).astype(np.float32),
            detection=detection,
            score=objects.score[rows].astype(np.float32),
            class_id=objects.votes[rows].argmax(axis=1).astype(np.int32),
            classes=self._classes,
        )


def _best(value: npt.NDArray[Any], chosen: npt.NDArray[np.bool_]) -> Rows:
    """The chosen rows, the greatest value first, equal ones in order."""
    rows = chosen.nonzero()[0]
    return rows[(-value[rows]).argsort(kind="stable")]
