"""The half of the fake TensorRT that runs: runtime, engine, inspector, execution context.

See `tests.backends.fake_tensorrt`.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper

from tests.backends.fake_onnx import dtype_of, open_shape
from tests.backends.fake_tensorrt_build import MAGIC


def run_classes(version: str, kinds: dict[str, Any], state: Any) -> list[type]:
    """The classes of one version."""

    class Runtime:
        def __init__(self, logger: Any) -> None:
            assert logger.made
            self._logger = logger
            if "runtime" in state.refuse:
                raise TypeError("pybind11::init(): factory function returned nullptr")

        def deserialize_cuda_engine(self, serialized_engine: bytes) -> Any:
            try:
                assert serialized_engine.startswith(MAGIC)
                head, _, rest = serialized_engine.partition(b"\n")
                first, second = (int(n) for n in head.removeprefix(MAGIC).split())
                assert len(rest) == first + second
                header = json.loads(rest[:first])
                assert header["version"] == version
            except (AssertionError, ValueError):
                said = "Serialization assertion stdVersionRead == kVERSION failed"
                self._logger.log(self._logger.ERROR, said)
                return None
            try:
                return ICudaEngine(header, rest[first:])
            except ort.capi.onnxruntime_pybind11_state.Fail as error:  # the fake has no plugins
                self._logger.log(self._logger.ERROR, f"could not find plugin: {error}")
                return None

    class ICudaEngine:
        def __init__(self, header: dict[str, Any], body: bytes) -> None:
            self._header = header
            self._session = ort.InferenceSession(body, providers=["CPUExecutionProvider"])
            model = onnx.load_model_from_string(body)
            self._inputs = [node.name for node in self._session.get_inputs()]
            self._outputs = [node.name for node in self._session.get_outputs()]
            values = [*model.graph.input, *model.graph.output]
            self._open = {value.name: open_shape(value) for value in model.graph.input}
            self._types = {value.name: value.type.tensor_type.elem_type for value in values}
            self._shapes: dict[Any, Any] = {}

        @property
        def num_io_tensors(self) -> int:
            return len(self._inputs) + len(self._outputs)

        @property
        def num_optimization_profiles(self) -> int:
            return len(self._header["profiles"])

        def get_tensor_name(self, index: int) -> str:
            return [*self._inputs, *self._outputs][index]

        def get_tensor_mode(self, name: str) -> Any:
            return kinds["TensorIOMode"]["INPUT" if name in self._inputs else "OUTPUT"]

        def get_tensor_dtype(self, name: str) -> Any:
            return dtype_of(kinds["DataType"], self._types[name])

        def get_tensor_shape(self, name: str) -> Any:
            return self._open[name]

        def get_tensor_profile_shape(self, name: str, profile_index: int) -> Any:
            return [tuple(shape) for shape in self._header["profiles"][profile_index][name]]

        def create_execution_context(self) -> Any:
            return None if "context" in state.refuse else IExecutionContext(self)

        def create_engine_inspector(self) -> Any:
            return EngineInspector(self)

    class EngineInspector:
        def __init__(self, engine: Any) -> None:
            self._engine = engine
            self.execution_context: Any = None

        def get_engine_information(self, format: Any) -> str:
            assert format == kinds["LayerInformationFormat"].JSON
            layers = json.loads(json.dumps(self._engine._header["layers"]))
            for layer in layers if self.execution_context is None else ():
                for tensor in layer["Inputs"]:
                    tensor["Format/Datatype"] = "N/A due to dynamic shapes"
            text = json.dumps({"Layers": layers, "Bindings": []})
            # 8.6.0 parts the names in the metadata with this, which is no JSON.
            return text.replace("<parted>", "\x1e")

    class IExecutionContext:
        def __init__(self, engine: Any) -> None:
            self._engine = engine
            self._profile = 0
            self._shapes: dict[str, Any] = {}
            self._addresses: dict[str, int] = {}

        def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
            self._profile = profile_index
            return "profile" not in state.refuse

        def set_input_shape(self, name: str, shape: Any) -> bool:
            low, _, high = self._engine._header["profiles"][self._profile][name]
            if not all(a <= n <= b for a, n, b in zip(low, shape, high, strict=True)):
                return False
            self._shapes[name] = tuple(shape)
            return "shape" not in state.refuse

        def get_tensor_shape(self, name: str) -> Any:
            if state.dynamic_output and name in self._engine._outputs:
                return (-1, 4)
            if name in self._shapes:
                return self._shapes[name]
            key = tuple(sorted(self._shapes.items()))
            if key not in self._engine._shapes:
                zeros = {name: self._zeros(name) for name in self._engine._inputs}
                results = self._engine._session.run(None, zeros)
                shapes = {n: r.shape for n, r in zip(self._engine._outputs, results, strict=True)}
                self._engine._shapes[key] = shapes
            return self._engine._shapes[key][name]

        def _zeros(self, name: str) -> Any:
            dtype = helper.tensor_dtype_to_np_dtype(self._engine._types[name])
            return np.zeros(self._shapes[name], dtype)

        def set_tensor_address(self, name: str, memory: int) -> bool:
            self._addresses[name] = int(memory)
            return True

        def execute_async_v3(self, stream_handle: int) -> bool:
            if "execute" in state.refuse:
                return False
            shapes, addresses = dict(self._shapes), dict(self._addresses)
            engine = self._engine

            def work() -> None:
                feeds = {}
                for name in engine._inputs:
                    array = self._zeros(name)
                    data = state.cuda.view(addresses[name], array.nbytes)
                    feeds[name] = np.frombuffer(data, array.dtype).reshape(shapes[name])
                results = engine._session.run(None, feeds)
                for name, result in zip(engine._outputs, results, strict=True):
                    if result.dtype == np.float32:
                        result = result + np.float32(state.output_offset)
                    state.cuda.view(addresses[name], result.nbytes)[:] = result.tobytes()

            captured = state.cuda.streams[int(stream_handle)].captured
            if "capture" in state.refuse and captured is not None:
                return False
            return bool(state.cuda.queue(stream_handle, work))

    return [Runtime, ICudaEngine, EngineInspector, IExecutionContext]
