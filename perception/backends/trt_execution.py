"""An opened plan on one stream: its profiles, the memory of its tensors, its runs and their CUDA graphs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from perception.backends import TensorSpec
from perception.backends.trt_cuda import Graph, Stream
from perception.backends.trt_version import Api, numpy_type
from perception.errors import EngineError

Shape = tuple[int, ...]
# A graph is captured once a shape has come this often in a row: capturing costs several runs.
RUNS_BEFORE_CAPTURE = 2
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class BoundTensor:
    """One input or output: kept device and pinned host memory, as large as its largest shape."""

    name: str
    is_input: bool
    dtype: np.dtype[Any]
    device: int
    host: int
    bytes: npt.NDArray[np.uint8]

    def view(self, shape: Shape) -> npt.NDArray[Any]:
        """The host memory as an array of this shape."""
        return self.bytes[: self.size(shape)].view(self.dtype).reshape(shape)

    def size(self, shape: Shape) -> int:
        """Bytes of this shape."""
        return int(np.prod(shape, dtype=np.int64)) * self.dtype.itemsize


@dataclass(slots=True)
class OpenProfile:
    """One optimisation profile with its context and what was last run on it."""

    context: Any
    low: dict[str, Shape]
    high: dict[str, Shape]
    key: tuple[Any, ...] = ()
    outputs: tuple[tuple[str, Shape], ...] = ()
    runs: int = 0
    graph: Graph | None = None

    def takes(self, shapes: Mapping[str, Shape]) -> bool:
        """Whether inputs may have these shapes."""
        return all(
            len(shape) == len(self.low[name])
            and all(
                a <= n <= b for a, n, b in zip(self.low[name], shape, self.high[name], strict=True)
            )
            for name, shape in shapes.items()
        )


class Execution:
    """A plan that TensorRT has read, with everything that running it needs.

    Args:
        stream: on which everything runs; the memory is taken from it, and goes with it.
        data: the plan.
        name: for messages, the engine file's.
        graphs: capture CUDA graphs for shapes that repeat.

    Attributes:
        inputs, outputs: in the plan's order; -1 where profiles differ.
        tensors: their memory, by name.
        profiles: with their contexts.

    Raises:
        EngineError: TensorRT cannot start, refuses the plan, or there is no memory.
    """

    def __init__(self, api: Api, stream: Stream, data: bytes, *, name: str, graphs: bool) -> None:
        trt = api.trt
        self._api, self._stream, self._name, self._graphs = api, stream, name, graphs
        api.errors.clear()
        try:
            self._runtime: Any = trt.Runtime(api.logger)
        except TypeError as error:  # what the bindings raise when the constructor returns nothing
            raise EngineError(
                f"TensorRT cannot start on this GPU: {api.why(str(error))}"
            ) from error
        engine = self._runtime.deserialize_cuda_engine(data)
        if engine is None:
            raise EngineError(f"{name}: TensorRT {api.version} refuses the plan: {api.why()}")
        self.native: Any = engine
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        inputs = [n for n in names if engine.get_tensor_mode(n) == trt.TensorIOMode.INPUT]
        self.profiles = [
            self._open_profile(inputs, i) for i in range(engine.num_optimization_profiles)
        ]
        self.tensors = {name: self._allocate(name, name in inputs) for name in names}
        for profile in self.profiles:
            for tensor in self.tensors.values():
                profile.context.set_tensor_address(tensor.name, tensor.device)
        self.inputs = tuple(self._input_spec(name) for name in inputs)
        self.outputs = tuple(self._output_spec(name) for name in names if name not in inputs)

    def _open_profile(self, inputs: Sequence[str], index: int) -> OpenProfile:
        engine = self.native
        context = engine.create_execution_context()
        if context is None:
            raise EngineError(f"{self._name}: no memory for its activations: {self._api.why()}")
        low = {name: tuple(engine.get_tensor_shape(name)) for name in inputs}
        high = dict(low)
        # A plan whose every shape is fixed has nothing to choose: its first context is on profile 0 by itself.
        if index > 0 or any(min(shape, default=0) < 0 for shape in low.values()):
            if not context.set_optimization_profile_async(index, self._stream.handle):
                raise EngineError(
                    f"{self._name}: profile {index} cannot be used: {self._api.why()}"
                )
            self._stream.synchronize()
            ranges = {name: engine.get_tensor_profile_shape(name, index) for name in inputs}
            low = {name: tuple(shapes[0]) for name, shapes in ranges.items()}
            high = {name: tuple(shapes[2]) for name, shapes in ranges.items()}
        for name in inputs:
            context.set_input_shape(name, high[name])
        return OpenProfile(context, low, high)

    def _allocate(self, name: str, is_input: bool) -> BoundTensor:
        dtype = numpy_type(self.native.get_tensor_dtype(name))
        size = 0
        for profile in self.profiles:
            shape = profile.high[name] if is_input else self._output_shape(profile.context, name)
            size = max(size, int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
        host, view = self._stream.host_memory(size)
        return BoundTensor(name, is_input, dtype, self._stream.device_memory(size), host, view)

    def _output_shape(self, context: Any, name: str) -> Shape:
        shape = tuple(context.get_tensor_shape(name))
        if any(length < 0 for length in shape):
            raise EngineError(
                f"{self._name}: the size of output {name!r} {shape} depends on the picture; export it "
                "with a fixed number of results (NMS outside the network, or padded)"
            )
        return shape

    def _input_spec(self, name: str) -> TensorSpec:
        low, high = self.profiles[0].low[name], self.profiles[0].high[name]
        for profile in self.profiles[1:]:
            low = tuple(min(pair) for pair in zip(low, profile.low[name], strict=True))
            high = tuple(max(pair) for pair in zip(high, profile.high[name], strict=True))
        shape = tuple(a if a == b else -1 for a, b in zip(low, high, strict=True))
        return TensorSpec(name, self.tensors[name].dtype, shape)

    def _output_spec(self, name: str) -> TensorSpec:
        """Fixed where every profile's largest and smallest shapes agree."""
        seen = set()
        for profile in self.profiles:
            # Ends with `high` set, as a context is left by opening it.
            for shapes in (profile.low, profile.high):
                for input_name, shape in shapes.items():
                    profile.context.set_input_shape(input_name, shape)
                seen.add(self._output_shape(profile.context, name))
        shape = tuple(axis[0] if len(set(axis)) == 1 else -1 for axis in zip(*seen, strict=True))
        return TensorSpec(name, self.tensors[name].dtype, shape)

    def shaped(self, shapes: dict[str, Shape], mode: str) -> OpenProfile:
        """The first profile that takes these input shapes, set to them.

        Args:
            mode: what a run does besides the network; a graph is of one shape and one mode.

        Raises:
            EngineError: no profile takes them.
        """
        profile = next((one for one in self.profiles if one.takes(shapes)), None)
        if profile is None:
            built = " or ".join(
                ", ".join(f"{name} {p.low[name]} to {p.high[name]}" for name in p.low)
                for p in self.profiles
            )
            raise EngineError(
                f"{self._name}: the plan was built for {built}, but got {shapes}; "
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
                raise EngineError(f"{self._name}: {name} cannot be {shape}: {self._api.why()}")
        profile.key, profile.runs, profile.graph = key, 0, None
        profile.outputs = tuple(
            (spec.name, self._output_shape(profile.context, spec.name)) for spec in self.outputs
        )
        return profile

    def upload(self, shapes: Mapping[str, Shape]) -> None:
        """Queue the copies of inputs of these shapes from the host's memory."""
        for name, shape in shapes.items():
            tensor = self.tensors[name]
            self._stream.to_device(tensor.device, tensor.host, tensor.size(shape))

    def enqueue(self, profile: OpenProfile) -> None:
        """Queue the network and the copies of its outputs."""
        self.execute(profile)
        for name, shape in profile.outputs:
            tensor = self.tensors[name]
            self._stream.to_host(tensor.host, tensor.device, tensor.size(shape))

    def execute(self, profile: OpenProfile) -> None:
        """Queue the network.

        Raises:
            EngineError: TensorRT refuses.
        """
        if not profile.context.execute_async_v3(self._stream.handle):
            raise EngineError(f"{self._name}: inference failed: {self._api.why()}")

    def run(self, profile: OpenProfile, work: Callable[[], None]) -> dict[str, npt.NDArray[Any]]:
        """Do what `work` queues, as a graph once the shape has come often enough, and wait for it.

        Returns:
            One array per output name, in pinned memory, borrowed until the next run.
        """
        if self._graphs and profile.graph is None and profile.runs >= RUNS_BEFORE_CAPTURE:
            try:
                profile.graph = self._stream.capture(work)
            except EngineError as error:
                self._graphs = False
                _log.info("%s: runs without a CUDA graph: %s", self._name, error)
        if profile.graph is not None:
            profile.graph.launch()
        else:
            work()
        self._stream.synchronize()
        return {name: self.tensors[name].view(shape) for name, shape in profile.outputs}

    def close(self) -> None:
        """Let go of what TensorRT holds; the stream's memory is the stream's."""
        # Contexts before their engine, the engine before its runtime.
        self.profiles = []
        self.tensors = {}
        self.native = None
        self._runtime = None
