"""Engines on TensorRT 8.6, 10.x and 11.x: named tensors, one stream, pinned and kept memory, CUDA graphs.

The plan comes from the cache; where there is none for this file, machine and request, it is built first,
with a message (`perception.backends.trt_build`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from perception.backends.trt_cache import Plan, PlanCache
from perception.backends.trt_cuda import Cuda, Stream
from perception.backends.trt_execution import Execution
from perception.backends.trt_inspect import inspect
from perception.backends.trt_plans import find_plan
from perception.backends.trt_preprocess import DevicePreprocessor
from perception.backends.trt_version import Api, load_api
from perception.card import EngineCard, InputSpec
from perception.errors import EngineError, RequestError, unknown
from perception.preprocess import Mapping as PixelMapping
from perception.preprocess import Preprocessor
from perception.types import Frame

PREPARE = ("auto", "gpu", "host")
_log = logging.getLogger(__name__)


class TensorRTEngine:
    """An ONNX file on TensorRT.

    Args:
        path: the ONNX file.
        precision, size, batch: as for `perception.backends.trt_build.build`. Left out, the plan that
            was built last for this file on this machine is used, whatever it was built for.
        build: build the plan if there is none; False makes that an error.
        graphs: capture CUDA graphs for shapes that repeat.
        prepare: where `infer_frames` prepares pictures: "gpu", "host", or "auto": on the GPU where the
            kernel can be compiled (NVRTC), else on the host with one log line. For a network whose input is
            not float32 it is the host in any case.
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
        self._open(api, PlanCache(plan.path.parent).read(plan), path, graphs)
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
        opened._open(api, data, path, graphs)
        opened.plan = None
        opened.card = EngineCard.from_metadata(metadata, where=str(path))
        return opened

    def _open(self, api: Api, data: bytes, path: Path, graphs: bool) -> None:
        self.path = path
        self._api = api
        self._prepare = "auto"
        self._closed = False
        self.cuda = Cuda()
        self.gpu = self.cuda.gpu()
        self._stream = Stream(self.cuda)
        self._preprocessor: DevicePreprocessor | None = None
        self._preparers: dict[tuple[InputSpec, tuple[int, int]], Preprocessor] = {}
        try:
            self._execution = Execution(api, self._stream, data, name=path.name, graphs=graphs)
        except BaseException:
            self._stream.close()
            raise
        self.inputs, self.outputs = self._execution.inputs, self._execution.outputs

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
        run = self._execution
        profile = run.shaped(shapes, "host")
        for name, feed in feeds.items():
            np.copyto(run.tensors[name].view(feed.shape), feed)

        def work() -> None:
            run.upload(shapes)
            run.enqueue(profile)

        return run.run(profile, work)

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
        run, name = self._execution, self.inputs[0].name
        shape = (len(frames), *run.profiles[0].high[name][1:])
        size = (shape[3], shape[2])
        preprocessor = self._device_preprocessor()
        if preprocessor is None:
            return self._infer_prepared_on_host(frames, spec, name, shape)
        profile = run.shaped({name: shape}, "device")
        mappings = preprocessor(frames, spec, size, run.tensors[name].device)
        return run.run(profile, lambda: run.enqueue(profile)), mappings

    @property
    def most_pictures(self) -> int:
        """The largest batch that the plan takes."""
        return max(profile.high[self.inputs[0].name][0] for profile in self._execution.profiles)

    def run_alone(self, batch: int = 1) -> None:
        """Run the network on whatever its inputs hold, with no copy in or out: what it costs by itself."""
        self._open_or_raise()
        self._stream.use()
        run = self._execution
        high = run.profiles[-1].high
        shapes = {
            spec.name: (batch, *high[spec.name][1:]) if spec.shape[0] < 0 else spec.shape
            for spec in self.inputs
        }
        profile = run.shaped(shapes, "alone")
        run.run(profile, lambda: run.execute(profile))

    def _device_preprocessor(self) -> DevicePreprocessor | None:
        """Compiled at first use; None where pictures are prepared on the host."""
        if self.inputs[0].dtype != np.float32:
            return None  # the kernel writes float32
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
        self, frames: Sequence[Frame], spec: InputSpec, name: str, shape: tuple[int, ...]
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
        return self.infer({name: batch.astype(self.inputs[0].dtype, copy=False)}), mappings

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

    def inspect(self) -> str:
        """What TensorRT says about every layer of the plan: see `perception.backends.trt_inspect`."""
        self._open_or_raise()
        return inspect(self._api, self._execution.native, self._execution.profiles[0].context)

    def close(self) -> None:
        """Free everything on the GPU; twice does no harm. Borrowed outputs are invalid after it."""
        if self._closed:
            return
        self._closed = True
        if self._preprocessor is not None:
            self._preprocessor.close()
        self._stream.close()
        self._execution.close()

    def __enter__(self) -> TensorRTEngine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
