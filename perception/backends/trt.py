"""Engines on TensorRT 8.6, 10.x and 11.x: named tensors, one stream, pinned and kept memory, CUDA graphs.

The plan comes from the cache; where there is none for this file, machine and request, it is built first,
with a message (`perception.backends.trt_build`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from perception.backends import TensorSpec
from perception.backends.trt_cache import Plan, PlanCache
from perception.backends.trt_cuda import Cuda, Graph, Stream
from perception.backends.trt_inspect import inspect
from perception.backends.trt_plans import find_plan
from perception.backends.trt_preprocess import DevicePreprocessor
from perception.backends.trt_version import Api, load_api
from perception.card import EngineCard, InputSpec
from perception.errors import EngineError, RequestError, unknown
from perception.preprocess import Mapping as PixelMapping
from perception.preprocess import Preprocessor
from perception.types import Frame

Shape = tuple[int, ...]
# A graph is captured once a shape has come this often in a row: capturing costs several runs.
RUNS_BEFORE_CAPTURE = 2
PREPARE = ("auto", "gpu", "host")
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Tensor:
    """One input or output: kept device and pinned host memory, as large as its largest shape."""

    name: str
    is_input: bool
    dtype: np.dtype[Any]
    size: int
    device: int
    host: int
    bytes: npt.NDArray[np.uint8]

    def view(self, shape: Shape) -> npt.NDArray[Any]:
        count = int(np.prod(shape, dtype=np.int64))
        return self.bytes[: count * self.dtype.itemsize].view(self.dtype).reshape(shape)


@dataclass(slots=True)
class _Profile:
    """One optimisation profile with its context and what was last run on it."""

    context: Any
    low: dict[str, Shape]
    high: dict[str, Shape]
    key: tuple[Any, ...] = ()
    outputs: tuple[tuple[str, Shape], ...] = ()
    runs: int = 0
    graph: Graph | None = None

    def takes(self, shapes: Mapping[str, Shape]) -> bool:
        return all(
            len(shape) == len(self.low[name])
            and all(
                a <= n <= b for a, n, b in zip(self.low[name], shape, self.high[name], strict=True)
            )
            for name, shape in shapes.items()
        )


class TensorRTEngine:
    """An ONNX file on TensorRT.

    Args:
        path: the ONNX file.
        precision, size, batch: as for `perception.backends.trt_build.build`. Left out, the plan that
            was built last for this file on this machine is used, whatever it was built for.
        build: build the plan if there is none; False makes that an error.
        graphs: capture CUDA graphs for shapes that repeat.
        prepare: where `infer_frames` prepares pictures: "gpu", "host", or "auto": on the GPU where the
            kernel can be compiled (NVRTC), else on the host with one log line.
        progress: see `perception.backends.trt_build.build`.

    Raises:
        EngineError: no TensorRT, no GPU, no plan (with `build=False`), or the plan cannot be run.
    """

    backend = "tensorrt"

    def __init__(
        self,
        path: Path,
        *,
        precision: str | None = None,
        size: tuple[int, int] | None = None,
        batch: int | None = None,
        build: bool = True,
        graphs: bool = True,
        prepare: str = "auto",
        progress: Callable[..., None] | None = None,
    ) -> None:
        path = Path(path)
        if prepare not in PREPARE:
            raise RequestError(unknown("place to prepare pictures", prepare, PREPARE))
        api = load_api()
        plan, why = find_plan(path, api, precision=precision, size=size, batch=batch)
        if plan is None:
            if not build:
                raise EngineError(
                    f"{path.name} has no TensorRT plan ({why}); `perception build {path}`"
                )
            from perception.backends.trt_build import build as build_now

            _log.warning(
                "%s: %s; building it for this machine now, which takes minutes and is done once",
                path.name,
                why,
            )
            made = build_now(
                path, precision=precision, size=size, batch=batch or 1, progress=progress
            )
            plan = made.plan
        self._open(api, plan.path.parent, PlanCache(plan.path.parent).read(plan), path, graphs)
        self._prepare = prepare
        self.plan: Plan | None = plan
        metadata = dict(plan.details.get("card", {}))
        self.card = EngineCard.from_metadata(metadata, where=str(path))

    @classmethod
    def from_bytes(
        cls,
        api: Api,
        data: bytes,
        *,
        path: Path,
        metadata: Mapping[str, str],
        graphs: bool = True,
    ) -> TensorRTEngine:
        """An engine from a plan that is not in the cache (yet)."""
        opened = cls.__new__(cls)
        opened._open(api, path, data, path, graphs)
        opened.plan = None
        opened.card = EngineCard.from_metadata(metadata, where=str(path))
        return opened

    def _open(self, api: Api, where: Path, data: bytes, path: Path, graphs: bool) -> None:
        trt = api.trt
        self.path = path
        self._api = api
        self._graphs = graphs
        self._prepare = "auto"
        self._closed = False
        self.cuda = Cuda()
        self.gpu = self.cuda.gpu()
        self._stream = Stream(self.cuda)
        self._preprocessor: DevicePreprocessor | None = None
        self._preparers: dict[tuple[InputSpec, tuple[int, int]], Preprocessor] = {}
        self._profiles: list[_Profile] = []
        self._tensors: dict[str, _Tensor] = {}
        self.native: Any = None
        try:
            api.errors.clear()
            try:
                runtime = self._runtime = trt.Runtime(api.logger)
            except (
                TypeError
            ) as error:  # what the bindings raise when the constructor returns nothing
                raise EngineError(
                    f"TensorRT cannot start on this GPU: {api.why(str(error))}"
                ) from error
            engine = runtime.deserialize_cuda_engine(data)
            if engine is None:
                raise EngineError(
                    f"{path.name}: TensorRT {api.version} refuses the plan: {api.why()}"
                )
            self.native = engine
            names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
            inputs = [n for n in names if engine.get_tensor_mode(n) == trt.TensorIOMode.INPUT]
            self._profiles = [
                self._open_profile(inputs, i) for i in range(engine.num_optimization_profiles)
            ]
            self._tensors = {name: self._allocate(name, name in inputs) for name in names}
            for profile in self._profiles:
                for tensor in self._tensors.values():
                    profile.context.set_tensor_address(tensor.name, tensor.device)
            self.inputs = tuple(self._input_spec(name) for name in inputs)
            self.outputs = tuple(self._output_spec(name) for name in names if name not in inputs)
        except BaseException:
            self.close()
            raise

    def _open_profile(self, inputs: Sequence[str], index: int) -> _Profile:
        engine = self.native
        context = engine.create_execution_context()
        if context is None:
            raise EngineError(f"{self.path.name}: no memory for its activations: {self._api.why()}")
        if not context.set_optimization_profile_async(index, self._stream.handle):
            raise EngineError(
                f"{self.path.name}: profile {index} cannot be used: {self._api.why()}"
            )
        self._stream.synchronize()
        ranges = {name: engine.get_tensor_profile_shape(name, index) for name in inputs}
        low = {name: tuple(shapes[0]) for name, shapes in ranges.items()}
        high = {name: tuple(shapes[2]) for name, shapes in ranges.items()}
        for name in inputs:
            context.set_input_shape(name, high[name])
        return _Profile(context, low, high)

    def _allocate(self, name: str, is_input: bool) -> _Tensor:
        dtype = np.dtype(self._api.trt.nptype(self.native.get_tensor_dtype(name)))
        size = 0
        for profile in self._profiles:
            shape = profile.high[name] if is_input else self._output_shape(profile.context, name)
            size = max(size, int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
        host, view = self._stream.host_memory(size)
        return _Tensor(name, is_input, dtype, size, self._stream.device_memory(size), host, view)

    def _output_shape(self, context: Any, name: str) -> Shape:
        shape = tuple(context.get_tensor_shape(name))
        if any(length < 0 for length in shape):
            raise EngineError(
                f"{self.path.name}: the size of output {name!r} {shape} depends on the picture; export it "
                "with a fixed number of results (NMS outside the network, or padded)"
            )
        return shape

    def _input_spec(self, name: str) -> TensorSpec:
        low, high = self._profiles[0].low[name], self._profiles[0].high[name]
        for profile in self._profiles[1:]:
            low = tuple(min(pair) for pair in zip(low, profile.low[name], strict=True))
            high = tuple(max(pair) for pair in zip(high, profile.high[name], strict=True))
        shape = tuple(a if a == b else -1 for a, b in zip(low, high, strict=True))
        return TensorSpec(name, self._tensors[name].dtype, shape)

    def _output_spec(self, name: str) -> TensorSpec:
        """Fixed where every profile's largest and smallest shapes agree."""
        seen = set()
        for profile in self._profiles:
            for shapes in (
                profile.low,
                profile.high,
            ):  # ends with `high` set, as `_allocate` expects
                for input_name, shape in shapes.items():
                    profile.context.set_input_shape(input_name, shape)
                seen.add(self._output_shape(profile.context, name))
        shape = tuple(axis[0] if len(set(axis)) == 1 else -1 for axis in zip(*seen, strict=True))
        return TensorSpec(name, self._tensors[name].dtype, shape)

    def infer(self, feeds: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Run the network.

        Args:
            feeds: one array per input name.

        Returns:
            One array per output name, in pinned memory, borrowed until the next call.

        Raises:
            EngineError: a feed has the wrong name, dtype or shape, or the GPU failed.
        """
        self._check(feeds)
        self._stream.use()
        shapes = {name: feed.shape for name, feed in feeds.items()}
        profile = self._shaped(shapes, "host")
        for name, feed in feeds.items():
            np.copyto(self._tensors[name].view(feed.shape), feed)
        sizes = [(self._tensors[name], feed.nbytes) for name, feed in feeds.items()]

        def work() -> None:
            for tensor, size in sizes:
                self._stream.to_device(tensor.device, tensor.host, size)
            self._enqueue(profile)

        return self._run(profile, work)

    def infer_frames(
        self, frames: Sequence[Frame], spec: InputSpec
    ) -> tuple[dict[str, npt.NDArray[Any]], list[PixelMapping]]:
        """Prepare pictures on the GPU (resize, pad, colour, normalise: one kernel each) and run.

        Same results as `perception.preprocess.Preprocessor` and `infer`, within rounding.

        Args:
            frames: the batch.
            spec: how the network wants its pictures; its first input is the picture input.

        Returns:
            The outputs, borrowed until the next call, and per picture where its pixels went.
        """
        self._open_or_raise()
        self._stream.use()
        name = self.inputs[0].name
        shape = (len(frames), *self._profiles[0].high[name][1:])
        size = (shape[3], shape[2])
        preprocessor = self._device_preprocessor()
        if preprocessor is None:
            return self._infer_prepared_on_host(frames, spec, name, shape)
        profile = self._shaped({name: shape}, "device")
        mappings = preprocessor(frames, spec, size, self._tensors[name].device)
        return self._run(profile, lambda: self._enqueue(profile)), mappings

    @property
    def most_pictures(self) -> int:
        """The largest batch that the plan takes."""
        return max(profile.high[self.inputs[0].name][0] for profile in self._profiles)

    def run_alone(self, batch: int = 1) -> None:
        """Run the network on whatever its inputs hold, with no copy in or out: what it costs by itself."""
        self._open_or_raise()
        self._stream.use()
        high = self._profiles[-1].high
        shapes = {
            spec.name: (batch, *high[spec.name][1:]) if spec.shape[0] < 0 else spec.shape
            for spec in self.inputs
        }
        profile = self._shaped(shapes, "alone")
        self._run(profile, lambda: self._execute(profile))

    def _device_preprocessor(self) -> DevicePreprocessor | None:
        """Compiled at first use; None where pictures are prepared on the host."""
        if self._preprocessor is None and self._prepare != "host":
            try:
                self._preprocessor = DevicePreprocessor(
                    self._stream, capability=self.gpu.capability
                )
            except (
                EngineError,
                RuntimeError,
            ) as error:  # cuda-python raises without the NVRTC library
                if self._prepare == "gpu":
                    raise EngineError(f"pictures cannot be prepared on the GPU: {error}") from error
                self._prepare = "host"
                _log.warning("pictures are prepared on the CPU, not on the GPU: %s", error)
        return self._preprocessor

    def _infer_prepared_on_host(
        self, frames: Sequence[Frame], spec: InputSpec, name: str, shape: Shape
    ) -> tuple[dict[str, npt.NDArray[Any]], list[PixelMapping]]:
        size = (shape[3], shape[2])
        if (spec, size) not in self._preparers:
            self._preparers[spec, size] = Preprocessor(spec, size=size)
        batch = np.empty(shape, np.float32)
        mappings = []
        for number, frame in enumerate(frames):
            tensor, mapping = self._preparers[spec, size](frame)
            batch[number] = tensor[0]
            mappings.append(mapping)
        return self.infer({name: batch.astype(self._tensors[name].dtype, copy=False)}), mappings

    def _check(self, feeds: Mapping[str, npt.NDArray[Any]]) -> None:
        self._open_or_raise()
        wanted = [spec.name for spec in self.inputs]
        if set(feeds) != set(wanted):
            raise EngineError(
                f"{self.path.name}: inputs must be {', '.join(wanted)}, but are {', '.join(feeds) or 'none'}"
            )
        for spec in self.inputs:
            have = feeds[spec.name].dtype
            if have != spec.dtype:
                raise EngineError(
                    f"{self.path.name}: {spec.name} must be {spec.dtype}, but is {have}"
                )

    def _open_or_raise(self) -> None:
        if self._closed:
            raise EngineError(f"{self.path.name}: the engine is closed")

    def _shaped(self, shapes: dict[str, Shape], mode: str) -> _Profile:
        """The first profile that takes these shapes, set to them."""
        profile = next((one for one in self._profiles if one.takes(shapes)), None)
        if profile is None:
            built = " or ".join(
                ", ".join(f"{name} {p.low[name]} to {p.high[name]}" for name in p.low)
                for p in self._profiles
            )
            raise EngineError(
                f"{self.path.name}: the plan was built for {built}, but got {shapes}; "
                "build it for that (`perception build --size --batch`)"
            )
        key = (mode, *sorted(shapes.items()))
        if key == profile.key:
            profile.runs += 1
            return profile
        if profile.graph is not None:
            self._stream.drop(profile.graph)
        for name, shape in shapes.items():
            if not profile.context.set_input_shape(name, shape):
                raise EngineError(f"{self.path.name}: {name} cannot be {shape}: {self._api.why()}")
        profile.key, profile.runs, profile.graph = key, 0, None
        profile.outputs = tuple(
            (spec.name, self._output_shape(profile.context, spec.name)) for spec in self.outputs
        )
        return profile

    def _enqueue(self, profile: _Profile) -> None:
        """Queue the network and the copies of its outputs."""
        self._execute(profile)
        for name, shape in profile.outputs:
            tensor = self._tensors[name]
            size = int(np.prod(shape, dtype=np.int64)) * tensor.dtype.itemsize
            self._stream.to_host(tensor.host, tensor.device, size)

    def _execute(self, profile: _Profile) -> None:
        if not profile.context.execute_async_v3(self._stream.handle):
            raise EngineError(f"{self.path.name}: inference failed: {self._api.why()}")

    def _run(self, profile: _Profile, work: Callable[[], None]) -> dict[str, npt.NDArray[Any]]:
        if self._graphs and profile.graph is None and profile.runs >= RUNS_BEFORE_CAPTURE:
            try:
                profile.graph = self._stream.capture(work)
            except EngineError as error:
                self._graphs = False
                _log.info("%s: runs without a CUDA graph: %s", self.path.name, error)
        if profile.graph is not None:
            profile.graph.launch()
        else:
            work()
        self._stream.synchronize()
        return {name: self._tensors[name].view(shape) for name, shape in profile.outputs}

    def inspect(self) -> str:
        """What TensorRT says about every layer of the plan: see `perception.backends.trt_inspect`."""
        self._open_or_raise()
        return inspect(self._api, self.native, self._profiles[0].context)

    def close(self) -> None:
        """Free everything on the GPU; twice does no harm. Borrowed outputs are invalid after it."""
        if self._closed:
            return
        self._closed = True
        if self._preprocessor is not None:
            self._preprocessor.close()
        self._stream.close()
        # Contexts before their engine, the engine before its runtime.
        self._profiles = []
        self._tensors = {}
        self.native = None
        self._runtime = None

    def __enter__(self) -> TensorRTEngine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
