"""From a parsed ONNX file to the bytes of a plan: operators checked, types and flags set, built, watched."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from perception.backends.trt_cache import write_atomically
from perception.backends.trt_half import nodes_kept_fp32, to_half
from perception.backends.trt_model import ModelFile, Profile, with_kernel_shapes
from perception.backends.trt_version import Api
from perception.errors import EngineError

TICK_S = 0.2
STOP_S = 10.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BuildProgress:
    """What a build is doing.

    Attributes:
        phase: TensorRT's own words, or "building" where it does not say.
        share: 0..1 of the outermost phase; None where TensorRT does not say (8.6).
        elapsed_s: since the build began.
    """

    phase: str
    share: float | None
    elapsed_s: float

    def __str__(self) -> str:
        done = "" if self.share is None else f", {self.share:.0%}"
        return f"{self.phase}{done}, {self.elapsed_s:.0f} s"


def build_plan(
    api: Api,
    model: ModelFile,
    profiles: Sequence[Profile],
    *,
    precision: str,
    workspace: int,
    level: int | None = None,
    external_tactics: bool = True,
    timing_path: Path | None = None,
    progress: Callable[[BuildProgress], None] | None = None,
) -> bytes:
    """Build a plan.

    TensorRT works in a thread of its own, so that Ctrl-C is heard at once and the time can be shown even
    where TensorRT tells nothing.

    Args:
        profiles: see `perception.backends.trt_model.profiles_for`.
        workspace: bytes of scratch memory.
        timing_path: file of measured kernel times, read and brought up to date.

    Raises:
        EngineError: an operator is not supported, or TensorRT fails; says why.
        KeyboardInterrupt: Ctrl-C; TensorRT is told to stop where it can be.
    """
    trt = api.trt
    api.errors.clear()
    try:
        builder = trt.Builder(api.logger)
    except TypeError as error:  # what the bindings raise when the constructor returns nothing
        raise EngineError(f"TensorRT cannot start on this GPU: {api.why(str(error))}") from error
    network, parser = parse(api, builder, model, precision)
    config = builder.create_builder_config()
    _configure(api, config, precision=precision, workspace=workspace, level=level)
    if not external_tactics:
        _own_tactics_only(api, config)
    if api.major < 10:
        _keep_fp32(api, config, network, model, precision)
    for shapes in profiles:
        profile = builder.create_optimization_profile()
        for name, (low, usual, high) in shapes.items():
            profile.set_shape(name, low, usual, high)
        if config.add_optimization_profile(profile) < 0:
            raise EngineError(
                f"{model.path.name}: TensorRT refuses the shapes {shapes}: {api.why()}"
            )
    timing = _attach_timing_cache(config, timing_path)
    watch = _Watch(progress)
    if api.major >= 10:
        monitor = _monitor(api, watch)  # named, so that it lives as long as the build
        config.progress_monitor = monitor
        watch.stop_s = STOP_S
    data = watch.run(lambda: builder.build_serialized_network(network, config))
    del parser  # it owns the weights that the network reads until here
    if data is None:
        raise EngineError(f"{model.path.name}: TensorRT could not build it: {api.why()}")
    if timing is not None and timing_path is not None:
        _save_timing_cache(timing, timing_path)
    return bytes(data)


def parse(api: Api, builder: Any, model: ModelFile, precision: str) -> tuple[Any, Any]:
    """Network and parser of a model, in the precision asked for.

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
    proto = model.proto
    if api.strongly_typed and precision != "fp32" and not model.half:
        proto, kept = to_half(proto)
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


def _own_tactics_only(api: Api, config: Any) -> None:
    """Leave out the kernels of cuBLAS and cuDNN; TensorRT 11 has none of them any more."""
    trt = api.trt
    if api.major < 11:
        external = (trt.TacticSource.CUBLAS, trt.TacticSource.CUBLAS_LT, trt.TacticSource.CUDNN)
        sources = config.get_tactic_sources()
        for one in external:
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


def _attach_timing_cache(config: Any, path: Path | None) -> Any:
    """A timing cache, from the file where it can be read; a bad file only costs time."""
    if path is None:
        return None
    known = path.read_bytes() if path.is_file() else b""
    cache = config.create_timing_cache(known)
    if cache is None or not config.set_timing_cache(cache, False):
        _log.warning(
            "%s is no timing cache for this TensorRT and GPU: starting a new one", path.name
        )
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)
    return cache


def _save_timing_cache(cache: Any, path: Path) -> None:
    try:
        write_atomically(path, bytes(cache.serialize()))
    except EngineError as error:
        _log.warning("kernel times are not kept, the next build is slower: %s", error)


class _Watch:
    """Runs a build in a thread, tells the caller about it, and stops it on Ctrl-C."""

    def __init__(self, progress: Callable[[BuildProgress], None] | None) -> None:
        self._progress = progress
        self._start = monotonic()
        self.stop = False
        self.stop_s = 0.0  # how long to wait for a build that was told to stop
        self._phases: dict[str, tuple[str | None, int, int]] = {}
        self._lock = threading.Lock()

    def run(self, work: Callable[[], Any]) -> Any:
        result: list[Any] = []
        failure: list[BaseException] = []

        def target() -> None:
            try:
                result.append(work())
            except BaseException as error:
                failure.append(error)

        # A daemon: a build that cannot be stopped must not keep a program alive that was told to end.
        thread = threading.Thread(target=target, name="tensorrt-build", daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                thread.join(TICK_S)
                self._tell()
        except BaseException:
            self.stop = True
            thread.join(self.stop_s)
            raise
        if failure:
            raise EngineError(f"TensorRT failed while building: {failure[0]}") from failure[0]
        return result[0]

    def _tell(self) -> None:
        if self._progress is not None:
            phase, share = self.where()
            self._progress(BuildProgress(phase, share, monotonic() - self._start))

    def where(self) -> tuple[str, float | None]:
        """The innermost phase, and the share done of the outermost."""
        with self._lock:
            phases = dict(self._phases)
        if not phases:
            return "building", None
        share, innermost = 0.0, "building"
        parent: str | None = None
        weight = 1.0
        while True:
            inner = next((name for name, phase in phases.items() if phase[0] == parent), None)
            if inner is None:
                return innermost, min(1.0, share)
            _, steps, done = phases.pop(inner)
            share += weight * min(1.0, done / max(steps, 1))
            weight /= max(steps, 1)
            innermost = parent = inner

    def phase_start(self, name: str, parent: str | None, steps: int) -> None:
        with self._lock:
            self._phases[name] = (parent, steps, 0)

    def step_complete(self, name: str, step: int) -> bool:
        with self._lock:
            if name in self._phases:
                parent, steps, _ = self._phases[name]
                self._phases[name] = (parent, steps, step + 1)
        return not self.stop

    def phase_finish(self, name: str) -> None:
        with self._lock:
            self._phases.pop(name, None)


def _monitor(api: Api, watch: _Watch) -> Any:
    """Tells `watch` what TensorRT is doing, and TensorRT when to stop; None where 8.6 cannot."""
    trt = api.trt
    if api.major >= 10:

        class Monitor(trt.IProgressMonitor):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                trt.IProgressMonitor.__init__(self)

            def phase_start(
                self, phase_name: str, parent_phase: str | None, num_steps: int
            ) -> None:
                watch.phase_start(phase_name, parent_phase, num_steps)

            def step_complete(self, phase_name: str, step: int) -> bool:
                return watch.step_complete(phase_name, step)

            def phase_finish(self, phase_name: str) -> None:
                watch.phase_finish(phase_name)

        return Monitor()
    return None
