"""The tracker: detections of one frame and a time in, tracks out. It never looks ahead."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perception.errors import ConfigError
from perception.geometry import iou
from perception.tracking.assignment import Rows, match
from perception.tracking.kalman import BoxFilter, BoxStates
from perception.types import Detections, Tracks

# Classes that a detector confuses with each other on the same object: a track may change among them.
KINDS = (("car", "truck", "bus", "vehicle"), ("motorcycle", "bicycle"))


@dataclass(slots=True)
class _Objects:
    """What the tracker knows of its N objects, one row each, oldest first."""

    track_id: npt.NDArray[np.int64]  # 0 until confirmed
    states: BoxStates
    born: npt.NDArray[np.float64]
    seen: npt.NDArray[np.float64]
    evidence: npt.NDArray[np.float64]
    score: npt.NDArray[np.float32]
    votes: npt.NDArray[np.float64]  # (N, classes)

    def __getitem__(self, rows: npt.NDArray[np.generic]) -> _Objects:
        return _Objects(
            self.track_id[rows],
            self.states[rows],
            self.born[rows],
            self.seen[rows],
            self.evidence[rows],
            self.score[rows],
            self.votes[rows],
        )


class Tracker:
    """Follows objects from frame to frame of one stream.

    Args:
        max_age_s: a confirmed track that is not seen for longer ends.
        high_score: detections at or above are associated first and may start a track.
        low_score: detections below are not used.
        confirm: evidence that confirms a track: the sum of its detections' scores.
        min_iou: least overlap with the predicted box in the first association.
        min_iou_low: the same in the second, for detections of low score.
        coast_s: a confirmed track that is not seen is still given out, as predicted, for so long.

    Raises:
        ConfigError: a value is out of range.
    """

    def __init__(
        self,
        *,
        max_age_s: float = 1.0,
        high_score: float = 0.5,
        low_score: float = 0.1,
        confirm: float = 1.2,
        min_iou: float = 0.2,
        min_iou_low: float = 0.4,
        coast_s: float = 0.2,
        motion: BoxFilter | None = None,
    ) -> None:
        for name, value in (("max_age_s", max_age_s), ("confirm", confirm), ("coast_s", coast_s)):
            if not value >= 0:
                raise ConfigError(f"{name} must be 0 or more, but is {value}")
        for name, value in (
            ("high_score", high_score),
            ("low_score", low_score),
            ("min_iou", min_iou),
            ("min_iou_low", min_iou_low),
        ):
            if not 0 <= value <= 1:
                raise ConfigError(f"{name} must be in 0..1, but is {value}")
        self.max_age_s = max_age_s
        self.high_score = high_score
        self.low_score = low_score
        self.confirm = confirm
        self.min_iou = min_iou
        self.min_iou_low = min_iou_low
        self.coast_s = coast_s
        self.filter = motion or BoxFilter()
        self._objects: _Objects | None = None
        self._classes: tuple[str, ...] = ()
        self._kind = np.zeros(0, np.int64)
        self._time = 0.0
        self._next_id = 1

    def __call__(self, detections: Detections, time_s: float) -> Tracks:
        """Take the detections of the next frame.

        Args:
            detections: what was found; `classes` must stay the same from call to call.
            time_s: the frame's time in seconds; must not go back.

        Raises:
            ValueError: time went back, or the classes changed.
        """
        objects = self._advance(detections, time_s)
        n = len(objects.born)
        row_of = np.full(n, -1, np.int64)
        high = detections.score >= self.high_score
        low = ~high & (detections.score >= self.low_score)
        for rows, least in ((high, self.min_iou), (low, self.min_iou_low)):
            candidates = np.flatnonzero(rows)
            free = np.flatnonzero(row_of < 0)
            a, b = self._associate(objects[free], detections, candidates, least)
            row_of[free[a]] = candidates[b]
        self._update(objects, detections, row_of, time_s)
        fresh = high.copy()
        fresh[row_of[row_of >= 0]] = False
        born = np.flatnonzero(fresh)
        self._birth(detections, born, time_s)
        return self._report(np.concatenate([row_of, born]), time_s)

    def _advance(self, detections: Detections, time_s: float) -> _Objects:
        """The objects predicted to this time."""
        if self._objects is None:
            self._classes = detections.classes
            names = {name: number for number, kind in enumerate(KINDS) for name in kind}
            self._kind = np.array(
                [names.get(name, len(KINDS) + i) for i, name in enumerate(self._classes)], np.int64
            )
            self._time = time_s
            none = np.zeros(0)
            self._objects = _Objects(
                none.astype(np.int64),
                BoxStates.empty(),
                none,
                none,
                none,
                none.astype(np.float32),
                np.zeros((0, len(self._classes))),
            )
        if detections.classes != self._classes:
            raise ValueError(
                f"classes must stay {self._classes} while tracking, but are now {detections.classes}"
            )
        if not time_s >= self._time:
            raise ValueError(f"time must not go back, but went from {self._time} to {time_s} s")
        self._objects.states = self.filter.predict(self._objects.states, time_s - self._time)
        self._time = time_s
        return self._objects

    def _associate(
        self, objects: _Objects, detections: Detections, rows: Rows, least: float
    ) -> tuple[Rows, Rows]:
        """Pairs of objects and `rows` of the detections."""
        overlap = iou(objects.states.xyxy.astype(np.float32), detections.xyxy[rows])
        same = (
            self._kind[objects.votes.argmax(axis=1)][:, None]
            == self._kind[detections.class_id[rows]][None, :]
        )
        return match(np.where(same & (overlap >= least), overlap, 0.0))

    def _update(
        self,
        objects: _Objects,
        detections: Detections,
        row_of: npt.NDArray[np.int64],
        time_s: float,
    ) -> None:
        found = np.flatnonzero(row_of >= 0)
        rows = row_of[found]
        states = self.filter.update(objects.states[found], detections.xyxy[rows])
        objects.states.position[found] = states.position
        objects.states.velocity[found] = states.velocity
        objects.states.variance[found] = states.variance
        objects.seen[found] = time_s
        objects.score[found] = detections.score[rows]
        objects.evidence[found] += detections.score[rows]
        objects.votes[found, detections.class_id[rows]] += detections.score[rows]

    def _birth(self, detections: Detections, rows: Rows, time_s: float) -> None:
        old = self._objects
        assert old is not None
        states = self.filter.start(detections.xyxy[rows])
        votes = np.zeros((len(rows), len(self._classes)))
        votes[np.arange(len(rows)), detections.class_id[rows]] = detections.score[rows]
        now = np.full(len(rows), time_s)
        self._objects = _Objects(
            np.concatenate([old.track_id, np.zeros(len(rows), np.int64)]),
            BoxStates(
                np.concatenate([old.states.position, states.position]),
                np.concatenate([old.states.velocity, states.velocity]),
                np.concatenate([old.states.variance, states.variance]),
            ),
            np.concatenate([old.born, now]),
            np.concatenate([old.seen, now]),
            np.concatenate([old.evidence, detections.score[rows]]),
            np.concatenate([old.score, detections.score[rows]]),
            np.concatenate([old.votes, votes]),
        )

    def _report(self, row_of: npt.NDArray[np.int64], time_s: float) -> Tracks:
        """Confirm, end and give out."""
        objects = self._objects
        assert objects is not None
        fresh = np.flatnonzero(
            (objects.track_id == 0) & (row_of >= 0) & (objects.evidence >= self.confirm)
        )
        objects.track_id[fresh] = self._next_id + np.arange(len(fresh))
        self._next_id += len(fresh)
        unseen = time_s - objects.seen
        shown = np.flatnonzero((objects.track_id > 0) & (unseen <= self.coast_s))
        tracks = Tracks(
            track_id=objects.track_id[shown],
            xyxy=objects.states.xyxy[shown].astype(np.float32),
            velocity=objects.states.velocity[shown, :2].astype(np.float32),
            age=(time_s - objects.born[shown]).astype(np.float32),
            detection=row_of[shown],
            score=objects.score[shown],
            class_id=objects.votes[shown].argmax(axis=1).astype(np.int32),
            classes=self._classes,
        )
        # An object that was never confirmed gets one second chance: half the age.
        limit = np.where(objects.track_id > 0, self.max_age_s, self.max_age_s / 2)
        self._objects = objects[np.flatnonzero(unseen <= limit)]
        return tracks
