"""Figures of a comparison of a plan with ONNX Runtime, and what each precision may cost.

See `perception.backends.trt_parity`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

FLIPPED = 50
# A box is allowed an input pixel, and one longer than this a hundredth of its longer side.
UNIT_SIDE = 100


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What a precision may cost.

    Attributes:
        box_px, score: largest difference of detections found by both, but for one in FLIPPED; None is
            not judged.
        ap: points of AP.
        cosine: of the raw outputs, at least.
    """

    box_px: float | None
    score: float | None
    ap: float
    cosine: float


TOLERANCES = {
    "fp32": Tolerance(box_px=0.1, score=0.001, ap=0.1, cosine=0.99999),
    "fp16": Tolerance(box_px=1.0, score=0.01, ap=0.5, cosine=0.999),
    "int8": Tolerance(box_px=None, score=None, ap=2.0, cosine=0.98),
}


@dataclass(frozen=True, slots=True)
class ParityReport:
    """Figures of one comparison.

    Attributes:
        pictures: how many were compared; drawn ones where none were given.
        detections: how many ONNX Runtime is sure of in them; 0 when there is no decoder.
        missed: how many of those the plan did not find.
        box_px, score: largest differences of what both found, but for one in FLIPPED, in score and in
            pixels of the input, of a box longer than UNIT_SIDE in hundredths of its longer side.
        max_box_px, max_score: the largest of all.
        ap_points: AP at IoU 0.5 lost, in points of 100; None without detections.
        cosine: smallest cosine between raw outputs; None for a family that orders its rows by score (UNORDERED).
        max_raw: largest difference of a raw output value; None likewise.
        failures: which tolerances are broken, one line each.
    """

    precision: str
    pictures: int
    drawn: bool
    detections: int
    missed: int
    box_px: float
    score: float
    max_box_px: float
    max_score: float
    ap_points: float | None
    cosine: float | None
    max_raw: float | None
    failures: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.failures

    @property
    def text(self) -> str:
        where = f"{self.pictures} {'drawn ' if self.drawn else ''}pictures"
        parts = ["raw outputs are not compared: their order hangs on the last digit"]
        if self.cosine is not None:
            parts = [f"cosine {self.cosine:.6f}, raw difference {self.max_raw:.3g}"]
        if self.ap_points is not None:
            parts.insert(
                0,
                f"{self.detections} detections, {self.missed} missed, box {self.box_px:.2f} px "
                f"(at most {self.max_box_px:.2f}), score {self.score:.4f} (at most "
                f"{self.max_score:.4f}), AP {-self.ap_points:+.2f} points",
            )
        said = f"{where}: {'; '.join(parts)}"
        return said if self.passed else f"{said}; broken: {', '.join(self.failures)}"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "passed": self.passed, "text": self.text}
