"""A TensorRT without a GPU, for tests: it runs the ONNX file with ONNX Runtime behind TensorRT's API.

`make` builds the module of one version. Enumerations are made from that version's committed listing of
the real API, and a class, method or argument that the listing lacks is an error while the module is made:
the fake cannot offer what the real one does not have.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper

from tests.backends.fake_onnx import check, misaligned, types_of

LISTINGS = Path(__file__).with_name("tensorrt_api")
VERSIONS = ("8.6.0", "10.16.1.11", "11.4.0.106")
MAGIC = b"fake plan "
MISALIGNED = "Assertion failed: The input tensor shape misaligns with the input kernel shape."
ENUMERATIONS = (
    "BuilderFlag",
    "DataType",
    "LayerInformationFormat",
    "LayerType",
    "MemoryPoolType",
    "NetworkDefinitionCreationFlag",
    "ProfilingVerbosity",
    "TacticSource",
    "TensorIOMode",
)
DTYPES = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "INT8": np.int8,
    "INT32": np.int32,
    "INT64": np.int64,
    "BOOL": np.bool_,
    "UINT8": np.uint8,
}


def listing(version: str) -> dict[str, Any]:
    """The committed listing of a version's real API."""
    found: dict[str, Any] = json.loads((LISTINGS / f"{version}.json").read_text())
    return found


@dataclass
class State:
    """What a test tells the fake to do, and what the fake was told.

    Attributes:
        unsupported: operators the parser does not know.
        plugins: those of them that a plugin provides: they are parsed all the same.
        parse_errors: what the parser finds wrong with the file.
        refuse: what fails: "builder", "build", "shapes", "context", "execute", "timing", "capture".
        layers: what the inspector calls the layers' types; None works them out.
        output_offset: added to every float output, as a wrong kernel would.
        while_building: called in the build, for tests that interrupt or wait.
        builds: how many builds were done.
        steps: phases of a build and their steps.
    """

    cuda: Any
    unsupported: set[str] = field(default_factory=set)
    plugins: set[str] = field(default_factory=set)
    parse_errors: list[str] = field(default_factory=list)
    refuse: set[str] = field(default_factory=set)
    layers: str | None = None
    output_offset: float = 0.0
    dynamic_output: bool = False
    while_building: Callable[[], None] = lambda: None
    builds: int = 0
    configs: list[Any] = field(default_factory=list)
    networks: list[Any] = field(default_factory=list)
    gpu: str = "Fake GPU"


