"""What "auto" stands for on this machine: runtime and precision of an engine, never silently.

    1. TensorRT, where a GPU and a plan built for this engine are present.
    2. On a CPU, the fastest of what was measured for this very file and costs at most half a point of what it is
       judged by (AP; IoU and F1; accuracy), as ``measured.json`` beside the engine says (`python -m
       engines.precision` writes it), if the machine has what it needs: OpenVINO installed, bfloat16 arithmetic, the
       INT8 variant's file.
    3. ONNX Runtime in FP32: every other engine, and every machine for which nothing was measured.

Each choice is one log line that says why.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from perception.errors import EngineError, RequestError

_log = logging.getLogger(__name__)

MEASURED = "measured.json"
PRECISIONS = ("auto", "fp32", "fp16", "bf16", "int8")
# By so much of the figure it is judged by (0 to 1) a precision that is chosen by itself may be worse than FP32.
LARGEST_LOSS = 0.005


@dataclass(frozen=True, slots=True)
class Choice:
    """A file on a runtime.

    Attributes:
        path: of the file to open: the engine, or its INT8 variant.
        backend: "tensorrt", "openvino" or "onnxruntime".
        options: for the backend.
        why: one sentence.
    """

    path: Path
    backend: str
    options: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""


def choose(path: Path, backend: str = "auto", precision: str = "auto") -> Choice:
    """Where and how to run an engine.

    Args:
        path: of the engine's FP32 file.
        backend: "auto" or a runtime.
        precision: "auto", "fp32", "fp16" (TensorRT), "bf16" (OpenVINO) or "int8" (a variant beside the file; on
            TensorRT, without one, the file's own Q/DQ nodes).

    Raises:
        RequestError: no such precision, or the runtime does not offer it.
        EngineError: there is no INT8 variant of this engine.
    """
    if precision not in PRECISIONS:
        raise RequestError(f"precision must be {', '.join(PRECISIONS)}, but is {precision!r}")
    if backend == "tensorrt":
        return _tensorrt(path, precision)
    if backend == "auto" and precision == "auto":
        return _best(path)
    if precision == "fp16":
        if backend != "auto":
            raise RequestError("fp16 is for GPUs: --backend tensorrt")
        return _tensorrt(path, precision)
    if backend == "auto":
        backend = "openvino" if precision == "bf16" else "onnxruntime"
    if precision == "int8":
        return Choice(variant_of(path, backend), backend)
    if backend == "onnxruntime" and precision == "bf16":
        raise RequestError("ONNX Runtime has no bf16 on CPUs; OpenVINO has: --backend openvino")
    if backend == "openvino":
        return Choice(path, backend, {"precision": precision})
    return Choice(path, backend)


def variant_path(path: Path, backend: str) -> Path:
    """Where the INT8 variant of an engine for this runtime belongs."""
    kind = "int8" if backend == "onnxruntime" else f"int8-{backend}"
    return path.with_name(f"{path.stem}.{kind}.onnx")


def variant_of(path: Path, backend: str) -> Path:
    """The INT8 variant of an engine for this runtime.

    Raises:
        EngineError: there is none.
    """
    variant = variant_path(path, backend)
    if not variant.is_file():
        layout = "" if backend == "onnxruntime" else f" --layout {backend}"
        raise EngineError(
            f"{path}: there is no INT8 variant for {backend} ({variant.name}); "
            f"make it with: python -m engines.quantize {path}{layout}"
        )
    return variant


def _tensorrt(path: Path, precision: str) -> Choice:
    if precision == "bf16":
        raise RequestError("TensorRT plans are fp32, fp16 or int8; bf16 is OpenVINO's")
    variant = variant_path(path, "tensorrt")
    if precision == "int8" and variant.is_file():
        path = variant
    return Choice(path, "tensorrt", {} if precision == "auto" else {"precision": precision})


def _best(path: Path) -> Choice:
    choice = _plan(path) or _measured(path)
    if choice is None:
        choice = Choice(path, "onnxruntime", why="nothing faster was measured for it here")
    _log.info("%s runs on %s: %s", choice.path.name, choice.backend, choice.why)
    return choice


def _plan(path: Path) -> Choice | None:
    """TensorRT, if there is a plan; one line if there could be."""
    if importlib.util.find_spec("tensorrt") is None:
        return None
    from perception.backends.trt_plans import has_plan

    built, why = has_plan(path)
    if built:
        return Choice(path, "tensorrt", why="a plan is built")
    _log.warning("%s runs not on TensorRT: %s (`perception build %s`)", path.name, why, path)
    return None


def _measured(path: Path) -> Choice | None:
    """The fastest measured way of running this file that this machine offers."""
    table = path.with_name(MEASURED)
    if not table.is_file():
        return None
    try:
        entry = json.loads(table.read_text(encoding="utf-8")).get(path.stem)
        if not entry or entry["sha256"] != sha256(path):
            return None
        rows = sorted(entry["ways"], key=lambda row: -row["speed"])
        for row in rows:
            if row["speed"] > 1 and row["change"] >= -LARGEST_LOSS:
                choice = _offered(path, row)
                if choice is not None:
                    return choice
    except (KeyError, TypeError, ValueError) as error:
        raise EngineError(
            f"{table}: is broken ({error}); write it again with: python -m engines.precision"
        ) from error
    return None


def _offered(path: Path, row: Mapping[str, Any]) -> Choice | None:
    """A row of the table as a choice, if this machine can run it."""
    backend, precision = row["backend"], row["precision"]
    if row.get("needs") and row["needs"] not in cpu_features():
        return None
    if backend == "openvino" and importlib.util.find_spec("openvino") is None:
        return None
    options: dict[str, Any] = {}
    file = path
    if precision == "int8":
        file = variant_path(path, backend)
        if not file.is_file() or sha256(file) != row["sha256"]:
            return None
    elif backend == "openvino":
        options = {"precision": precision}
    why = (
        f"{precision} was measured {row['speed']:.2f} times as fast as ONNX Runtime's fp32 "
        f"on {row['cpu']}, {row['worst']} {100 * row['change']:+.1f} points"
    )
    return Choice(file, backend, options, why)


def sha256(path: Path) -> str:
    """Of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@functools.lru_cache(maxsize=1)
def cpu_features(info: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """What this CPU multiplies in hardware: "bf16", "int8"; empty where the system does not say."""
    try:
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    flags = next(
        (set(line.split()) for line in lines if line.startswith(("flags", "Features"))), set()
    )
    found = set()
    if flags & {"avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16"}:
        found.add("bf16")
    if flags & {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp"}:
        found.add("int8")
    return frozenset(found)
