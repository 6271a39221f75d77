"""Does the plan compute what the ONNX file says? Figures against ONNX Runtime FP32 on the same pictures.

Two measures. With the family's decoder: boxes and scores of the detections that both find, and the AP of
the plan's detections with ONNX Runtime's as the truth (no loss means the same detections in the same order;
it needs no labels). Always: the raw outputs, as the cosine between the two.

Truth are the detections of SURE_SCORE and more. Weaker ones count neither for nor against: whether they are
there at all hangs on the last digit. One detection in FLIPPED may differ by more than the tolerance of box
and score, and the largest difference is reported: where the overlap of two cells lies at the limit, a last
digit decides whether suppression keeps the one or the other, and that pair differs by more than rounding.

A family without boxes (classifiers, lanes) is judged by its raw outputs alone, one whose outputs are ordered by score
by its boxes alone.

Tolerances: FP16 1 px of the network's input (1 % of a box longer than 100 px), 0.01 score, 0.5 points of AP;
INT8 2 points of AP, whose boxes and scores are reported and not judged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from perception.backends import Engine
from perception.backends.trt_model import ModelFile
from perception.backends.trt_parity_report import FLIPPED, TOLERANCES, UNIT_SIDE, ParityReport
from perception.card import InputSpec
from perception.geometry import iou
from perception.preprocess import Preprocessor
from perception.types import F32, U8, Detections, Frame

Detect = Callable[[Engine, U8], Detections]

MATCH_IOU = 0.5
SURE_SCORE = 0.3
DRAWN_PICTURES = 4
# Families whose networks pick the best of many by score: two that differ in the last digit change places.
UNORDERED = ("two_stage",)


def compare(
    model: ModelFile,
    engine: Engine,
    *,
    precision: str,
    pictures: Sequence[U8] = (),
    detect: Detect | None = None,
    reference: Path | None = None,
) -> ParityReport:
    """Run a plan and ONNX Runtime FP32 on the same pictures.

    Args:
        engine: the plan, opened.
        pictures: (H, W, 3) uint8 BGR; none: drawn ones.
        detect: the family's decoder around an engine.
        reference: the ONNX file to compare with, for a quantised one the FP32 file it was made from;
            None takes the model's own.

    Raises:
        EngineError: ONNX Runtime cannot run the file.
    """
    from perception.backends.onnxrt import OnnxRuntimeEngine

    drawn = not len(pictures)
    spec = _input_spec(model, engine)
    images = [draw_road(seed) for seed in range(DRAWN_PICTURES)] if drawn else list(pictures)
    truth = OnnxRuntimeEngine(reference or model.path)
    card = model.card
    ordered = card is None or card.family not in UNORDERED
    tally = _Tally()
    try:
        sized = _SizedLike(truth, engine)
        for number, image in enumerate(images):
            if ordered:
                feeds = _feeds(engine, spec, image, seed=number)
                ours = {name: value.copy() for name, value in engine.infer(feeds).items()}
                tally.raw(truth.infer(feeds), ours)
            if detect is not None:
                tally.found(
                    detect(sized, image), detect(engine, image), pixel=_pixel(engine, image)
                )
    finally:
        truth.close()
    return tally.report(precision, len(images), drawn=drawn, ordered=ordered)


class _SizedLike:
    """The reference engine with the input shapes of the plan, so that both see the same pixels."""

    def __init__(self, reference: Engine, plan: Engine) -> None:
        self.path, self.backend, self.card = reference.path, reference.backend, plan.card
        self.inputs, self.outputs = plan.inputs, plan.outputs
        self._reference = reference

    def infer(self, feeds: Any) -> dict[str, npt.NDArray[Any]]:
        return self._reference.infer(feeds)

    def close(self) -> None:
        """The reference is closed by who opened it."""


class _Tally:
    def __init__(self) -> None:
        self.cosine, self.max_raw = 1.0, 0.0
        self.detections = self.missed = 0
        self._box: list[float] = []
        self._score: list[float] = []
        self._scored: list[tuple[float, bool, int]] = []

    def raw(self, want: dict[str, npt.NDArray[Any]], have: dict[str, npt.NDArray[Any]]) -> None:
        for name, expected in want.items():
            a = expected.astype(np.float64).ravel()
            b = have[name].astype(np.float64).ravel()
            if a.shape != b.shape or not np.isfinite(b).all():
                self.cosine, self.max_raw = -1.0, float("inf")
                continue
            norm = float(np.linalg.norm(a) * np.linalg.norm(b))
            self.cosine = min(self.cosine, float(a @ b) / norm if norm else float((a == b).all()))
            self.max_raw = max(self.max_raw, float(np.abs(a - b).max(initial=0.0)))

    def found(self, want: Detections, have: Detections, *, pixel: float) -> None:
        """Add a picture's detections; `pixel` is an input pixel's side in pixels of the picture.

        Every detection is paired with the one of its class that it overlaps most, in both directions.
        Pairs are not exclusive: suppression has already thinned both sides, and where it kept one of two
        cells here and both there, that is a last digit and no object lost or made up.
        """
        sure = want.score >= SURE_SCORE
        self.detections += int(sure.sum())
        overlaps: F32 = iou(have.xyxy, want.xyxy)
        same = have.class_id[:, None] == want.class_id[None, :]
        overlaps = np.where(same, overlaps, np.float32(0))
        found = overlaps.max(axis=0, initial=0.0) >= MATCH_IOU
        for column in np.flatnonzero(sure & found):
            row = int(overlaps[:, column].argmax())
            self._differences(want, have, row, int(column), pixel)
        self.missed += int((sure & ~found).sum())
        covered = np.zeros(len(want), bool)
        for row in range(len(have)):
            matches = overlaps[row] >= MATCH_IOU
            if matches.any() and not (matches & sure).any():
                continue  # a weak one here and there
            new = int((matches & sure & ~covered).sum())
            covered |= matches
            self._scored.append((float(have.score[row]), bool(matches.any()), new))

    def _differences(
        self, want: Detections, have: Detections, row: int, column: int, pixel: float
    ) -> None:
        left, top, right, bottom = want.xyxy[column].tolist()
        # Sizes are predicted as logarithms, so their rounding is a share of the size.
        unit = max(pixel, max(right - left, bottom - top) / UNIT_SIDE)
        self._box.append(float(np.abs(have.xyxy[row] - want.xyxy[column]).max()) / unit)
        self._score.append(abs(float(have.score[row]) - float(want.score[column])))

    def report(
        self, precision: str, pictures: int, *, drawn: bool, ordered: bool = True
    ) -> ParityReport:
        limit = TOLERANCES[precision]
        ap_points = None
        if self.detections:
            ap_points = 100 * (1 - average_precision(self._scored, self.detections))
        box_px, score = _but_flipped(self._box), _but_flipped(self._score)
        failures = []
        if limit.box_px is not None and box_px > limit.box_px:
            failures.append(f"box {box_px:.2f} px over {limit.box_px}")
        if limit.score is not None and score > limit.score:
            failures.append(f"score {score:.4f} over {limit.score}")
        if ap_points is not None and ap_points > limit.ap:
            failures.append(f"AP {ap_points:.2f} points lower, over {limit.ap}")
        if not ordered and not self.detections:
            failures.append("nothing was found to compare; give pictures of your own (--pictures)")
        if ordered and self.cosine < limit.cosine:
            failures.append(f"cosine {self.cosine:.6f} under {limit.cosine}")
        return ParityReport(
            precision=precision,
            pictures=pictures,
            drawn=drawn,
            detections=self.detections,
            missed=self.missed,
            box_px=box_px,
            score=score,
            max_box_px=max(self._box, default=0.0),
            max_score=max(self._score, default=0.0),
            ap_points=ap_points,
            cosine=self.cosine if ordered else None,
            max_raw=self.max_raw if ordered else None,
            failures=tuple(failures),
        )


def _but_flipped(differences: Sequence[float]) -> float:
    """The largest difference, but for one in FLIPPED; of fewer than FLIPPED, the largest."""
    ordered = sorted(differences, reverse=True)
    return ordered[len(ordered) // FLIPPED] if ordered else 0.0


def average_precision(scored: Sequence[tuple[float, bool, int]], truths: int) -> float:
    """Area under the precision-recall curve, precision made monotone (Pascal VOC 2010, every point).

    Args:
        scored: per detection, in any order: score, whether it matched, and how many truths it was the
            first to find.
        truths: how many there are to find.
    """
    if not scored:
        return 0.0
    ordered = sorted(scored, key=lambda one: -one[0])
    hits = np.array([hit for _, hit, _ in ordered], np.float64)
    recall = np.cumsum([new for _, _, new in ordered]) / truths
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def _pixel(engine: Engine, image: U8) -> float:
    """Side of a pixel of the network's input, in pixels of the picture; never under 1."""
    shape = engine.inputs[0].shape
    return (
        max(1.0, image.shape[1] / shape[3], image.shape[0] / shape[2]) if len(shape) == 4 else 1.0
    )


