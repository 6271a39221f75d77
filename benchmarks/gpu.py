"""TensorRT on this machine: builds, parity, frame rates, and what limits them.

    python benchmarks/gpu.py [--engine ONNX ...] [--clip CLIP] [--precision fp32 fp16 int8] [--batch 16] [-o FOLDER]

For every engine and precision: the build (time, size, layer precisions, parity on frames of the clip), the
engine alone (batch 1 to --batch, p50 and p99 of one call, copies to and from the GPU included), pictures
prepared on the CPU and on the GPU, non-maximum suppression on the CPU and as the network's last operator, and
ONNX Runtime on the CPU and, where it is installed, on CUDA. For the first engine in FP16: the whole pipeline on
the clip, with decoding, overlay and encoding, and what bounds it.

Prints a table and writes FOLDER/gpu-NAME-OF-THE-GPU.json (default: benchmarks/results).
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from perception.backends.installed import installed_engines
from perception.backends.onnxrt import OnnxRuntimeEngine
from perception.backends.trt import TensorRTEngine
from perception.backends.trt_build import build
from perception.backends.trt_cuda import Cuda
from perception.backends.trt_version import load_api
from perception.bench import machine, measure
from perception.commands.build import detect
from perception.config import load_config
from perception.errors import PerceptionError
from perception.geometry import nms
from perception.models.detector import FAMILIES
from perception.sources import open_source
from perception.types import Frame

ROOT = Path(__file__).resolve().parents[1]
WARM_UP = 20
PARITY_PICTURES = 16
CANDIDATES = 1000


def timed(work: Callable[[], Any], calls: int) -> dict[str, float]:
    """Milliseconds of one call: p50, p99, and how many a second."""
    for _ in range(min(WARM_UP, calls)):
        work()
    seconds = []
    for _ in range(calls):
        start = perf_counter()
        work()
        seconds.append(perf_counter() - start)
    p50, p99 = np.quantile(seconds, [0.5, 0.99]) * 1000
    return {
        "p50_ms": round(float(p50), 4),
        "p99_ms": round(float(p99), 4),
        "per_s": round(calls / sum(seconds), 1),
    }


def feeds(engine: Any, batch: int) -> dict[str, Any]:
    random = np.random.default_rng(0)
    return {
        spec.name: random.random(
            (batch, *spec.shape[1:]) if spec.shape[0] < 0 else spec.shape, np.float32
        ).astype(spec.dtype)
        for spec in engine.inputs
    }


def bench_engine(
    path: Path, precision: str, frames: Sequence[Frame], *, batch: int, calls: int
) -> dict[str, Any]:
    """Everything about one engine in one precision; what could not be done says why."""
    result: dict[str, Any] = {"engine": path.stem, "precision": precision}
    pictures = [frame.image for frame in frames[:PARITY_PICTURES]]
    card = OnnxRuntimeEngine(path).card
    decoder = detect if card is not None and card.family in FAMILIES else None
    try:
        report = build(path, precision=precision, batch=batch, pictures=pictures, detect=decoder)
    except PerceptionError as error:
        return result | {"failed": str(error)}
    result |= {
        "build_s": report.seconds,
        "plan_mib": round(report.plan.size / 2**20, 2),
        "layers": report.precisions,
        "parity": report.parity,
        "warnings": list(report.warnings),
        "batch": {},
    }
    with TensorRTEngine(path, precision=precision, batch=batch) as engine:
        for count in sorted({1, 2, 4, 8, batch}):
            varies = engine.inputs[0].shape[0] < 0
            if count > batch or (count > 1 and not varies):
                continue
            given = feeds(engine, count)
            figures = timed(lambda given=given: engine.infer(given), calls)
            figures["pictures_per_s"] = round(figures["per_s"] * count, 1)
            result["batch"][str(count)] = figures
        if card is not None:
            spec = card.input
            result["prepared_on_gpu"] = timed(lambda: engine.infer_frames([frames[0]], spec), calls)
    if card is not None:
        with TensorRTEngine(path, precision=precision, batch=batch, prepare="host") as engine:
            result["prepared_on_cpu"] = timed(lambda: engine.infer_frames([frames[0]], spec), calls)
    return result


def bench_onnxruntime(path: Path, size: tuple[int, int], calls: int) -> dict[str, Any]:
    """The same network on ONNX Runtime FP32: CPU, and CUDA where it is installed."""
    import onnxruntime as ort

    results: dict[str, Any] = {}
    for provider in ("CPUExecutionProvider", "CUDAExecutionProvider"):
        if provider not in ort.get_available_providers():
            results[provider] = {"skipped": f"this onnxruntime has no {provider}"}
            continue
        engine = OnnxRuntimeEngine(path, threads=0, providers=[provider])
        shape = (1, 3, size[1], size[0])
        given = {engine.inputs[0].name: np.zeros(shape, np.float32)}
        few = max(5, calls // 10) if provider.startswith("CPU") else calls
        results[provider] = timed(lambda engine=engine, given=given: engine.infer(given), few)
    return results


def suppression_network(path: Path) -> Path:
    """ONNX's own NonMaxSuppression on CANDIDATES boxes, padded to a fixed number of results."""
    node = helper.make_node
    numbers = {
        "most": np.array([300], np.int64),
        "max_iou": np.array([0.6], np.float32),
        "min_score": np.array([0.3], np.float32),
        "begin": np.array([0], np.int64),
        "end": np.array([300], np.int64),
        "axis": np.array([0], np.int64),
        "shape": np.array([300, 3], np.int64),
        "filler": np.zeros((300, 3), np.int64),
    }
    nodes = [
        node("NonMaxSuppression", ["boxes", "scores", "most", "max_iou", "min_score"], ["rows"]),
        node("Concat", ["rows", "filler"], ["padded"], axis=0),
        node("Slice", ["padded", "begin", "end", "axis"], ["kept64"]),
        node("Reshape", ["kept64", "shape"], ["fixed64"]),  # tells TensorRT that the size is fixed
        node("Cast", ["fixed64"], ["kept"], to=TensorProto.INT32),
    ]
    graph = helper.make_graph(
        nodes,
        "suppression",
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, CANDIDATES, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 1, CANDIDATES]),
        ],
        [helper.make_tensor_value_info("kept", TensorProto.INT32, [300, 3])],
        [numpy_helper.from_array(value, name) for name, value in numbers.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(path))
    return path


