"""The half of the fake TensorRT that builds: logger, monitor, network, parser, configuration, builder.

See `tests.backends.fake_tensorrt`.
"""

from __future__ import annotations

import json
from typing import Any

import onnx

from tests.backends.fake_onnx import dtype_of, grouped_half, misaligned, open_shape, types_of

MAGIC = b"fake plan "
MISALIGNED = "Assertion failed: The input tensor shape misaligns with the input kernel shape."


def build_classes(version: str, kinds: dict[str, Any], state: Any) -> list[type]:
    """The classes of one version."""
    major = int(version.split(".")[0])

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
            self._outputs = [
                ITensor(dtype_of(kinds["DataType"], types.get(name, 1))) for name in node.output
            ]
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
            self._check_shapes(network, config)
            for number in (1, 2):
                say = f"After dead-layer removal: {number * network.num_layers} layers"
                self._logger.log(ILogger.VERBOSE, say)
            for step in range(4):
                # As 8.6 and 10 write them, the name behind the first line or not.
                name = network.get_layer(step).name
                self._logger.log(ILogger.VERBOSE, f"=============== Computing costs for {name}")
                runner = f"--------------- Timing Runner: {name} (CaskConvolution[0x80000009])"
                self._logger.log(ILogger.VERBOSE, runner)
                state.while_building()
                if monitor is not None and not monitor.step_complete("Time kernels", step):
                    self._logger.log(ILogger.ERROR, "the build was cancelled")
                    return None
            if monitor is not None:
                monitor.phase_finish("Time kernels")
                monitor.step_complete("Build engine", 0)
                monitor.phase_finish("Build engine")
            self._logger.log(
                ILogger.VERBOSE, "Formats and tactics selection completed in 1.5 seconds."
            )
            missing = grouped_half(network._model) if "grouped half" in state.refuse else []
            if missing:
                self._logger.log(
                    ILogger.ERROR,
                    "No low-precision conv kernel available for this strongly-typed Conv/ConvTranspose. "
                    f"Consider keeping them in FP32. Failing node: {missing[0]}",
                )
                return None
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

        def _check_shapes(self, network: Any, config: Any) -> None:
            for value in network._model.graph.input:
                for shapes in config._profiles:
                    for shape in shapes[value.name]:
                        pairs = zip(open_shape(value), shape, strict=True)
                        assert all(have in (-1, asked) for have, asked in pairs), value.name

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

    return [
        ILogger, IProgressMonitor, ITensor, ILayer, INetworkDefinition, ITimingCache,
        IOptimizationProfile, IBuilderConfig, Builder, ParserError, OnnxParser,
    ]  # fmt: skip