def _input_spec(model: ModelFile, engine: Engine) -> InputSpec | None:
    """How the network wants pictures; None where its first input is no picture."""
    shape = engine.inputs[0].shape
    if len(shape) != 4 or shape[1] != 3 or -1 in shape[2:]:
        return None
    card = model.card
    return card.input if card is not None else InputSpec(size=(shape[3], shape[2]))


def _feeds(
    engine: Engine, spec: InputSpec | None, image: U8, *, seed: int
) -> dict[str, npt.NDArray[Any]]:
    """Feeds of batch 1: the picture for the first input, noise in 0..1 for what is no picture."""
    feeds: dict[str, npt.NDArray[Any]] = {}
    random = np.random.default_rng(seed)
    for number, want in enumerate(engine.inputs):
        shape = tuple(1 if length < 0 else length for length in want.shape)
        if number == 0 and spec is not None:
            tensor, _ = Preprocessor(spec, size=(shape[3], shape[2]))(Frame(image))
            feeds[want.name] = np.repeat(tensor, shape[0], axis=0).astype(want.dtype)
        else:
            feeds[want.name] = random.random(shape).astype(want.dtype)
    return feeds


@lru_cache(maxsize=DRAWN_PICTURES)
def draw_road(seed: int, size: tuple[int, int] = (960, 540)) -> U8:
    """A drawn road with boxes of a vehicle's shape on it, textured; the same for the same seed, read-only."""
    width, height = size
    random = np.random.default_rng(seed)
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    sky, road = np.array([235, 206, 160], np.float32), np.array([90, 88, 86], np.float32)
    image = np.where(y < 0.45, sky * (1 - 0.3 * y), road * (0.7 + 0.5 * y))
    image = np.broadcast_to(image, (height, width, 3)).copy()
    for _ in range(8):
        bottom = random.uniform(0.5, 0.95)
        tall = int((bottom - 0.42) * height * random.uniform(0.4, 0.8)) + 4
        wide = int(tall * random.uniform(1.0, 1.8))
        left, top = int(random.uniform(0, width - wide)), int(bottom * height) - tall
        box = image[top : top + tall, left : left + wide]
        box[:] = random.uniform(20, 230, 3)
        box[: tall // 3] *= 0.5  # window
        box[int(tall * 0.85) :] = 25.0  # shadow and wheels
    image += random.normal(0, 4, image.shape)
    picture = np.asarray(np.clip(image, 0, 255), np.uint8)
    picture.flags.writeable = False
    return picture
