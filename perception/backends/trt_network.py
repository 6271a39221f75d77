"""From a parsed ONNX file to the bytes of a plan: operators checked, types and flags set, built, watched."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perception.backends.cache_folder import write_atomically
from perception.backends.trt_half import like_nodes, nodes_kept_fp32, to_half
from perception.backends.trt_model import (
    ModelFile,
    Profile,
    with_fixed_shapes,
    with_kernel_shapes,
)
from perception.backends.trt_version import Api
from perception.backends.trt_watch import BuildProgress, Watch, monitor
from perception.errors import EngineError

STOP_S = 10.0
# Kernels that a build may choose from: all; none of cuBLAS and cuDNN; of the rest, only those that TensorRT
# brings along, not those it compiles for a convolution with what follows it.
TACTICS = ("all", "own", "ready")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BuiltPlan:
    """What a build gave.

    Attributes:
        data: the plan.
        slowest: what TensorRT timed longest, (layer and kind of kernel, seconds); empty where it did not say.
        kept: names of convolutions that stay in FP32, because this TensorRT has no FP16 kernel for them.
    """

    data: bytes
    slowest: tuple[tuple[str, float], ...] = ()
    kept: tuple[str, ...] = ()


def build_plan(
    api: Api,
    model: ModelFile,
    profiles: Sequence[Profile],
    *,
    precision: str,
    workspace: int,
    level: int | None = None,
    tactics: str = "all",
    timing_path: Path | None = None,
    progress: Callable[[BuildProgress], None] | None = None,
) -> BuiltPlan:
    """Build a plan.

    TensorRT works in a thread of its own, so that Ctrl-C is heard at once and the time can be shown even
    where TensorRT tells nothing.

    TensorRT 11 fails where it has no FP16 kernel for a convolution (older ones took FP32 there): then such
    convolutions stay in FP32, with a warning, and it is built again.

    Args:
        profiles: see `perception.backends.trt_model.profiles_for`.
        workspace: bytes of scratch memory.
        tactics: one of TACTICS.
        timing_path: file of measured kernel times, read and brought up to date.

    Raises:
        EngineError: an operator is not supported, or TensorRT fails; says why.
        KeyboardInterrupt: Ctrl-C; TensorRT is told to stop where it can be.
    """
    api.errors.clear()
    try:
        builder = api.trt.Builder(api.logger)
    except TypeError as error:  # what the bindings raise when the constructor returns nothing
        raise EngineError(f"TensorRT cannot start on this GPU: {api.why(str(error))}") from error
    converted = api.strongly_typed and precision != "fp32" and not model.half
    kept: frozenset[str] = frozenset()
    while True:
        network, parser = parse(api, builder, model, precision, profiles=profiles, keep=kept)
        config = builder.create_builder_config()
        _configure(api, config, precision=precision, workspace=workspace, level=level)
        _choose_tactics(api, config, tactics)
        if api.major < 10:
            _keep_fp32(api, config, network, model, precision)
        _add_profiles(api, builder, config, model, profiles)
        watch = Watch(progress)
        data = _run(api, builder, network, config, watch, timing_path)
        del parser  # it owns the weights that the network reads until here
        if data is not None:
            return BuiltPlan(bytes(data), tuple(watch.slowest()), tuple(sorted(kept)))
        more = like_nodes(model.proto, watch.without_kernel) - kept if converted else frozenset()
        if not more:
            hint = "" if tactics == "all" else f" (of the kernels that --tactics {tactics} leaves)"
            raise EngineError(f"{model.path.name}: TensorRT could not build it{hint}: {api.why()}")
        _log.warning(
            "%s: TensorRT %s has no %s kernel for %s: %d convolutions like it stay in FP32, and it is "
            "built again",
            model.path.name,
            api.version,
            precision,
            ", ".join(watch.without_kernel),
            len(more),
        )
        kept |= more


def _add_profiles(
    api: Api, builder: Any, config: Any, model: ModelFile, profiles: Sequence[Profile]
) -> None:
    for shapes in profiles:
        profile = builder.create_optimization_profile()
        for name, (low, usual, high) in shapes.items():
            profile.set_shape(name, low, usual, high)
        if config.add_optimization_profile(profile) < 0:
            raise EngineError(
                f"{model.path.name}: TensorRT refuses the shapes {shapes}: {api.why()}"
            )


def _run(
    api: Api, builder: Any, network: Any, config: Any, watch: Watch, timing_path: Path | None
) -> Any:
    """The plan, None where TensorRT fails; kernel times are kept however it ends."""
    timing = _attach_timing_cache(api, config, timing_path)
    if api.major >= 10:
        told = monitor(api, watch)  # named, so that it lives as long as the build
        config.progress_monitor = told
        watch.stop_s = STOP_S
    api.listeners.append(watch.hear)
    try:
        return watch.run(lambda: builder.build_serialized_network(network, config))
    finally:
        api.listeners.remove(watch.hear)
        # A build that goes on in its thread (8.6 after Ctrl-C) writes to its times still.
        if watch.ended and timing is not None and timing_path is not None:
            _save_timing_cache(timing, timing_path)
        for name, seconds in watch.slowest():
            _log.info("TensorRT took %.1f s to time %s", seconds, name)


def parse(
    api: Api,
    builder: Any,
    model: ModelFile,
    precision: str,
    *,
    profiles: Sequence[Profile] = (),
    keep: Collection[str] = (),
) -> tuple[Any, Any]:
    """Network and parser of a model, in the precision asked for.

    Args:
        profiles: dimensions of inputs that are the same in all of them become constants.
        keep: names of nodes that stay in FP32.

    Raises:
        EngineError: names the operators that this TensorRT does not know, or what the parser said.
    """
    trt = api.trt
    if api.major >= 11:
        flags = 0  # every network is strongly typed
    elif api.major >= 10:
        flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    else:
        flags = 1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)
    network = builder.create_network(flags)
    parser = trt.OnnxParser(network, api.logger)
    proto = with_fixed_shapes(model.proto, profiles)
    if api.strongly_typed and precision != "fp32" and not model.half:
        proto, kept = to_half(proto, keep)
        _log.debug("%s: %d nodes stay in FP32", model.path.name, len(kept))
    if not parser.parse(with_kernel_shapes(proto).SerializeToString()):
        said = [_parser_error(parser.get_error(index)) for index in range(parser.num_errors)]
        said += [api.why("")] if api.errors else []
        # Asked only now: an operator that a plugin provides is read, and yet not "supported".
        missing = [name for name in model.operators if not parser.supports_operator(name)]
        if missing:
            raise EngineError(
                f"{model.path.name}: TensorRT {api.version} does not support the operator"
                f"{'s' if len(missing) > 1 else ''} {', '.join(missing)}; export the network without, "
                f"or run it with `--backend onnxruntime` ({'; '.join(said) or api.why()})"
            )
        raise EngineError(
            f"{model.path.name}: TensorRT cannot read it: {'; '.join(said) or api.why()}"
        )
    api.errors.clear()
    return network, parser


def _parser_error(error: Any) -> str:
    return f"node {error.node()}: {' '.join(error.desc().split())}"


def _configure(api: Api, config: Any, *, precision: str, workspace: int, level: int | None) -> None:
    trt = api.trt
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if level is not None:
        config.builder_optimization_level = level
    if precision == "fp32":
        # TF32 has the mantissa of FP16; who asks for FP32 asks for the reference.
        config.clear_flag(trt.BuilderFlag.TF32)
    if api.major < 10:
        if precision in ("fp16", "int8"):
            config.set_flag(trt.BuilderFlag.FP16)
        if precision == "int8":
            config.set_flag(trt.BuilderFlag.INT8)


def _choose_tactics(api: Api, config: Any, tactics: str) -> None:
    """Leave out the kernels of cuBLAS and cuDNN, and those that are compiled while building."""
    trt = api.trt
    if api.major < 11:
        outside = [trt.TacticSource.CUBLAS, trt.TacticSource.CUBLAS_LT, trt.TacticSource.CUDNN]
    else:
        outside = []  # TensorRT 11 has no kernels of other libraries any more
    left_out = [] if tactics == "all" else outside
    if tactics == "ready":
        left_out.append(trt.TacticSource.JIT_CONVOLUTIONS)
    if left_out:
        sources = config.get_tactic_sources()
        for one in left_out:
            sources &= ~(1 << int(one))
        config.set_tactic_sources(sources)


def _keep_fp32(api: Api, config: Any, network: Any, model: ModelFile, precision: str) -> None:
    """TensorRT 8 picks precisions itself: ask it to leave in FP32 what `to_half` would."""
    trt = api.trt
    if precision == "fp32" or model.half:
        return
    names = nodes_kept_fp32(model.proto)
    if api.major < 10:
        config.set_flag(trt.BuilderFlag.PREFER_PRECISION_CONSTRAINTS)
        for index in range(network.num_layers):
            layer = network.get_layer(index)
            results = [layer.get_output(i) for i in range(layer.num_outputs)]
            floats = all(tensor.dtype == trt.DataType.FLOAT for tensor in results)
            if layer.name in names and floats and layer.type not in _plain_layers(trt):
                layer.precision = trt.DataType.FLOAT


def _plain_layers(trt: Any) -> tuple[Any, ...]:
    """Kinds of layer that compute nothing, and those that Q/DQ nodes become: they take no precision."""
    kind = trt.LayerType
    return (kind.CONSTANT, kind.SHAPE, kind.SHUFFLE, kind.QUANTIZE, kind.DEQUANTIZE, kind.IDENTITY)


def _attach_timing_cache(api: Api, config: Any, path: Path | None) -> Any:
    """A timing cache, from the file where it can be read; a bad file only costs time."""
    if path is None:
        return None
    known = path.read_bytes() if path.is_file() else b""
    cache = config.create_timing_cache(known)
    if cache is None or not config.set_timing_cache(cache, False):
        _log.warning(
            "%s is no timing cache for this TensorRT and GPU: starting a new one", path.name
        )
        api.errors.clear()  # what it said of the old one is no reason for what may fail later
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)
    return cache


def _save_timing_cache(cache: Any, path: Path) -> None:
    try:
        write_atomically(path, bytes(cache.serialize()))
    except EngineError as error:
        _log.warning("kernel times are not kept, the next build is slower: %s", error)
