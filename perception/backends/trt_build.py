"""Build a TensorRT plan from an ONNX file, once, on the machine that will run it.

    from perception.backends.trt_build import build

    report = build("road.onnx", precision="fp16", size=(640, 384), batch=4)
    print(report.text())

`build` looks in the cache first; `perception build` and the first use of the TensorRT backend both come
here. Needs TensorRT, cuda-python and the `onnx` package (extra "tensorrt"), and a GPU.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from perception.backends.cache_folder import writable_cache
from perception.backends.trt_cache import PlanCache, PlanKey
from perception.backends.trt_cuda import Cuda
from perception.backends.trt_inspect import precision_problem, precisions_of
from perception.backends.trt_model import ModelFile, Profile, profiles_for, read_model, shapes_text
from perception.backends.trt_network import TACTICS, build_plan
from perception.backends.trt_parity import Detect, compare
from perception.backends.trt_parity_report import ParityReport
from perception.backends.trt_report import BuildReport
from perception.backends.trt_version import Api, load_api
from perception.backends.trt_watch import BuildProgress
from perception.errors import EngineError, InputError, RequestError, unknown
from perception.types import U8

if TYPE_CHECKING:
    from perception.backends.trt import TensorRTEngine

PRECISIONS = ("fp32", "fp16", "int8")
TACTICS_VARIABLE = "PERCEPTION_TACTICS"
_log = logging.getLogger(__name__)


def build(
    path: str | Path,
    *,
    precision: str | None = None,
    size: tuple[int, int] | None = None,
    batch: int = 1,
    workspace_mib: int | None = None,
    level: int | None = None,
    tactics: str | None = None,
    force: bool = False,
    parity: bool = True,
    pictures: Sequence[U8] = (),
    detect: Detect | None = None,
    progress: Callable[[BuildProgress], None] | None = None,
) -> BuildReport:
    """Make sure that the cache holds a plan for this ONNX file on this machine.

    Args:
        path: the ONNX file.
        precision: "fp32", "fp16" or "int8"; None takes INT8 for a file with Q/DQ nodes, else FP16.
        size: (width, height) of the input of a network that takes any; None takes the card's.
        batch: most pictures in one call, for a network that takes any number. With more than one, the
            plan has two profiles: one for exactly 1, one for 1 to `batch`.
        workspace_mib: most scratch memory a layer may use; None: half of what is free.
        level: TensorRT's optimisation level 0..5; None leaves TensorRT's own (3).
        tactics: which kernels TensorRT may choose from: "all"; "own", none of cuBLAS and cuDNN, for machines
            where these are missing or broken; "ready", of its own only those that need not be compiled.
            None asks the environment (PERCEPTION_TACTICS), else "all".
        force: build even where a good plan is in the cache, and keep a plan whose parity is outside the
            tolerance.
        parity: compare the plan with ONNX Runtime FP32 and store the report beside it.
        pictures: (H, W, 3) uint8 BGR each, for the comparison; none: drawn ones.
        detect: ``detect(engine, picture) -> Detections``, the family's decoder; None compares the raw
            outputs only.
        progress: called often, from this thread, with what is going on.

    Raises:
        InputError: no such file.
        RequestError: unknown precision, INT8 without Q/DQ nodes, a size or batch the network cannot have.
        EngineError: no TensorRT or GPU, an operator is not supported, the build failed, the plan is not in
            the precision asked for, or its results are outside the tolerance.
        KeyboardInterrupt: Ctrl-C; no plan is left in the cache, kernel times that were measured are.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"{path}: no such engine file; `perception engines` lists what is installed"
        )
    if precision is not None and precision not in PRECISIONS:
        raise RequestError(unknown("precision", precision, PRECISIONS))
    api, cuda = load_api(), Cuda()
    gpu = cuda.gpu()
    model = read_model(path)
    precision = precision or ("int8" if model.quantised else "fp16")
    _check_precision(model, precision)
    tactics = _tactics(tactics)
    profiles = profiles_for(model, size=size, batch=batch)
    shapes = shapes_text(profiles)
    key = PlanKey(model.sha256, api.version, gpu.name, gpu.capability, precision, shapes)
    cache = PlanCache(writable_cache())
    with cache.lock(path.stem, key, lambda: _say_waiting(path)):
        state = cache.state(path.stem, key)
        if state.plan is not None and not force:
            return BuildReport.of(state.plan, made=False, why="")
        why = "asked for" if state.plan is not None else state.why
        _log.info("building %s (%s, %s): %s", path.name, precision, shapes, why)
        start = perf_counter()
        made = build_plan(
            api,
            model,
            profiles,
            precision=precision,
            workspace=_workspace(cuda, workspace_mib),
            level=level,
            tactics=tactics,
            timing_path=cache.timing_path(key),
            progress=progress,
        )
        seconds = perf_counter() - start
        details, warnings = _verify(
            api,
            model,
            made.data,
            precision,
            force=force,
            parity=parity,
            pictures=pictures,
            detect=detect,
        )
        width, height = _size(profiles)
        if made.kept:
            warnings.append(
                f"this TensorRT has no {precision} kernel for {len(made.kept)} convolutions, which stay in FP32"
            )
        details |= {
            "source": path.name,
            "built": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "seconds": round(seconds, 1),
            "size": [width, height],
            "profiles": [
                {name: [list(shape) for shape in shapes] for name, shapes in profile.items()}
                for profile in profiles
            ],
            "card": model.metadata,
            "slowest": [[name, round(seconds, 1)] for name, seconds in made.slowest],
            "warnings": warnings,
        }
        plan = cache.store(path.stem, key, made.data, details)
    return BuildReport.of(plan, made=True, why=why)


