"""What INT8, bfloat16 and another runtime are worth, and cost: `python -m engines.precision`.

Measures every engine of a folder in FP32 on ONNX Runtime and in every other way that this machine offers, in
turns, by the processor time of one 16:9 picture (so that other programs disturb little), or of two crops, and the
figures that the engine is judged by (`engines.judging`). Writes ``measured.json`` beside the engines, from which
"auto" chooses (perception/backends/choice.py), and prints a Markdown table. A change is in points (hundredths) of
the figure that lost most.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import process_time

from engines.judging import Scores, score, typical_input
from engines.quantize import public_card
from perception.backends import Engine, open_engine
from perception.backends.choice import MEASURED, cpu_features, sha256
from perception.errors import EngineError, PerceptionError
from perception.machine import machine
from perception.models.detector import PUBLIC_CARDS
from perception.types import F32

WAYS = (("onnxruntime", "int8"), ("openvino", "fp32"), ("openvino", "bf16"), ("openvino", "int8"))
WEIGHTS = Path(__file__).parent / "weights"
SHARED = "../shared"
ROUNDS = 60
# What a precision is good for only where the CPU has it.
NEEDS = {"bf16": "bf16", "int8": "int8"}


@dataclass(frozen=True)
class Way:
    """An engine on one runtime in one precision.

    Attributes:
        milliseconds: of processor time for one picture or two crops.
        speed: how many times as fast as FP32 on ONNX Runtime.
        figures: that the engine is judged by, 0 to 1.
        change: of the figure that lost most, against FP32 on ONNX Runtime; `worst` names it.
        sha256: of the file.
    """

    backend: str
    precision: str
    milliseconds: float
    speed: float
    figures: Scores
    change: float
    worst: str
    sha256: str
    needs: str
    cpu: str


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m engines.precision", description=__doc__)
    parser.add_argument(
        "engines", nargs="*", help="ONNX files in FP32; default: all committed ones"
    )
    parser.add_argument(
        "--family", choices=sorted(PUBLIC_CARDS), help="what a public checkpoint without a card is"
    )
    parser.add_argument(
        "--shared", default=SHARED, help="folder with data, clips and reference weights"
    )
    parser.add_argument("--no-write", action="store_true", help="print only")
    arguments = parser.parse_args(argv)
    paths = [Path(name) for name in arguments.engines] or sorted(
        path for path in WEIGHTS.glob("*.onnx") if "." not in path.stem
    )
    try:
        for path in paths:
            ways = measure(path, arguments.shared, family=arguments.family)
            print(table(path.stem, ways), flush=True)
            if not arguments.no_write:
                write(path, ways)
    except PerceptionError as error:
        print(f"engines.precision: {error}", file=sys.stderr)
        return 2
    return 0


def measure(path: Path, shared: str, *, family: str | None = None) -> list[Way]:
    """FP32 on ONNX Runtime first, then every other way that works here.

    Args:
        path: the FP32 file.
        shared: folder with data, clips and reference weights.
        family: of a public checkpoint, which carries no card.
    """
    first = "onnxruntime", "fp32"
    engines = _opened(path, (first, *WAYS))
    card = engines[first].card or public_card(path, family)
    costs = milliseconds({way: (e, typical_input(e, card)) for way, e in engines.items()})
    for engine in engines.values():
        engine.close()
    # Opened afresh, as what an engine was compiled for so far may change its last digits.
    engines = _opened(path, tuple(engines))
    base = engines[first]
    scores = {way: score(engine, card, base, shared=shared) for way, engine in engines.items()}
    ways = []
    for way, engine in engines.items():
        changes = {name: scores[way][name] - known for name, known in scores[first].items()}
        worst = min(changes, key=lambda name: changes[name])
        ways.append(
            Way(
                backend=way[0],
                precision=way[1],
                milliseconds=round(costs[way], 2),
                speed=round(costs[first] / costs[way], 3),
                figures={name: round(value, 4) for name, value in scores[way].items()},
                change=round(changes[worst], 4),
                worst=worst,
                sha256=sha256(engine.path),
                needs=NEEDS.get(way[1], ""),
                cpu=machine()["cpu"],
            )
        )
    return ways


def _opened(path: Path, ways: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Engine]:
    """The engine in each of these ways that works here; the others are told on the error stream."""
    engines = {}
    for backend, precision in ways:
        try:
            engines[backend, precision] = open_engine(path, backend=backend, precision=precision)
        except EngineError as error:
            print(f"{path.stem} on {backend} in {precision}: {error}", file=sys.stderr)
    return engines


def milliseconds(
    engines: Mapping[tuple[str, str], tuple[Engine, F32]],
) -> dict[tuple[str, str], float]:
    """Median processor time of each engine for its input, the engines taking turns."""
    times: dict[tuple[str, str], list[float]] = {way: [] for way in engines}
    for number in range(ROUNDS + 3):
        for way, (engine, tensor) in engines.items():
            start = process_time()
            engine.infer({engine.inputs[0].name: tensor})
            if number >= 3:
                times[way].append((process_time() - start) * 1e3)
    return {way: statistics.median(values) for way, values in times.items()}


def write(path: Path, ways: Sequence[Way]) -> None:
    """Put an engine's figures into the table beside it."""
    target = path.with_name(MEASURED)
    content = json.loads(target.read_text(encoding="utf-8")) if target.is_file() else {}
    content[path.stem] = {"sha256": sha256(path), "ways": [asdict(way) for way in ways[1:]]}
    target.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def table(name: str, ways: Sequence[Way]) -> str:
    """Markdown, one line per way."""
    names = list(ways[0].figures)
    lines = [
        f"| {name} | ms of CPU | speed | {' | '.join(names)} | change, points |",
        "| --- | --- | --- |" + " --- |" * (len(names) + 1),
    ]
    for number, way in enumerate(ways):
        change = f"{100 * way.change:+.2f}" if number else ""
        cells = [f"{way.milliseconds:.2f}", f"{way.speed:.2f}"]
        cells += [f"{way.figures[key]:.4f}" for key in names]
        lines.append(f"| {way.backend} {way.precision} | {' | '.join(cells)} | {change} |")
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
