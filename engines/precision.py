"""What INT8, bfloat16 and another runtime are worth, and cost: `python -m engines.precision`.

Measures every engine of a folder in FP32 on ONNX Runtime and in every other way that this machine offers, in
turns, by the processor time of one picture (so that other programs disturb little), and its AP on the pictures
nobody trained on. Writes ``measured.json`` beside the engines, from which "auto" chooses
(perception/backends/choice.py), and prints a Markdown table.

Road detectors are judged by labelled pictures. Other detectors are judged by their own FP32 findings (scores of
0.5 and more), which stand for the truth: a stricter test, as a change for the better counts against them too.
Everything else is compared by its outputs alone (the root mean square difference from FP32) and is not chosen.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import process_time

import cv2
import numpy as np

from engines.data.sets import judged_sets
from engines.quantize import calibration_pictures, inputs_for
from engines.validate import MIN_SCORE, judge
from perception.backends import Engine, open_engine
from perception.backends.choice import MEASURED, cpu_features, sha256
from perception.errors import EngineError, InputError, PerceptionError
from perception.evaluation.detection import Figures, Group, Truth, evaluate
from perception.machine import machine
from perception.models.detector import FAMILIES, Detector
from perception.types import F32, Frame

WAYS = (("onnxruntime", "int8"), ("openvino", "fp32"), ("openvino", "bf16"), ("openvino", "int8"))
WEIGHTS = Path(__file__).parent / "weights"
DATA = "../shared/data/road"
# Pictures for the detectors of other tasks, in which there is something for them to find.
OTHER_DATA = {"face": "../shared/data/driver"}
JUDGED_PICTURES = 80
SURE = 0.5  # score from which a finding of FP32 stands for the truth
ROUNDS = 40
# What a precision is good for only where the CPU has it.
NEEDS = {"bf16": "bf16", "int8": "int8"}


@dataclass(frozen=True)
class Way:
    """An engine on one runtime in one precision.

    Attributes:
        speed: how many times as fast as FP32 on ONNX Runtime, by processor time of one picture.
        ap: mean over the judged groups; None for engines that are no detectors.
        ap_change: against FP32 on ONNX Runtime.
        difference: of outputs, root mean square, of the FP32 output's.
        sha256: of the file.
    """

    backend: str
    precision: str
    milliseconds: float
    speed: float
    ap: float | None
    ap_change: float | None
    difference: float
    sha256: str
    needs: str
    cpu: str


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m engines.precision", description=__doc__)
    parser.add_argument(
        "engines", nargs="*", help="ONNX files in FP32; default: all committed ones"
    )
    parser.add_argument("--data", default=DATA)
    parser.add_argument("--no-write", action="store_true", help="print only")
    arguments = parser.parse_args(argv)
    paths = [Path(name) for name in arguments.engines] or sorted(
        path for path in WEIGHTS.glob("*.onnx") if "." not in path.stem
    )
    try:
        for path in paths:
            ways = measure(path, arguments.data)
            print(table(path.stem, ways), flush=True)
            if not arguments.no_write and ways[0].ap is not None:
                write(path, ways)
    except PerceptionError as error:
        print(f"engines.precision: {error}", file=sys.stderr)
        return 2
    return 0


def measure(path: Path, data: str) -> list[Way]:
    """FP32 on ONNX Runtime first, then every other way that works here."""
    engines = {("onnxruntime", "fp32"): open_engine(path, backend="onnxruntime", precision="fp32")}
    for backend, precision in WAYS:
        try:
            engines[backend, precision] = open_engine(path, backend=backend, precision=precision)
        except EngineError as error:
            print(f"{path.stem} on {backend} in {precision}: {error}", file=sys.stderr)
    base = engines["onnxruntime", "fp32"]
    assert base.card is not None
    fixed = min(base.inputs[0].shape[2:]) > 0
    pictures = list(inputs_for(base.card, calibration_pictures(data, 8), fixed=fixed))
    costs = milliseconds(engines, pictures[0])
    scores = {way: score(engine, base, data) for way, engine in engines.items()}
    ways = []
    first = "onnxruntime", "fp32"
    for way, engine in engines.items():
        ap, known = scores[way], scores[first]
        ways.append(
            Way(
                backend=way[0],
                precision=way[1],
                milliseconds=round(costs[way], 2),
                speed=round(costs[first] / costs[way], 3),
                ap=ap,
                ap_change=None if ap is None or known is None else round(ap - known, 4),
                difference=round(difference(base, engine, pictures), 5),
                sha256=sha256(engine.path),
                needs=NEEDS.get(way[1], ""),
                cpu=machine()["cpu"],
            )
        )
    return ways


def milliseconds(
    engines: dict[tuple[str, str], Engine], tensor: F32
) -> dict[tuple[str, str], float]:
    """Median processor time of one picture, the engines taking turns."""
    times: dict[tuple[str, str], list[float]] = {way: [] for way in engines}
    for number in range(ROUNDS + 3):
        for way, engine in engines.items():
            start = process_time()
            engine.infer({engine.inputs[0].name: tensor})
            if number >= 3:
                times[way].append((process_time() - start) * 1e3)
    return {way: statistics.median(values) for way, values in times.items()}


def score(engine: Engine, base: Engine, data: str) -> float | None:
    """Mean AP of a detector over its groups; None for what is no detector.

    Args:
        engine: to be judged.
        base: the same network in FP32.
        data: labelled road pictures.
    """
    card = engine.card
    if card is None or card.family not in FAMILIES:
        return None
    if card.task == "road":
        figures = judge(judged_sets((data,)), Detector(engine, min_score=MIN_SCORE).model)
    else:
        pictures = calibration_pictures(OTHER_DATA.get(card.task, data), JUDGED_PICTURES)
        figures = by_itself(engine, base, [read_picture(path) for path in pictures])
    return round(float(np.mean([figure.ap for figure in figures.values()])), 4)


def by_itself(engine: Engine, base: Engine, frames: Sequence[Frame]) -> dict[str, Figures]:
    """Figures by class of a detector, with what `base` finds surely as the truth."""
    sure, all_found = (
        Detector(base, min_score=SURE).model,
        Detector(engine, min_score=MIN_SCORE).model,
    )
    truths, found = [], []
    for frame in frames:
        wanted = sure(frame)
        labels = tuple(wanted.classes[k] for k in wanted.class_id)
        truths.append(
            Truth(Path(str(frame.path)), frame.size, wanted.xyxy, labels, tuple(wanted.classes))
        )
        found.append(all_found(frame))
    names = found[0].classes
    groups = [Group(name, (name,), (name,), ((name,),)) for name in names]
    return evaluate(truths, found, groups)


def read_picture(path: Path) -> Frame:
    """A picture file as a frame."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise InputError(f"{path}: the picture cannot be decoded")
    return Frame(np.asarray(image, np.uint8), path=str(path))


