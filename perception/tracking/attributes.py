"""The classifier stage: what kind of sign, which state of a light, as an attribute of a track."""

from __future__ import annotations

import difflib
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from perception.backends import Engine
from perception.errors import ConfigError, unknown
from perception.models.classifier import Classifier
from perception.tracking.votes import Votes
from perception.types import F32, Detections, FrameResult, Tracks

_log = logging.getLogger(__name__)

# A track that was not seen for so long is forgotten: trackers give an object up far sooner.
FORGET_S = 10.0
# A crop of so many pixels' side has full weight in the votes; smaller ones less, by their area.
FULL_SIDE = 32.0


@dataclass(slots=True)
class _Known:
    """What is known about one track."""

    votes: Votes
    asked: float = -math.inf
    side: float = 0.0
    seen: float = 0.0


class ClassifierStage:
    """Classifies the crops of tracked objects, now and then, and gives their tracks an attribute.

    A track is classified when it is new, when it has grown by the factor `grown` since it was last asked
    about, and every `again_s`; never while it is only predicted, or cut off by the picture's edge (of a light
    whose upper half is outside, the dark lower half is seen). All crops of a frame run in one batch. Answers
    are votes (see `perception.tracking.votes`); the leading class becomes `attributes[task]` with its score
    in `attributes[task + "_score"]`, unless it is the network's "none of these" or scores less than `min_score`.

    One per stream. When the stream's time goes back, all votes are forgotten.

    Args:
        engine: an installed engine's name, the path of an ONNX file, or an open `Engine`.
        classes: names of the detector's classes to look at ("traffic_sign").
        task: whose tracks ("road").
        attribute: name of the attribute; None takes the card's task ("sign", "light").
        backend: see `perception.backends.open_engine`.
        again_s: longest time without a new look.
        grown: factor of the box's side after which there is a new look.
        memory_s: how long a vote counts, see `Votes`: long for what stays, short for what changes.
        keep_s: an attribute without a new vote for longer is dropped; None keeps it while the track lives.
        min_score: least score of an attribute.
        min_side: least side of a box, pixels; smaller ones are not classified.
        most: most crops in a frame; those that waited longest come first.
        tracked: False classifies every detection of every frame instead, for pictures without tracks.
        threads: threads inside one operator of a CPU runtime.

    Raises:
        ConfigError: a setting is out of range, or the engine is no classifier.
        InputError: no such engine.
        EngineError: the engine cannot be opened.
    """

    def __init__(
        self,
        engine: str | Path | Engine,
        classes: Sequence[str],
        *,
        task: str = "road",
        attribute: str | None = None,
        backend: str = "auto",
        again_s: float = 0.5,
        grown: float = 1.25,
        memory_s: float = 2.0,
        keep_s: float | None = None,
        min_score: float = 0.6,
        min_side: float = 8.0,
        most: int = 8,
        tracked: bool = True,
        threads: int = 1,
    ) -> None:
        if isinstance(classes, str) or not classes:
            raise ConfigError(f"classes must be a list of class names, but is {classes!r}")
        for name, value, least in (
            ("again_s", again_s, 0.0),
            ("grown", grown, 1.0),
            ("memory_s", memory_s, 1e-3),
            ("min_side", min_side, 0.0),
            ("most", most, 1),
        ):
            if not value >= least:
                raise ConfigError(f"{name} must be at least {least:g}, but is {value:g}")
        if not 0 <= min_score <= 1:
            raise ConfigError(f"min_score must be in 0..1, but is {min_score:g}")
        self.classifier = Classifier(engine, backend=backend, threads=threads)
        self.engine = self.classifier.engine
        self.card = self.classifier.card
        self.task = task
        self.attribute = attribute or self.card.task
        self.wanted = tuple(classes)
        self.again_s, self.grown, self.memory_s = again_s, grown, memory_s
        self.keep_s = math.inf if keep_s is None else keep_s
        self.min_score, self.min_side, self.most = min_score, min_side, most
        self.tracked = tracked
        self.name = self.attribute
        self.reads = (f"tracks.{task}",) if tracked else (f"detections.{task}",)
        self.writes = (f"attributes.{task}.{self.attribute}",)
        self._known: dict[int, _Known] = {}
        self._last_s = -math.inf
        self._warned = False
        self._asked_classes: tuple[str, ...] | None = None
        self._mine = np.zeros(0, bool)

    def __call__(self, result: FrameResult) -> None:
        if not self.tracked:
            self._by_detection(result)
            return
        time = result.frame.time
        if time < self._last_s:
            _log.info("stream %d: time went back; the votes are forgotten", result.frame.stream)
            self._known.clear()
        self._last_s = time
        tracks = result.tracks[self.task]
        rows = np.flatnonzero(self._of_interest(tracks))
        if len(rows):
            boxes = _boxes(tracks, result.detections.get(self.task))
            self._look(result, tracks, rows, boxes, time)
            for row in rows:
                self._tell(tracks, int(tracks.track_id[row]), time)
        self._forget(time)

    def close(self) -> None:
        self.classifier.close()

    def _of_interest(self, found: Tracks | Detections) -> npt.NDArray[np.bool_]:
        """(N,) whether each object is of a wanted class."""
        if found.classes is not self._asked_classes:
            self._asked_classes = found.classes
            self._mine = self._known_classes(found)
        return np.asarray(self._mine[found.class_id], bool)

    def _known_classes(self, found: Tracks | Detections) -> npt.NDArray[np.bool_]:
        """(classes,) whether each is wanted; says so, once, where a wanted one is not there."""
        missing = [name for name in self.wanted if name not in found.classes]
        if missing and not self._warned:
            # Another detector than the configuration was made for: the rest of the pipeline is as good as ever,
            # unless the name is only misspelt.
            self._warned = True
            near = difflib.get_close_matches(missing[0], found.classes, n=1, cutoff=0.85)
            _log.log(
                logging.WARNING if near else logging.INFO,
                "stage %s has nothing to do: %s",
                self.name,
                unknown(f"class of task {self.task!r}", missing[0], found.classes),
            )
        return np.array([name in self.wanted for name in found.classes], bool)

    def _look(
        self,
        result: FrameResult,
        tracks: Tracks,
        rows: npt.NDArray[np.intp],
        boxes: F32,
        time: float,
    ) -> None:
        """Classify what is due, in one batch."""
        waiting = []
        cut_off = _cut_off(boxes, result.frame.size)
        for row in rows:
            known = self._known.get(int(tracks.track_id[row]))
            if known is None:
                known = _Known(Votes(len(self.card.classes), memory_s=self.memory_s))
                self._known[int(tracks.track_id[row])] = known
            known.seen = time
            side = float((boxes[row, 2:] - boxes[row, :2]).min())
            if tracks.detection[row] < 0 or side < self.min_side or cut_off[row]:
                continue
            if time - known.asked >= self.again_s or side >= known.side * self.grown:
                waiting.append((known.asked, row, known, side))
        waiting = sorted(waiting, key=lambda item: item[0])[: self.most]
        if not waiting:
            return
        chosen = np.array([row for _, row, _, _ in waiting])
        scores = self.classifier(result.frame, boxes[chosen])
        for (_, _, known, side), answer in zip(waiting, scores, strict=True):
            known.votes.add(answer, time, weight=min(1.0, side / FULL_SIDE) ** 2)
            known.asked, known.side = time, side

    def _tell(self, tracks: Tracks, track_id: int, time: float) -> None:
        """Give the track its attribute, if there is one."""
        known = self._known[track_id]
        if time - known.asked <= self.keep_s:
            said = self._said(*known.votes.winner)
            if said:
                tracks.attributes[track_id] = {**tracks.attributes.get(track_id, {}), **said}

    def _said(self, best: int, score: float) -> dict[str, str | float]:
        if best == self.classifier.reject or score < self.min_score:
            return {}
        return {
            self.attribute: self.card.classes[best],
            f"{self.attribute}_score": round(score, 4),
        }

    def _by_detection(self, result: FrameResult) -> None:
        found = result.detections[self.task]
        sides = (found.xyxy[:, 2:] - found.xyxy[:, :2]).min(axis=1, initial=np.inf)
        rows = np.flatnonzero(self._of_interest(found) & (sides >= self.min_side))
        said = result.attributes.setdefault(self.task, {})
        for row, scores in zip(rows, self.classifier(result.frame, found.xyxy[rows]), strict=True):
            best = int(scores.argmax())
            values = self._said(best, float(scores[best]))
            if values:
                said[int(row)] = {**said.get(int(row), {}), **values}

    def _forget(self, time: float) -> None:
        old = [track for track, known in self._known.items() if time - known.seen > FORGET_S]
        for track in old:
            del self._known[track]


def _cut_off(xyxy: F32, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """(N,) whether each box reaches the picture's edge, to a pixel."""
    near = (xyxy[:, :2] <= 1).any(axis=1)
    far = (xyxy[:, 2:] >= np.array(size, np.float32) - 1).any(axis=1)
    return np.asarray(near | far, bool)


def _boxes(tracks: Tracks, found: Detections | None) -> F32:
    """(N, 4) the detection's box where a track has one on this frame, else the tracker's estimate.

    The tracker smooths its boxes, and a smoothed box of a near sign lags behind it.
    """
    boxes = tracks.xyxy.copy()
    if found is not None:
        seen = tracks.detection >= 0
        boxes[seen] = found.xyxy[tracks.detection[seen]]
    return np.asarray(boxes, np.float32)
