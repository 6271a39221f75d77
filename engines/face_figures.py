"""How well faces are found: agreement with labels, in which unsure faces count for nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from engines.data.faces import FaceSample, load_labels
from perception.evaluation.detection import load_truth
from perception.geometry import iou
from perception.types import F32, Detections, Frame

LIMITS = np.round(np.arange(0.2, 0.85, 0.05), 2)
MATCH = 0.5


@dataclass(frozen=True)
class Agreement:
    """Faces right, found wrongly and missed, in how many pictures."""

    right: int
    wrong: int
    missed: int
    pictures: int

    @property
    def f1(self) -> float:
        """1.0 where there is nothing to find and nothing was found."""
        asked = 2 * self.right + self.wrong + self.missed
        return 2 * self.right / asked if asked else 1.0

    @property
    def recall(self) -> float:
        return self.right / max(1, self.right + self.missed)

    @property
    def alarms(self) -> float:
        """False alarms a picture."""
        return self.wrong / max(1, self.pictures)


def agreement(
    samples: Sequence[FaceSample], found: Sequence[Detections], *, min_score: float
) -> Agreement:
    """Greedy matching by score at IoU 0.5; what lies on an ignored place is neither right nor wrong."""
    right = wrong = missed = 0
    for sample, detections in zip(samples, found, strict=True):
        mine = detections.xyxy[detections.score >= min_score]
        hits, false = _match(mine, sample)
        right += hits
        wrong += false
        missed += len(sample.xyxy) - hits
    return Agreement(right, wrong, missed, len(samples))


def _match(xyxy: F32, sample: FaceSample) -> tuple[int, int]:
    """(right, wrong) of boxes in the order of their scores."""
    overlap = iou(xyxy, sample.xyxy)
    excused = iou(xyxy, sample.ignore)
    free = np.ones(len(sample.xyxy), bool)
    hits = false = 0
    for row in range(len(xyxy)):
        candidates = np.where(free, overlap[row], -1.0)
        if len(candidates) and candidates.max() >= MATCH:
            free[int(candidates.argmax())] = False
            hits += 1
        elif not (len(sample.ignore) and excused[row].max() >= 0.3):
            false += 1
    return hits, false


def landmark_error(samples: Sequence[FaceSample], found: Sequence[Detections]) -> float:
    """Mean distance of a landmark from its label, as a share of the face's mean side; nan without any."""
    errors = []
    for sample, detections in zip(samples, found, strict=True):
        if not detections.keypoints.shape[1] or not len(sample.xyxy):
            continue
        overlap = iou(detections.xyxy, sample.xyxy)
        for row in range(len(detections)):
            face = int(overlap[row].argmax())
            if overlap[row, face] >= MATCH:
                apart = detections.keypoints[row, :, :2] - sample.landmarks[face]
                side = float((sample.xyxy[face, 2:] - sample.xyxy[face, :2]).mean())
                errors.append(np.hypot(*apart.T).mean() / side)
    return float(np.mean(errors)) if errors else float("nan")


def best_agreement(
    sets: dict[str, tuple[Sequence[FaceSample], Sequence[Detections]]],
) -> tuple[float, dict[str, Agreement]]:
    """The score limit with the highest mean F1 over the sets, and the figures at it."""

    def at(limit: float) -> dict[str, Agreement]:
        return {
            name: agreement(samples, found, min_score=float(limit))
            for name, (samples, found) in sets.items()
        }

    best = max(LIMITS, key=lambda limit: np.mean([a.f1 for a in at(limit).values()]))
    return float(best), at(best)


@lru_cache(maxsize=2)
def judged_faces(
    labels: str, folders: tuple[str, ...], sure: float, unsure: float, most: int
) -> dict[str, tuple[list[FaceSample], list[Frame]]]:
    """What judges, by set, with its pictures: hand-labelled, and held back from the teacher's."""
    sets: dict[str, list[FaceSample]] = {}
    for sample in load_labels(labels, folders, sure=sure, unsure=unsure):
        if sample.held and sample.source != "labelled":
            name = sample.folder if sample.folder != "faces-data" else "clips"
            sets.setdefault(name, []).append(sample)
    for folder in folders:
        if Path(folder).name == "faces":
            sets["labelled"] = labelled_by_hand(folder)
    if most:
        sets = {name: chosen[:: max(1, len(chosen) // most)] for name, chosen in sets.items()}
    return {
        name: (chosen, [Frame(sample.read()) for sample in chosen]) for name, chosen in sets.items()
    }


def labelled_by_hand(folder: str | Path) -> list[FaceSample]:
    """The pictures of a folder whose annotations.json has boxes of faces; landmarks are not known."""
    return [
        FaceSample(
            path=truth.path,
            folder=Path(folder).name,
            source="labelled",
            held=True,
            xyxy=truth.xyxy,
            landmarks=np.zeros((len(truth.xyxy), 5, 2), np.float32),
            ignore=np.zeros((0, 4), np.float32),
        )
        for truth in load_truth(folder)
    ]


def judge_faces(
    detect: Callable[[Frame], Detections],
    sets: dict[str, tuple[list[FaceSample], list[Frame]]],
) -> tuple[float, dict[str, float]]:
    """(mean F1 over the sets at the best limit, figures by name)."""
    found = {
        name: (samples, [detect(frame) for frame in frames])
        for name, (samples, frames) in sets.items()
    }
    limit, figures = best_agreement(found)
    flat = {"min_score": limit}
    for name, figure in figures.items():
        flat |= {
            f"{name}/f1": figure.f1,
            f"{name}/recall": figure.recall,
            f"{name}/false_alarms": figure.alarms,
        }
    return float(np.mean([figure.f1 for figure in figures.values()])), flat