def difference(base: Engine, engine: Engine, pictures: Sequence[F32]) -> float:
    """Root mean square difference of the outputs, of those of `base`."""
    off = size = 0.0
    for tensor in pictures:
        wanted = {k: v.copy() for k, v in base.infer({base.inputs[0].name: tensor}).items()}
        found = engine.infer({engine.inputs[0].name: tensor})
        for expected, actual in zip(wanted.values(), found.values(), strict=True):
            off += float(np.square(actual.astype(np.float64) - expected).sum())
            size += float(np.square(expected.astype(np.float64)).sum())
    return float(np.sqrt(off / max(size, 1e-12)))


def write(path: Path, ways: Sequence[Way]) -> None:
    """Put an engine's figures into the table beside it."""
    target = path.with_name(MEASURED)
    content = json.loads(target.read_text(encoding="utf-8")) if target.is_file() else {}
    content[path.stem] = {"sha256": sha256(path), "ways": [asdict(way) for way in ways[1:]]}
    target.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def table(name: str, ways: Sequence[Way]) -> str:
    """Markdown, one line per way."""
    lines = [
        f"| {name} | ms of CPU | speed | AP | change, points | outputs differ |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for way in ways:
        ap = "-" if way.ap is None else f"{way.ap:.4f}"
        change = "-" if way.ap_change is None else f"{100 * way.ap_change:+.2f}"
        lines.append(
            f"| {way.backend} {way.precision} | {way.milliseconds:.2f} | {way.speed:.2f} | {ap} "
            f"| {change} | {way.difference:.2%} |"
        )
    present = ", ".join(sorted(cpu_features())) or "nothing special"
    missing = [
        f"{backend} {precision}"
        for backend, precision in WAYS
        if (backend, precision) not in {(way.backend, way.precision) for way in ways}
    ]
    note = f"; not here: {', '.join(missing)}" if missing else ""
    return "\n".join([*lines, "", f"{ways[0].cpu} ({present}){note}", ""])


if __name__ == "__main__":
    sys.exit(main())