def make(version: str, state: State) -> ModuleType:
    """The module `tensorrt` of one version."""
    real = listing(version)
    major = int(version.split(".")[0])
    trt = ModuleType("tensorrt")
    trt.__version__ = version  # type: ignore[attr-defined]
    trt.state = state  # type: ignore[attr-defined]
    kinds: dict[str, Any] = {}
    for name in ENUMERATIONS:
        members = [
            key for key, value in real[name].items() if value == "=" and not key.startswith("_")
        ]
        kinds[name] = enum.IntEnum(name, {key: number for number, key in enumerate(members)})
        setattr(trt, name, kinds[name])

    def dtype_of(elem_type: int) -> Any:
        np_type = np.dtype(helper.tensor_dtype_to_np_dtype(elem_type))
        if np_type == np.int64 and "INT64" not in real["DataType"]:
            np_type = np.dtype(np.int32)  # what TensorRT 8 makes of it
        return kinds["DataType"][
            next(name for name, have in DTYPES.items() if np.dtype(have) == np_type)
        ]

    class ILogger:
        INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

        def __init__(self) -> None:
            self.made = True

        def log(self, severity: Any, msg: str) -> None:
            raise NotImplementedError

    class IProgressMonitor:
        def __init__(self) -> None:
            self.made = True

        def phase_start(self, phase_name: str, parent_phase: Any, num_steps: int) -> None: ...

        def step_complete(self, phase_name: str, step: int) -> bool:
            return True

        def phase_finish(self, phase_name: str) -> None: ...

    class ITensor:
        def __init__(self, dtype: Any) -> None:
            self.dtype = dtype

    class ILayer:
        def __init__(self, node: Any, types: dict[str, int]) -> None:
            self.name, self.num_outputs, self._node = node.name, len(node.output), node
            kind = {"Conv": "CONVOLUTION", "Constant": "CONSTANT"}.get(node.op_type, "ELEMENTWISE")
            self.type = kinds["LayerType"][kind]
            self._outputs = [ITensor(dtype_of(types.get(name, 1))) for name in node.output]
            if major < 11:
                self.precision = None

        def get_output(self, index: int) -> Any:
            return self._outputs[index]

    class INetworkDefinition:
        def __init__(self, flags: int) -> None:
            self._flags = flags
            self._model: Any = None
            self._layers: list[Any] = []
            state.networks.append(self)

        @property
        def num_layers(self) -> int:
            return len(self._layers)

        def get_layer(self, index: int) -> Any:
            return self._layers[index]

    class ITimingCache:
        def __init__(self, data: bytes) -> None:
            self._data = data

        def serialize(self) -> bytearray:
            return bytearray(b"timing " + version.encode())

    class IOptimizationProfile:
        def __init__(self) -> None:
            self._shapes: dict[str, Any] = {}

        def set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:
            assert len(min) == len(opt) == len(max)
            self._shapes[input] = [list(min), list(opt), list(max)]

    class IBuilderConfig:
        def __init__(self) -> None:
            self._set: set[Any] = set()
            self._cleared: set[Any] = set()
            self._profiles: list[Any] = []
            self._workspace = 0
            self.profiling_verbosity = kinds["ProfilingVerbosity"].LAYER_NAMES_ONLY
            self.builder_optimization_level = 3
            self._sources = (1 << len(kinds["TacticSource"])) - 1
            self._timing: Any = None
            if major >= 10:
                self.progress_monitor: Any = None

        def set_flag(self, flag: Any) -> None:
            self._set.add(flag)

        def clear_flag(self, flag: Any) -> None:
            self._cleared.add(flag)

        def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
            self._workspace = pool_size

        def get_tactic_sources(self) -> int:
            return self._sources

        def set_tactic_sources(self, tactic_sources: int) -> bool:
            self._sources = tactic_sources
            return True

        def add_optimization_profile(self, profile: Any) -> int:
            self._profiles.append(profile._shapes)
            return -1 if "shapes" in state.refuse else len(self._profiles) - 1

        def create_timing_cache(self, serialized_timing_cache: bytes) -> Any:
            return ITimingCache(bytes(serialized_timing_cache))

        def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
            self._timing = cache
            return not cache._data or cache._data == bytes(cache.serialize())

    class Builder:
        def __init__(self, logger: Any) -> None:
            assert isinstance(logger, ILogger) and logger.made
            self._logger = logger
            if "builder" in state.refuse:
                logger.log(ILogger.ERROR, "CUDA initialization failure with error: 35")
                raise TypeError("pybind11::init(): factory function returned nullptr")

        def create_network(self, flags: int = 0) -> Any:
            names = kinds["NetworkDefinitionCreationFlag"].__members__
            typed = major >= 11 or bool(flags & 1 << names.get("STRONGLY_TYPED", 31))
            assert typed or flags & 1 << names["EXPLICIT_BATCH"], "TensorRT 8 needs explicit batch"
            network = INetworkDefinition(flags)
            network._typed = typed
            return network

        def create_builder_config(self) -> Any:
            config = IBuilderConfig()
            state.configs.append(config)
            return config

        def create_optimization_profile(self) -> Any:
            return IOptimizationProfile()

        def build_serialized_network(self, network: Any, config: Any) -> Any:
            state.builds += 1
            monitor = getattr(config, "progress_monitor", None)
            if monitor is not None:
                monitor.phase_start("Build engine", None, 2)
                monitor.phase_start("Time kernels", "Build engine", 4)
            for step in range(4):
                state.while_building()
                if monitor is not None and not monitor.step_complete("Time kernels", step):
                    self._logger.log(ILogger.ERROR, "the build was cancelled")
                    return None
            if monitor is not None:
                monitor.phase_finish("Time kernels")
                monitor.step_complete("Build engine", 0)
                monitor.phase_finish("Build engine")
            if "build" in state.refuse:
                self._logger.log(ILogger.ERROR, "Error Code 10: could not find any implementation")
                return None
            detailed = config.profiling_verbosity == kinds["ProfilingVerbosity"].DETAILED
            header = {
                "version": version,
                "gpu": state.gpu,
                "profiles": config._profiles,
                "layers": _layers(network, config) if detailed else ["layer"],
            }
            text = json.dumps(header).encode()
            body = network._model.SerializeToString()
            return bytearray(MAGIC + b"%d %d\n" % (len(text), len(body)) + text + body)

    def _layers(network: Any, config: Any) -> list[dict[str, Any]]:
        """As the engine inspector writes them, in the words of TensorRT 8 and of 10."""
        flag = kinds["BuilderFlag"].__members__
        half = not network._typed and flag.get("FP16") in config._set
        types = types_of(network._model)
        found = []
        for layer in network._layers:
            node = layer._node
            number = types.get(node.input[0], 1) if node.input else 1
            words = {1: "Float", 10: "Half", 3: "Int8"}.get(number, "Int32")
            if node.input and node.input[0].startswith("dq"):
                words = "Int8"
            elif half and words == "Float" and getattr(layer, "precision", None) is None:
                words = "Row major linear FP16 format"
            if state.layers is not None:
                words = state.layers
            kind = {"Conv": "CaskConvolution", "Gemm": "gemm", "Cast": "Reformat"}.get(
                node.op_type, "kgen"
            )
            inputs = [{"Name": name, "Format/Datatype": words} for name in node.input]
            data = f"[ONNX Layer: {node.name}]<parted>[ONNX Layer: more]"
            layer = {"Name": node.name, "LayerType": kind, "Inputs": inputs, "Metadata": data}
            found.append(layer)
        return found

    class ParserError:
        def __init__(self, text: str) -> None:
            self._text = text

        def desc(self) -> str:
            return self._text

        def node(self) -> int:
            return 3

    class OnnxParser:
        def __init__(self, network: Any, logger: Any) -> None:
            self._network = network
            self._errors: list[Any] = []

        def supports_operator(self, op_name: str) -> bool:
            return op_name not in state.unsupported

        def parse(self, model: bytes, path: str | None = None) -> bool:
            self._errors = [ParserError(text) for text in state.parse_errors]
            graph = onnx.load_model_from_string(model).graph
            self._errors += [
                ParserError(MISALIGNED) for node in graph.node if misaligned(node, graph)
            ]
            operators = {node.op_type for node in graph.node}
            for name in sorted(operators & (state.unsupported - state.plugins)):
                self._errors.append(ParserError(f"No importer registered for op: {name}"))
            if self._errors:
                return False
            proto = onnx.load_model_from_string(model)
            onnx.checker.check_model(proto)
            types = types_of(proto)
            self._network._model = proto
            self._network._layers = [ILayer(node, types) for node in proto.graph.node]
            return True

        @property
        def num_errors(self) -> int:
            return len(self._errors)

        def get_error(self, index: int) -> Any:
            return self._errors[index]

    class Runtime:
        def __init__(self, logger: Any) -> None:
            assert isinstance(logger, ILogger)
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
                self._logger.log(ILogger.ERROR, said)
                return None
            try:
                return ICudaEngine(header, rest[first:])
            except ort.capi.onnxruntime_pybind11_state.Fail as error:  # the fake has no plugins
                self._logger.log(ILogger.ERROR, f"could not find plugin: {error}")
                return None

    class ICudaEngine:
        def __init__(self, header: dict[str, Any], body: bytes) -> None:
            self._header = header
            self._session = ort.InferenceSession(body, providers=["CPUExecutionProvider"])
            model = onnx.load_model_from_string(body)
            self._inputs = [node.name for node in self._session.get_inputs()]
            self._outputs = [node.name for node in self._session.get_outputs()]
            values = [*model.graph.input, *model.graph.output]
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
            return dtype_of(self._types[name])

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

    def init_libnvinfer_plugins(logger: Any, namespace: str) -> bool:
        assert isinstance(logger, ILogger)
        return True

    def nptype(trt_type: Any) -> Any:
        return DTYPES[trt_type.name]

    classes = [
        ILogger, IProgressMonitor, ITensor, ILayer, INetworkDefinition, ITimingCache,
        IOptimizationProfile, IBuilderConfig, Builder, ParserError, OnnxParser, Runtime, ICudaEngine,
        EngineInspector, IExecutionContext,
    ]  # fmt: skip
    for one in classes:
        if one is IProgressMonitor and major < 10:
            continue
        check(one, real)
        setattr(trt, one.__name__, one)
    assert real["init_libnvinfer_plugins"] == "(logger, namespace)"
    trt.init_libnvinfer_plugins = init_libnvinfer_plugins  # type: ignore[attr-defined]
    trt.nptype = nptype  # type: ignore[attr-defined]
    return trt
