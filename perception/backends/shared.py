"""One engine for several streams: first come, first served, and what waits together runs together.

A stream that asks while the engine is busy waits in line. When the engine is free again, the requests at the
head of the line that have the same shape run as one batch, where the engine has a batch axis. Nobody waits for
company: batches form by themselves once there is more work than the engine does one by one.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from perception.backends import Engine, FrameEngine, TensorSpec, for_many_threads
from perception.card import EngineCard, InputSpec
from perception.types import Frame

if TYPE_CHECKING:
    from perception.preprocess import Mapping as PixelMapping

Arrays = dict[str, npt.NDArray[Any]]
MOST_TOGETHER = 8


class _Request:
    """One stream's call, waiting in line."""

    __slots__ = ("count", "done", "failure", "key", "value", "work")

    def __init__(self, key: Any, work: Any, count: int) -> None:
        self.key = key
        self.work = work
        self.count = count
        self.value: Any = None
        self.failure: BaseException | None = None
        self.done = False


class Line:
    """Callers in line; whoever finds the engine free serves the head of it, for all.

    Args:
        slots: calls that may run at the same time.
        together: most pictures, in requests of one key, that are served by one call. A single request may have
            more.
    """

    def __init__(self, slots: int, together: int) -> None:
        self._free = slots
        self._together = together
        self._waiting: deque[_Request] = deque()
        self._changed = threading.Condition()

    def __call__(
        self, key: Any, work: Any, serve: Callable[[list[Any]], list[Any]], *, count: int = 1
    ) -> Any:
        """Have `work`, of `count` pictures, served together with what else waits under `key`.

        Args:
            serve: called with a list of works, gives a list of values; in any caller's thread.

        Raises:
            Exception: whatever `serve` raised, in each of the callers it was to serve.
        """
        mine = _Request(key, work, count)
        with self._changed:
            self._waiting.append(mine)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: mine.done or (self._free and self._waiting))
                if mine.done:
                    break
                self._free -= 1
                batch = self._head()
            try:
                values = serve([request.work for request in batch])
                for request, value in zip(batch, values, strict=True):
                    request.value = value
            except BaseException as error:
                # Whatever it is: nobody in this batch may wait for ever, and the engine is free again.
                for request in batch:
                    request.failure = error
            with self._changed:
                self._free += 1
                for request in batch:
                    request.done = True
                self._changed.notify_all()
        if mine.failure is not None:
            raise mine.failure
        return mine.value

    def _head(self) -> list[_Request]:
        batch = [self._waiting.popleft()]
        room = self._together - batch[0].count
        while (
            self._waiting
            and self._waiting[0].count <= room
            and self._waiting[0].key == batch[0].key
        ):
            batch.append(self._waiting.popleft())
            room -= batch[-1].count
        return batch


class SharedEngine:
    """An `Engine` that several threads may call; what it returns belongs to the caller.

    Closing it does nothing: the owner of the engine closes that.

    Attributes:
        most_pictures: that one call may have.

    Args:
        engine: the one to share.
        slots: calls at the same time; by default one for each core where the engine is for many threads, else one.
        together: most pictures in one call; by default 1 on a CPU, where a batch gains nothing, and on a
            network without a batch axis, else MOST_TOGETHER or as many as the engine takes.
    """

    def __init__(
        self, engine: Engine, *, slots: int | None = None, together: int | None = None
    ) -> None:
        self.path = engine.path
        self.backend = engine.backend
        self.card: EngineCard | None = engine.card
        self.most_pictures = int(getattr(engine, "most_pictures", MOST_TOGETHER))
        self._engine = engine
        if hasattr(engine, "takes"):
            self.takes = engine.takes
        on_cpu = engine.backend in ("onnxruntime", "openvino")
        if slots is None:
            slots = max(1, os.cpu_count() or 1) if for_many_threads(engine) else 1
        if together is None:
            most = min(MOST_TOGETHER, self.most_pictures)
            together = 1 if on_cpu or not _has_batch_axis(engine) else most
        self._line = Line(slots, together)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return self._engine.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return self._engine.outputs

    def infer(self, feeds: Mapping[str, npt.NDArray[Any]]) -> Arrays:
        """As `Engine.infer`, from any thread; the arrays are the caller's to keep."""
        key = tuple((name, array.shape, array.dtype) for name, array in sorted(feeds.items()))
        count = max((array.shape[0] for array in feeds.values() if array.ndim), default=1)
        value: Arrays = self._line(key, feeds, self._infer, count=count)
        return value

    def close(self) -> None:
        """Nothing: other streams use it."""

    def _infer(self, works: list[Any]) -> list[Arrays]:
        if len(works) == 1:
            return [_copied(self._engine.infer(works[0]))]
        feeds = {name: np.concatenate([work[name] for work in works]) for name in works[0]}
        sizes = [len(next(iter(work.values()))) for work in works]
        return _split(self._engine.infer(feeds), sizes)


class SharedFrameEngine(SharedEngine):
    """A shared engine that prepares pictures itself."""

    def infer_frames(
        self, frames: Sequence[Frame], spec: InputSpec
    ) -> tuple[Arrays, list[PixelMapping]]:
        """As `FrameEngine.infer_frames`, from any thread; the arrays are the caller's to keep."""
        key = ("frames", spec, *(frame.size for frame in frames))

        def serve(works: list[Any]) -> list[Any]:
            engine = self._engine
            assert isinstance(engine, FrameEngine)
            every = [frame for work in works for frame in work]
            outputs, mappings = engine.infer_frames(every, spec)
            sizes = [len(work) for work in works]
            parts = _split(outputs, sizes) if len(works) > 1 else [_copied(outputs)]
            values = []
            for part, size in zip(parts, sizes, strict=True):
                values.append((part, mappings[:size]))
                mappings = mappings[size:]
            return values

        value: tuple[Arrays, list[PixelMapping]] = self._line(
            key, list(frames), serve, count=len(frames)
        )
        return value


def share(engine: Engine) -> SharedEngine:
    """The engine, made safe for several streams."""
    return SharedFrameEngine(engine) if isinstance(engine, FrameEngine) else SharedEngine(engine)


def _has_batch_axis(engine: Engine) -> bool:
    return all(spec.shape and spec.shape[0] == -1 for spec in (*engine.inputs, *engine.outputs))


def _copied(outputs: Mapping[str, npt.NDArray[Any]]) -> Arrays:
    return {name: np.array(array) for name, array in outputs.items()}


def _split(outputs: Mapping[str, npt.NDArray[Any]], sizes: list[int]) -> list[Arrays]:
    """Copies of each request's rows."""
    parts = []
    start = 0
    for size in sizes:
        parts.append({name: np.array(a[start : start + size]) for name, a in outputs.items()})
        start += size
    return parts
