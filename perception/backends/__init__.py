"""Runtimes that execute an ONNX file or what was built from it, behind one small protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from perception.backends.choice import choose
from perception.card import EngineCard, InputSpec
from perception.errors import InputError, RequestError, unknown

if TYPE_CHECKING:
    from perception.preprocess import Mapping as PixelMapping
    from perception.types import Frame

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

    An engine is for one thread at a time, unless it says `many_threads = True`: then several threads may call
    `infer` at once, and arrays are borrowed until the same thread's next call.
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


def for_many_threads(engine: Engine) -> bool:
    """Whether several threads may call the engine at once."""
    return getattr(engine, "many_threads", False)


def open_engine(
    path: str | Path,
    *,
    backend: str = "auto",
    precision: str = "auto",
    threads: int = 1,
    **options: Any,
) -> Engine:
    """Open an ONNX file on a runtime.

    Args:
        path: the ONNX file.
        backend: "auto" takes what `perception.backends.choice` finds best on this machine, and logs one line
            that says why. "tensorrt" builds the plan first if there is none.
        precision: "auto", "fp32", "bf16" (OpenVINO) or "int8" (the variant beside the file).
        threads: threads inside one operator, for the CPU runtimes.
        options: handed to the backend.

    Raises:
        InputError: no such file.
        RequestError: unknown backend, or a precision that it does not offer.
        EngineError: the runtime is not installed or refuses the file.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"{path}: no such engine file; `perception engines` lists what is installed"
        )
    if backend not in ("auto", *BACKENDS):
        raise RequestError(unknown("backend", backend, ("auto", *BACKENDS)))
    choice = choose(path, backend, precision)
    if choice.backend == "onnxruntime":
        from perception.backends.onnxrt import OnnxRuntimeEngine

        return OnnxRuntimeEngine(choice.path, threads=threads, **choice.options, **options)
    if choice.backend == "openvino":
        from perception.backends.openvino import OpenVINOEngine

        return OpenVINOEngine(choice.path, threads=threads, **choice.options, **options)
    from perception.backends.trt import TensorRTEngine

    return TensorRTEngine(choice.path, **choice.options, **options)