def _check_precision(model: ModelFile, precision: str) -> None:
    if precision == "int8" and not model.quantised:
        siblings = [
            p for p in model.path.parent.glob(f"{model.path.stem}*int8*.onnx") if p != model.path
        ]
        use = (
            f"use {siblings[0]}"
            if siblings
            else f"make it with `python -m engines.quantize {model.path} --layout tensorrt` and build that"
        )
        raise RequestError(
            f"{model.path.name} has no QuantizeLinear/DequantizeLinear nodes, and INT8 lives in the file: {use}"
        )
    if precision != "int8" and model.quantised:
        raise RequestError(
            f"{model.path.name} is quantised (it has QuantizeLinear nodes), so it is INT8: ask for int8, "
            f"or use the file it was made from for {precision}"
        )
    if precision == "fp32" and model.half:
        raise RequestError(
            f"{model.path.name} has FP16 weights: ask for fp16, or use the FP32 file"
        )


def _tactics(asked: str | None) -> str:
    where = "tactics"
    if asked is None:
        where, asked = TACTICS_VARIABLE, os.environ.get(TACTICS_VARIABLE) or "all"
    if asked not in TACTICS:
        raise RequestError(f"{where}: {unknown('choice of kernels', asked, TACTICS)}")
    return asked


def _workspace(cuda: Cuda, mib: int | None) -> int:
    if mib is None:
        return cuda.free_memory() // 2
    if mib < 1:
        raise RequestError(f"the workspace must be at least 1 MiB, but is {mib}")
    return mib * 2**20


def _verify(
    api: Api,
    model: ModelFile,
    data: bytes,
    precision: str,
    *,
    force: bool,
    parity: bool,
    pictures: Sequence[U8],
    detect: Detect | None,
) -> tuple[dict[str, Any], list[str]]:
    """Open the new plan, read its precisions back, compare its results; the record's part of it."""
    from perception.backends.trt import TensorRTEngine

    engine = TensorRTEngine.from_bytes(api, data, path=model.path, metadata=model.metadata)
    try:
        precisions = precisions_of(engine.inspect())
        problem, warnings = precision_problem(precisions, precision)
        if problem and not force:
            raise EngineError(f"{model.path.name}: {problem}")
        warnings += [problem] if problem else []
        details: dict[str, Any] = {"precisions": precisions}
        if parity:
            details["parity"] = _compare(
                model, engine, precision, pictures, detect, force, warnings
            )
    finally:
        engine.close()
    return details, warnings


def _compare(
    model: ModelFile,
    engine: TensorRTEngine,
    precision: str,
    pictures: Sequence[U8],
    detect: Detect | None,
    force: bool,
    warnings: list[str],
) -> dict[str, Any]:
    reference = _full_precision_file(model) if model.quantised else None
    if model.quantised and reference is None:
        warnings.append(
            f"no FP32 file lies beside {model.path.name} (its name without int8), so parity does not show "
            "what quantisation itself costs"
        )
    result: ParityReport = compare(
        model,
        engine,
        precision=precision,
        pictures=pictures,
        detect=detect,
        reference=reference,
    )
    if not result.passed:
        said = f"{model.path.name} in {precision} is outside the tolerance: {result.text}"
        if not force:
            raise EngineError(f"{said}; `--force` keeps it all the same")
        warnings.append(said)
    return result.to_json()


def _full_precision_file(model: ModelFile) -> Path | None:
    """The file that a quantised one was made from, by name: road.onnx for road.int8-tensorrt.onnx."""
    name = re.sub(r"[-_.]?int8([-_.]\w+)?$", "", model.path.stem, flags=re.IGNORECASE)
    path = model.path.with_name(f"{name}.onnx")
    return path if path != model.path and path.is_file() else None


def _size(profiles: Sequence[Profile]) -> tuple[int, int]:
    shape = next(iter(profiles[0].values()))[1]
    return (shape[3], shape[2]) if len(shape) == 4 else (0, 0)


def _say_waiting(path: Path) -> None:
    _log.warning("another process is building %s: waiting for it", path.name)