def bench_suppression(calls: int) -> dict[str, Any]:
    """Non-maximum suppression of CANDIDATES boxes in clusters, as detectors make them."""
    random = np.random.default_rng(0)
    centres = random.uniform(0, 600, (40, 2))[random.integers(0, 40, CANDIDATES)]
    centres += random.normal(0, 4, centres.shape)
    sides = random.uniform(30, 60, (CANDIDATES, 2))
    boxes = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1).astype(np.float32)
    scores = random.random(CANDIDATES, np.float32)
    result: dict[str, Any] = {"candidates": CANDIDATES}
    result["host"] = timed(lambda: nms(boxes, scores, max_iou=0.6), calls)
    with tempfile.TemporaryDirectory() as folder:
        path = suppression_network(Path(folder) / "suppression.onnx")
        try:
            build(path, precision="fp32", parity=False)
            with TensorRTEngine(path) as engine:
                given = {"boxes": boxes[None], "scores": scores[None, None]}
                result["device"] = timed(lambda: engine.infer(given), calls)
        except PerceptionError as error:
            result["device"] = {"failed": str(error)}
    both = [result["host"]["p50_ms"], result["device"].get("p50_ms", float("inf"))]
    result["better"] = "host" if both[0] <= both[1] else "device"
    return result


def bench_pipeline(clip: Path, rounds: int, frames: int) -> dict[str, Any]:
    """The default pipeline on TensorRT, end to end, with what bounds it."""
    result = measure(
        clip, load_config("dashcam").changed(backend="tensorrt"), rounds=rounds, frames=frames
    )
    print(result.table())
    return result.as_dict()


def run(options: argparse.Namespace) -> dict[str, Any]:
    gpu = Cuda().gpu()
    installed = installed_engines()
    engines = [Path(name) for name in options.engine] or list(installed.values())
    source = open_source(options.clip)
    try:
        frames = list(islice(iter(source), 64))
    finally:
        source.close()
    report: dict[str, Any] = {
        "schema": "perception-gpu-bench/1",
        "made": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine(),
        "gpu": gpu.name,
        "capability": gpu.capability,
        "driver_cuda": ".".join(map(str, gpu.driver_cuda)),
        "tensorrt": load_api().version,
        "engines": [],
        "onnxruntime_fp32": {},
    }
    for path in engines:
        for precision in options.precision:
            print(f"{path.stem} in {precision} ...", file=sys.stderr)
            row = bench_engine(path, precision, frames, batch=options.batch, calls=options.calls)
            report["engines"].append(row)
            print(line(row))
        card = OnnxRuntimeEngine(path).card
        if card is not None:
            report["onnxruntime_fp32"][path.stem] = bench_onnxruntime(
                path, card.input.size, options.calls
            )
    report["suppression"] = bench_suppression(options.calls)
    print(f"suppression of {CANDIDATES} boxes: {report['suppression']['better']} is faster")
    if not options.engine and installed:
        report["pipeline"] = bench_pipeline(options.clip, options.rounds, options.frames)
    return report


def line(row: dict[str, Any]) -> str:
    """One engine and precision in one line."""
    name = f"{row['engine']:<12}{row['precision']:<6}"
    if "failed" in row:
        return f"{name}{row['failed']}"
    rates = ", ".join(
        f"batch {count}: {one['pictures_per_s']:.0f}/s (p50 {one['p50_ms']:.2f}, p99 {one['p99_ms']:.2f} ms)"
        for count, one in row["batch"].items()
    )
    return f"{name}{row['build_s']:.0f} s to build; {rates}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="TensorRT on this machine.")
    add = parser.add_argument
    add("--engine", nargs="*", default=[], help="ONNX files (default: every installed engine)")
    add("--clip", type=Path, default=ROOT / "sample_videos" / "day_highway.mp4")
    add("--precision", nargs="*", default=["fp32", "fp16", "int8"])
    add("--batch", type=int, default=16)
    add("--calls", type=int, default=300, help="calls per figure")
    add("--rounds", type=int, default=3, help="rounds of the whole pipeline")
    add("--frames", type=int, default=300, help="frames per round")
    add("-o", "--output", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args(arguments)
    try:
        report = run(options)
    except PerceptionError as error:
        print(f"gpu.py: {error}", file=sys.stderr)
        return 1
    options.output.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^a-z0-9]+", "-", report["gpu"].lower()).strip("-")
    path = options.output / f"gpu-{name}.json"
    path.write_text(json.dumps(report, indent=1) + "\n")
    print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
