"""HOTA, CLEAR MOT and identity metrics on matched-up frames.

Sources: HOTA: Luiten et al., "HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking", IJCV
2021, equations 5, 15-27. MOTA and MOTP: Bernardin and Stiefelhagen, "Evaluating Multiple Object Tracking
Performance: The CLEAR MOT Metrics", 2008. IDF1: Ristani et al., "Performance Measures and a Data Set for
Multi-Target, Multi-Camera Tracking", 2016. Where the papers leave a choice, TrackEval's is made, so that
the figures are its figures (tests hold them together to 1e-6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perception.tracking.assignment import match

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

ALPHAS = np.arange(0.05, 0.99, 0.05)
MIN_IOU = 0.5
EPS = float(np.finfo("float").eps)


@dataclass(frozen=True, slots=True)
class MatchFrame:
    """One frame, ready to score: ids counted from 0 within the sequence, and overlaps.

    Attributes:
        truth: (R,) row of each true box's object.
        track: (C,) column of each output box's track.
        iou: (R, C).
    """

    truth: I64
    track: I64
    iou: F64


@dataclass(frozen=True, slots=True)
class Scores:
    """Counts of one sequence, or of several added up; the figures are properties, in percent.

    Attributes:
        hota_tp, hota_fn, hota_fp: (19,) matches, misses and false boxes at the IoU limits `ALPHAS`.
        association: (19,) sum of the association accuracy of every match.
        overlap: (19,) sum of the IoU of every match.
        tp, fn, fp: boxes at IoU 0.5, CLEAR.
        tp_overlap: sum of the IoU of those matches.
        switches, fragmentations: CLEAR's, as counts.
        mostly_tracked, mostly_lost, objects: true objects tracked over 80 % of their boxes, under 20 %, all.
        id_tp, id_fn, id_fp: boxes under the best one-to-one pairing of objects and tracks.
    """

    hota_tp: F64
    hota_fn: F64
    hota_fp: F64
    association: F64
    overlap: F64
    tp: int = 0
    fn: int = 0
    fp: int = 0
    tp_overlap: float = 0.0
    switches: int = 0
    fragmentations: int = 0
    mostly_tracked: int = 0
    mostly_lost: int = 0
    objects: int = 0
    id_tp: int = 0
    id_fn: int = 0
    id_fp: int = 0

    @classmethod
    def total(cls, parts: Sequence[Scores]) -> Scores:
        """The scores of several sequences taken together."""
        return cls(*(sum(getattr(part, name) for part in parts) for name in cls.__slots__))

    @property
    def det_a(self) -> float:
        return 100 * float(_ratio(self.hota_tp, self.hota_tp + self.hota_fn + self.hota_fp).mean())

    @property
    def ass_a(self) -> float:
        return 100 * float(_ratio(self.association, self.hota_tp).mean())

    @property
    def hota(self) -> float:
        detection = _ratio(self.hota_tp, self.hota_tp + self.hota_fn + self.hota_fp)
        return 100 * float(np.sqrt(detection * _ratio(self.association, self.hota_tp)).mean())

    @property
    def loc_a(self) -> float:
        # No match at all counts as perfectly placed, as in TrackEval.
        return 100 * float(
            (np.maximum(1e-10, self.overlap) / np.maximum(1e-10, self.hota_tp)).mean()
        )

    @property
    def mota(self) -> float:
        true = self.tp + self.fn
        # Without any truth it has no meaning; TrackEval says 0.
        return 100 * (self.tp - self.fp - self.switches) / true if true else 0.0

    @property
    def motp(self) -> float:
        return 100 * self.tp_overlap / max(1, self.tp)

    @property
    def idf1(self) -> float:
        return 100 * self.id_tp / max(1.0, self.id_tp + 0.5 * self.id_fp + 0.5 * self.id_fn)


def _ratio(part: F64, whole: F64) -> F64:
    return part / np.maximum(1, whole)


def score_sequence(frames: Sequence[MatchFrame]) -> Scores:
    """Score one sequence."""
    objects = 1 + max((int(frame.truth.max()) for frame in frames if len(frame.truth)), default=-1)
    tracks = 1 + max((int(frame.track.max()) for frame in frames if len(frame.track)), default=-1)
    true_boxes = np.zeros(objects)
    track_boxes = np.zeros(tracks)
    for frame in frames:
        true_boxes[frame.truth] += 1
        track_boxes[frame.track] += 1
    n_true, n_track = int(true_boxes.sum()), int(track_boxes.sum())
    zero = np.zeros(len(ALPHAS))
    if n_true == 0 or n_track == 0:
        return Scores(
            hota_tp=zero,
            hota_fn=zero + n_true,
            hota_fp=zero + n_track,
            association=zero,
            overlap=zero,
            fn=n_true,
            fp=n_track,
            mostly_lost=objects,
            objects=objects,
            id_fn=n_true,
            id_fp=n_track,
        )
    both = [frame for frame in frames if frame.iou.size]
    hota_tp, association, overlap = _hota(both, true_boxes, track_boxes)
    clear = _clear(both, true_boxes)
    id_tp = _identity(both, objects, tracks)
    return Scores(
        hota_tp=hota_tp,
        hota_fn=n_true - hota_tp,
        hota_fp=n_track - hota_tp,
        association=association,
        overlap=overlap,
        tp=clear.tp,
        fn=n_true - clear.tp,
        fp=n_track - clear.tp,
        tp_overlap=clear.overlap,
        switches=clear.switches,
        fragmentations=clear.fragmentations,
        mostly_tracked=clear.mostly_tracked,
        mostly_lost=clear.mostly_lost,
        objects=objects,
        id_tp=id_tp,
        id_fn=n_true - id_tp,
        id_fp=n_track - id_tp,
    )


def _hota(frames: Sequence[MatchFrame], true_boxes: F64, track_boxes: F64) -> tuple[F64, F64, F64]:
    """Matches, association sums and overlap sums, each (19,)."""
    common = np.zeros((len(true_boxes), len(track_boxes)))
    for frame in frames:
        either = frame.iou.sum(axis=0)[None, :] + frame.iou.sum(axis=1)[:, None] - frame.iou
        share = np.divide(frame.iou, either, out=np.zeros_like(frame.iou), where=either > EPS)
        # Ids are unique within a frame, so no cell is added to twice.
        common[frame.truth[:, None], frame.track[None, :]] += share
    boxes = true_boxes[:, None] + track_boxes[None, :]
    alignment = common / (boxes - common)
    truth, track, placed = [], [], []
    for frame in frames:
        rows, columns = match(alignment[frame.truth[:, None], frame.track[None, :]] * frame.iou)
        truth.append(frame.truth[rows])
        track.append(frame.track[columns])
        placed.append(frame.iou[rows, columns])
    cell = np.concatenate(truth) * len(track_boxes) + np.concatenate(track)
    where = np.concatenate(placed)
    matches = np.zeros(len(ALPHAS))
    association = np.zeros(len(ALPHAS))
    overlap = np.zeros(len(ALPHAS))
    for i, alpha in enumerate(ALPHAS):
        good = where >= alpha - EPS
        count = np.bincount(cell[good], minlength=boxes.size).reshape(boxes.shape)
        matches[i] = good.sum()
        association[i] = (count * (count / np.maximum(1, boxes - count))).sum()
        overlap[i] = where[good].sum()
    return matches, association, overlap


@dataclass(slots=True)
class _Clear:
    tp: int = 0
    overlap: float = 0.0
    switches: int = 0
    fragmentations: int = 0
    mostly_tracked: int = 0
    mostly_lost: int = 0


def _clear(frames: Sequence[MatchFrame], true_boxes: F64) -> _Clear:
    result = _Clear()
    objects = len(true_boxes)
    last = np.full(objects, -1, np.int64)  # the track an object was last matched to, ever
    previous = np.full(objects, -1, np.int64)  # and on the frame before
    matched = np.zeros(objects)
    pieces = np.zeros(objects, np.int64)
    for frame in frames:
        kept = previous[frame.truth][:, None] == frame.track[None, :]
        # A pair of the frame before stays as long as it overlaps enough.
        weight = np.where(frame.iou >= MIN_IOU - EPS, 1000.0 * kept + frame.iou, 0.0)
        rows, columns = match(weight)
        truth, track = frame.truth[rows], frame.track[columns]
        result.switches += int(((last[truth] >= 0) & (last[truth] != track)).sum())
        pieces[truth] += previous[truth] < 0
        matched[truth] += 1
        last[truth] = track
        previous[:] = -1
        previous[truth] = track
        result.tp += len(rows)
        result.overlap += float(frame.iou[rows, columns].sum())
    share = matched / true_boxes
    result.fragmentations = int((pieces[pieces > 0] - 1).sum())
    result.mostly_tracked = int((share > 0.8).sum())
    result.mostly_lost = int((share < 0.2).sum())
    return result


def _identity(frames: Sequence[MatchFrame], objects: int, tracks: int) -> int:
    """Boxes matched when every object is paired with one track for good.

    Pairing saves one miss and one false box for every common box, so the least number of errors is
    reached where the number of common boxes is greatest.
    """
    common = np.zeros((objects, tracks))
    for frame in frames:
        common[frame.truth[:, None], frame.track[None, :]] += frame.iou >= MIN_IOU
    rows, columns = match(common)
    return int(common[rows, columns].sum())
