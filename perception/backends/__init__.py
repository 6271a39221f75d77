"""Runtimes that execute an ONNX file or what was built from it, behind one small protocol."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from perception.card import EngineCard, InputSpec
from perception.errors import InputError, RequestError, unknown

if TYPE_CHECKING:
    from perception.preprocess import Mapping as PixelMapping
    from perception.types import Frame

_log = logging.getLogger(__name__)

BACKENDS = ("tensorrt", "openvino", "onnxruntime")


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, dtype and shape of an input or output; -1 stands for a dimension that may vary."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


@runtime_checkable
class Engine(Protocol):
    """A network that is ready to run.

    `infer` takes one array per input name and returns one per output name. IMPORTANT: the returned
    arrays are borrowed: valid until the next call of `infer` or `close`. Copy what you keep.
    """

    path: Path
    backend: str
    card: EngineCard | None

    @property
    def inputs(self) -> tuple[TensorSpec, ...]: ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]: ...

    def infer(self, feeds: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]: ...

    def close(self) -> None: ...


@runtime_checkable
class FrameEngine(Engine, Protocol):
    """An engine that prepares pictures itself, where they can be prepared faster than on the host."""

    def infer_frames(
        self, frames: Sequence[Frame], spec: InputSpec
    ) -> tuple[dict[str, npt.NDArray[Any]], list[PixelMapping]]:
        """Prepare a batch as `perception.preprocess.Preprocessor` does, for the first input, and run.

        Returns:
            The outputs, borrowed as from `infer`, and per frame where its pixels went.
        """
        ...


def open_engine(
    path: str | Path, *, backend: str = "auto", threads: int = 1, **options: Any
) -> Engine:
    """Open an ONNX file on a runtime.

    Args:
        path: the ONNX file.
        backend: "auto" takes TensorRT where a GPU and a built plan are present, else ONNX Runtime, and
            logs one line that says why. "tensorrt" builds the plan first if there is none.
        threads: threads inside one operator, for the CPU runtimes.
        options: handed to the backend.

    Raises:
        InputError: no such file.
        RequestError: unknown backend.
        EngineError: the runtime is not installed or refuses the file.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"{path}: no such engine file; `perception engines` lists what is installed"
        )
    if backend == "auto":
        backend = _choose(path)
    if backend == "onnxruntime":
        from perception.backends.onnxrt import OnnxRuntimeEngine

        return OnnxRuntimeEngine(path, threads=threads, **options)
    if backend == "tensorrt":
        from perception.backends.trt import TensorRTEngine

        return TensorRTEngine(path, **options)
    raise RequestError(unknown("backend", backend, ("auto", *BACKENDS)))


def _choose(path: Path) -> str:
    """The backend that "auto" stands for on this machine."""
    if importlib.util.find_spec("tensorrt") is None:
        _log.info("%s runs on ONNX Runtime: TensorRT is not installed", path.name)
        return "onnxruntime"
    from perception.backends.trt_plans import has_plan

    built, why = has_plan(path)
    if built:
        return "tensorrt"
    _log.warning(
        "%s runs on ONNX Runtime and not on TensorRT: %s (`perception build %s`)",
        path.name,
        why,
        path,
    )
    return "onnxruntime"
