"""OpenVINO on the CPU: the fastest runtime where the CPU multiplies bfloat16 or 8-bit numbers in hardware.

Precision: "fp32"; "bf16", where the CPU has it; an INT8 (QDQ) file runs its quantised layers in 8 bits whatever
the precision of the rest. Weights, inputs and outputs stay float32 for the caller.

A network of any input size is compiled for each size when it first comes (that is a fifth faster than compiling
it once for all sizes); compiled networks are kept in the user's cache, as compiling takes a second or two.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from perception.backends import TensorSpec
from perception.backends.cache_folder import cache_folder
from perception.card import EngineCard
from perception.errors import EngineError, RequestError
from perception.machine import usable_cores

_log = logging.getLogger(__name__)

PRECISIONS = ("auto", "fp32", "bf16")
# So many input sizes get a network compiled for them; further ones share one for all sizes.
SIZES_OF_THEIR_OWN = 3
MOST_STREAMS = 4
Shapes: TypeAlias = tuple[tuple[int, ...], ...]
ANY: Shapes = ()


def compiled_folder() -> Path | None:
    """Where compiled networks are kept, made if need be; None, with a log line, where it cannot be."""
    folder = cache_folder() / "openvino"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        _log.warning(
            "the cache folder %s cannot be written (%s): networks are compiled again at every start",
            folder,
            error.strerror,
        )
        return None
    return folder


class OpenVINOEngine:
    """An ONNX file on OpenVINO's CPU device; for many threads at once, `streams` of which really run together.

    Args:
        path: the ONNX file.
        threads: threads inside one operator; one is right inside a pipeline.
        streams: calls that run at the same time; None: one for each core, MOST_STREAMS at most.
        precision: of what is not quantised: "fp32", "bf16", or "auto": bf16 where the CPU has it.
        cache: folder for compiled networks; None for none.

    Raises:
        EngineError: OpenVINO is not installed, cannot read the file, or the CPU has no bf16.
        RequestError: no such precision.
    """

    backend = "openvino"
    many_threads = True

    def __init__(
        self,
        path: Path,
        *,
        threads: int = 1,
        streams: int | None = None,
        precision: str = "auto",
        cache: Path | str | None = "default",
    ) -> None:
        if precision not in PRECISIONS:
            raise RequestError(
                f"precision must be {', '.join(PRECISIONS)} on OpenVINO, but is {precision!r}"
            )
        if streams is None:
            streams = min(MOST_STREAMS, usable_cores())
        openvino = _imported()
        self.path = path
        self._openvino = openvino
        self._core = openvino.Core()
        offers = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision == "bf16" and "BF16" not in offers:
            raise EngineError(f"this CPU has no bfloat16 arithmetic; it has {', '.join(offers)}")
        if precision == "auto":
            precision = "bf16" if "BF16" in offers else "fp32"
        self.precision = precision
        self._settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
            "INFERENCE_NUM_THREADS": threads * streams,
            "NUM_STREAMS": streams,
            "PERFORMANCE_HINT": "LATENCY",
        }
        folder = compiled_folder() if cache == "default" else cache
        if folder is not None:
            self._settings["CACHE_DIR"] = str(folder)
        try:
            self._model = self._core.read_model(str(path))
        except Exception as error:  # the runtime raises RuntimeError and its subclasses
            raise EngineError(f"{path}: OpenVINO cannot read this file: {error}") from error
        self.inputs = tuple(_spec(port) for port in self._model.inputs)
        self.outputs = tuple(_spec(port) for port in self._model.outputs)
        self._names = [spec.name for spec in self.outputs]
        self._compiled: dict[Shapes, Any] = {}
        # Further input sizes of a file made for one, and whether it can be compiled for them.
        self._sizes: dict[tuple[int, int], bool] = {}
        self._compiling = threading.Lock()
        # Each thread's requests; they end with the thread.
        self._own = threading.local()
        self.card = EngineCard.from_metadata(self._metadata(), where=str(path))

    def infer(self, feeds: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Run the network.

        Args:
            feeds: one array per input name.

        Returns:
            One array per output name, borrowed until this thread's next call.

        Raises:
            EngineError: a feed has the wrong name, dtype or shape.
        """
        if set(feeds) != {spec.name for spec in self.inputs}:
            raise EngineError(
                f"{self.path.name}: inputs must be {', '.join(s.name for s in self.inputs)}, "
                f"but are {', '.join(feeds) or 'none'}"
            )
        for spec in self.inputs:
            if feeds[spec.name].dtype != spec.dtype:
                raise EngineError(
                    f"{self.path.name}: input {spec.name} must be {spec.dtype}, "
                    f"but is {feeds[spec.name].dtype}"
                )
        try:
            request = self._request(feeds)
            for number, spec in enumerate(self.inputs):
                array = np.ascontiguousarray(feeds[spec.name])
                request.set_input_tensor(number, self._openvino.Tensor(array, shared_memory=True))
            request.infer()
            return {
                name: request.get_output_tensor(number).data
                for number, name in enumerate(self._names)
            }
        except EngineError:
            raise
        except Exception as error:
            raise EngineError(f"{self.path.name}: inference failed: {error}") from error

    def takes(self, size: tuple[int, int]) -> bool:
        """Whether a file made for pictures of one size can be compiled for another (width, height)."""
        spec = self.inputs[0]
        if len(self.inputs) != 1 or len(spec.shape) != 4:
            return False
        if size not in self._sizes:
            shape = [spec.shape[0], spec.shape[1], size[1], size[0]]
            try:
                self._model.clone().reshape({0: shape})
                self._sizes[size] = True
            except RuntimeError as error:
                _log.debug("%s cannot be compiled for %dx%d: %s", self.path.name, *size, error)
                self._sizes[size] = False
        return self._sizes[size]

    def close(self) -> None:
        """Release the compiled networks."""
        self._own = threading.local()
        self._compiled.clear()

    def _request(self, feeds: Mapping[str, npt.NDArray[Any]]) -> Any:
        """This thread's request of the network compiled for these shapes."""
        mine: dict[Shapes, Any] = self._own.__dict__.setdefault("requests", {})
        key = tuple(_compiled_shape(spec, feeds[spec.name].shape) for spec in self.inputs)
        found = mine.get(key) or mine.get(ANY)
        if found is None:
            for spec in self.inputs:
                shape = feeds[spec.name].shape
                if not (len(shape) == 4 and self._sizes.get((shape[3], shape[2]))):
                    _check(self.path.name, spec, shape)
            key, network = self._network(key)
            found = mine[key] = network.create_infer_request()
        return found

    def _network(self, key: Shapes) -> tuple[Shapes, Any]:
        """The network compiled for these shapes, or the one for all, and for which it is."""
        with self._compiling:
            if key not in self._compiled and len(self._compiled) >= SIZES_OF_THEIR_OWN:
                # Pictures of all sizes: one network for the rest of them.
                key = ANY
            if key not in self._compiled:
                model = self._model.clone()
                if key != ANY:
                    model.reshape(dict(enumerate(map(list, key))))
                elif any(self._sizes.values()):
                    # Made for one size, but it has been given others.
                    model.reshape({0: [*self.inputs[0].shape[:2], -1, -1]})
                self._compiled[key] = self._core.compile_model(model, "CPU", self._settings)
            return key, self._compiled[key]

    def _metadata(self) -> dict[str, str]:
        """The ONNX file's metadata, which OpenVINO keeps as runtime information."""
        found: dict[str, str] = {}
        for key in EngineCard.metadata_keys():
            if self._model.has_rt_info(["framework", key]):
                found[key] = self._model.get_rt_info(["framework", key]).astype(str)
        return found


