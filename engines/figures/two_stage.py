"""The two-stage road engine beside the one-stage one: accuracy, cost, and accuracy per cost.

Same pictures, same code. The two-stage engine's input is 640x384 whatever the picture's shape; the road engine's has
the picture's shape, within its budget of pixels, and is shown at the fixed input too. GFLOP and times are of one
16:9 picture, in FP32 on ONNX Runtime, as `engines.timing` takes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from engines.data.sets import judged_sets
from engines.figures.road import DATA, FAST, FINE, ROAD
from engines.timing import SOURCE, Candidate, costs, open_ours
from engines.validate import MIN_SCORE, judge
from perception.backends import Engine
from perception.card import EngineCard
from perception.evaluation.detection import Figures, table
from perception.models.anchor_free import AnchorFree
from perception.models.two_stage import TwoStage
from perception.preprocess import Preprocessor
from perception.types import Detections, Frame

TWO_STAGE = Path(__file__).parents[1] / "weights" / "road_two_stage.onnx"


@dataclass(frozen=True)
class Row:
    """What is known of one engine at one setting."""

    figures: dict[str, Figures]
    gflops: float
    milliseconds: float


def report(
    *,
    threads: int = 1,
    data: Sequence[str] = DATA,
    engine: str | Path = TWO_STAGE,
    reference: str | Path = ROAD,
) -> str:
    """Markdown: AP50 and AP by class, then cost and vehicle AP50 per GFLOP.

    Args:
        threads: of the engines.
        data: folders with annotations.json.
        engine: the two-stage engine.
        reference: the one-stage engine.
    """
    sets = judged_sets(tuple(data))
    found = candidates(engine, reference, threads)
    times = costs(found)
    return tables(
        {one.name: Row(judge(sets, one.detect), cost(one), times[one.name]) for one in found}
    )


def candidates(path: str | Path, reference: str | Path, threads: int) -> list[Candidate]:
    """The road engine at both its settings and at the fixed input, then the two-stage engine."""
    road, card = open_ours(reference, threads=threads)
    found = []
    for pixels in (FAST, FINE):
        detector = AnchorFree(road, card, min_score=MIN_SCORE, pixels=pixels)
        size = detector.input_size(SOURCE)
        found.append(Candidate(f"road {size[0]}x{size[1]}", road, detector, size))
    two, two_card = open_ours(path, threads=threads)
    detector = TwoStage(two, two_card, min_score=MIN_SCORE)
    size = detector.input_size(SOURCE)
    found.append(
        Candidate(f"road {size[0]}x{size[1]}, padded", road, padded(road, card, size), size)
    )
    found.append(Candidate(f"road_two_stage {size[0]}x{size[1]}", two, detector, size))
    return found


def padded(
    engine: Engine, card: EngineCard, size: tuple[int, int]
) -> Callable[[Frame], Detections]:
    """The one-stage engine at one input size for every picture."""
    detector = AnchorFree(engine, card, min_score=MIN_SCORE)
    prepare = Preprocessor(card.input, size=size)

    def run(frame: Frame) -> Detections:
        tensor, mapping = prepare(frame)
        raw = engine.infer({engine.inputs[0].name: tensor})[engine.outputs[0].name][0]
        return detector.decode(raw, size, mapping, frame.size)

    return run


def cost(candidate: Candidate) -> float:
    """GFLOP of one picture: the card's, which is of its default input, in proportion to the pixels."""
    card = candidate.engine.card
    assert card is not None
    width, height = card.input.size
    share = candidate.size[0] * candidate.size[1] / (width * height)
    return card.cost["gflops"] * share


def tables(rows: dict[str, Row]) -> str:
    """Markdown of the report."""
    figures = {name: row.figures for name, row in rows.items()}
    lines = ["AP50", "", table(figures), "", "AP (IoU 0.50 to 0.95)", ""]
    lines += [table(figures, figure="ap"), ""]
    lines += ["| engine | vehicle AP50 | GFLOP | AP50 per GFLOP | ms |"]
    lines += ["| --- | --- | --- | --- | --- |"]
    for name, row in rows.items():
        vehicle = row.figures.get("road/vehicle")
        accuracy = "-" if vehicle is None else f"{vehicle.ap50:.3f}"
        per = "-" if vehicle is None else f"{vehicle.ap50 / row.gflops:.3f}"
        lines.append(f"| {name} | {accuracy} | {row.gflops:.2f} | {per} | {row.milliseconds:.1f} |")
    return "\n".join(lines)
