"""TensorRT on this machine: builds, parity, frame rates, and what limits them.

    python benchmarks/gpu.py [--engine ONNX ...] [--clip CLIP] [--precision fp32 fp16 int8] [--batch 16]
                             [--built-only] [-o FOLDER]

For every engine and precision: the build (time, size, layer precisions, parity on frames of the clip), the
engine alone (batch 1 to --batch, p50 and p99 of one call, copies to and from the GPU included), pictures
prepared on the CPU and on the GPU, non-maximum suppression on the CPU and by TensorRT's EfficientNMS, and
ONNX Runtime on the CPU and, where it is installed, on CUDA. The whole pipeline on the clip, decoded on the CPU and
on the GPU: with overlay video and what bounds it, and with the record only.

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
from onnx import TensorProto, helper

from perception.assemble import open_run
from perception.backends.installed import installed_engines
from perception.backends.onnxrt import OnnxRuntimeEngine
from perception.backends.trt import TensorRTEngine
from perception.backends.trt_build import build
from perception.backends.trt_cuda import Cuda
from perception.backends.trt_plans import find_plan
from perception.backends.trt_version import load_api
from perception.bench import measure
from perception.commands.build import detector_of
from perception.config import load_config
from perception.errors import EngineError, PerceptionError
from perception.geometry import nms
from perception.machine import machine
from perception.sources import open_source
from perception.types import Frame

ROOT = Path(__file__).resolve().parents[1]
WARM_UP = 20
PARITY_PICTURES = 16
CANDIDATES = 1000
MOST_KEPT = 300
LEAST_SCORE, MAX_IOU = 0.3, 0.6


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


def plan_of(
    path: Path, precision: str, pictures: Sequence[Any], *, batch: int, built_only: bool
) -> dict[str, Any]:
    """The plan, built now or before: what it took and what it is.

    Raises:
        PerceptionError: it cannot be built, or `built_only` and it has not been.
    """
    if built_only:
        plan, why = find_plan(path, load_api(), precision=precision)
        if plan is None:
            raise EngineError(f"not built here: {why}")
        details = plan.details
        built = {
            "build_s": details["seconds"],
            "layers": details["precisions"],
            "parity": details.get("parity"),
            "slowest": details.get("slowest", []),
            "warnings": details["warnings"],
        }
    else:
        decoder = detector_of(path)
        report = build(path, precision=precision, batch=batch, pictures=pictures, detect=decoder)
        plan = report.plan
        built = {
            "build_s": report.seconds,
            "layers": report.precisions,
            "parity": report.parity,
            "slowest": list(report.slowest),
            "warnings": list(report.warnings),
        }
    return built | {"plan_mib": round(plan.size / 2**20, 2), "shapes": plan.key.shapes}


def bench_engine(
    path: Path,
    precision: str,
    frames: Sequence[Frame],
    *,
    batch: int,
    calls: int,
    built_only: bool,
) -> dict[str, Any]:
    """Everything about one engine in one precision; what could not be done says why."""
    result: dict[str, Any] = {"engine": path.stem, "precision": precision}
    pictures = [frame.image for frame in frames[:PARITY_PICTURES]]
    try:
        result |= plan_of(path, precision, pictures, batch=batch, built_only=built_only)
    except PerceptionError as error:
        return result | {"failed": str(error)}
    result["batch"] = {}
    options: dict[str, Any] = {"precision": precision, "build": False}
    with TensorRTEngine(path, **options) as engine:
        for count in sorted({1, 2, 4, 8, batch}):
            if count > engine.most_pictures:
                continue
            given = feeds(engine, count)
            figures: dict[str, Any] = timed(lambda given=given: engine.infer(given), calls)
            figures["pictures_per_s"] = round(figures["per_s"] * count, 1)
            alone = timed(lambda count=count: engine.run_alone(count), calls)
            alone["pictures_per_s"] = round(alone["per_s"] * count, 1)
            figures["network_only"] = alone
            result["batch"][str(count)] = figures
        if engine.card is None:
            return result
        spec = engine.card.input
        result["prepared_on_gpu"] = timed(lambda: engine.infer_frames([frames[0]], spec), calls)
    with TensorRTEngine(path, **options, prepare="host") as engine:
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
    """TensorRT's EfficientNMS on CANDIDATES boxes of one class, 300 results at most."""
    node = helper.make_node(
        "EfficientNMS_TRT",
        ["boxes", "scores"],
        ["count", "kept", "kept_scores", "kept_classes"],
        domain="nvidia.tensorrt",  # unknown to ONNX, whose checker then lets it be
        background_class=-1,
        box_coding=0,
        iou_threshold=MAX_IOU,
        max_output_boxes=MOST_KEPT,
        plugin_version="1",
        score_activation=0,
        score_threshold=LEAST_SCORE,
    )
    number = TensorProto.FLOAT
    whole = TensorProto.INT32
    graph = helper.make_graph(
        [node],
        "suppression",
        [
            helper.make_tensor_value_info("boxes", number, [1, CANDIDATES, 4]),
            helper.make_tensor_value_info("scores", number, [1, CANDIDATES, 1]),
        ],
        [
            helper.make_tensor_value_info("count", whole, [1, 1]),
            helper.make_tensor_value_info("kept", number, [1, MOST_KEPT, 4]),
            helper.make_tensor_value_info("kept_scores", number, [1, MOST_KEPT]),
            helper.make_tensor_value_info("kept_classes", whole, [1, MOST_KEPT]),
        ],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("nvidia.tensorrt", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(path))
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

    def on_host() -> int:
        sure = scores >= LEAST_SCORE
        return len(nms(boxes[sure], scores[sure], max_iou=MAX_IOU))

    result["host"] = timed(on_host, calls)
    with tempfile.TemporaryDirectory() as folder:
        path = suppression_network(Path(folder) / "suppression.onnx")
        try:
            build(path, precision="fp32", parity=False)
            with TensorRTEngine(path) as engine:
                given = {"boxes": boxes[None], "scores": scores[None, :, None]}
                result["device"] = timed(lambda: engine.infer(given), calls)
                result["device_alone"] = timed(engine.run_alone, calls)
                result["kept"] = [on_host(), int(engine.infer(given)["count"][0, 0])]
        except PerceptionError as error:
            result["device"] = {"failed": str(error)}
    both = [result["host"]["p50_ms"], result["device"].get("p50_ms", float("inf"))]
    result["better"] = "host" if both[0] <= both[1] else "device"
    return result


def bench_pipeline(clip: Path, rounds: int, frames: int) -> dict[str, Any]:
    """The default pipeline on TensorRT, end to end, decoding on the CPU and on the GPU, with what bounds it."""
    config = load_config("dashcam").changed(backend="tensorrt")
    results: dict[str, Any] = {}
    for decode in ("cpu", "nvdec"):
        try:
            whole = measure(clip, config, rounds=rounds, frames=frames, decode=decode)
            print(f"decoding: {decode}\n{whole.table()}")
            record = [bench_record(clip, config, frames, decode) for _ in range(rounds)]
        except PerceptionError as error:
            results[decode] = {"failed": str(error)}
            continue
        results[decode] = whole.as_dict() | {"record_only_fps": record}
        print(f"record only, no overlay video: {max(record)} fps")
    return results


def bench_record(clip: Path, config: Any, frames: int, decode: str) -> float:
    """Frames a second of a run that only writes the record."""
    source = open_source(clip, decode=decode)
    with tempfile.TemporaryDirectory() as folder:
        run = open_run(source, config, jsonl=Path(folder) / "record.jsonl")
        with run:
            results = iter(run)
            for _ in islice(results, WARM_UP):  # kernels are compiled, graphs captured
                pass
            start = perf_counter()
            count = sum(1 for _ in islice(results, frames - WARM_UP))
            return round(count / (perf_counter() - start), 1)


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
            row = bench_engine(
                path,
                precision,
                frames,
                batch=options.batch,
                calls=options.calls,
                built_only=options.built_only,
            )
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
    add("--built-only", action="store_true", help="build nothing, measure what is in the cache")
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