def _imported() -> Any:
    """The package `openvino`, without its converters of other formats.

    They are half of its import time, tell their maker of every import over the network, and are not needed to read
    ONNX files; the package takes their absence for a smaller installation.
    """
    hidden = "openvino.tools.ovc"
    hide = "openvino" not in sys.modules
    if hide:
        sys.modules[hidden] = None  # type: ignore[assignment]
    try:
        import openvino
    except ImportError as error:
        raise EngineError(
            "OpenVINO is not installed: pip install 'road-perception[openvino]'"
        ) from error
    finally:
        if hide:
            del sys.modules[hidden]
    return openvino


def _compiled_shape(spec: TensorSpec, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape to compile for: these sizes, but one network for all batches of more than one."""
    if spec.shape[:1] == (-1,) and shape[:1] != (1,):
        return -1, *shape[1:]
    return shape


def _check(name: str, spec: TensorSpec, shape: tuple[int, ...]) -> None:
    fits = len(shape) == len(spec.shape) and all(
        want in (-1, have) for want, have in zip(spec.shape, shape, strict=True)
    )
    if not fits:
        wanted = tuple("any" if want == -1 else want for want in spec.shape)
        raise EngineError(f"{name}: input {spec.name} must have shape {wanted}, but has {shape}")


def _spec(port: Any) -> TensorSpec:
    shape = tuple(
        dimension.get_length() if dimension.is_static else -1 for dimension in port.partial_shape
    )
    return TensorSpec(port.any_name, np.dtype(port.element_type.to_dtype()), shape)
