"""Which built plan fits this file on this machine, and if none does, why."""

from __future__ import annotations

from pathlib import Path

from perception.backends.cache_folder import cache_folder
from perception.backends.trt_cache import Plan, PlanCache, sha256_of
from perception.backends.trt_cuda import Cuda
from perception.backends.trt_version import Api, load_api
from perception.errors import EngineError


def find_plan(
    path: Path,
    api: Api,
    *,
    precision: str | None = None,
    size: tuple[int, int] | None = None,
    batch: int | None = None,
) -> tuple[Plan | None, str]:
    """The plan in the cache that was built last for this file on this machine, or None and why not."""
    gpu = Cuda().gpu()
    cache = PlanCache(cache_folder() / "tensorrt")
    return cache.lookup(
        path.stem,
        onnx=sha256_of(path),
        tensorrt=api.version,
        gpu=gpu.name,
        capability=gpu.capability,
        precision=precision,
        size=size,
        batch=batch,
    )


def has_plan(path: Path) -> tuple[bool, str]:
    """Whether "auto" can take TensorRT for this file, and why not; never raises."""
    try:
        plan, why = find_plan(path, load_api())
    except (EngineError, OSError, RuntimeError) as error:  # cuda-python raises for a broken driver
        return False, str(error)
    return plan is not None, why
