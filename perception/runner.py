"""Running a pipeline over a source: the only file with threads.

    source thread --Channel--> calling thread: Pipeline --Channel--> sink thread

Stages run in the caller's thread, in frame order, so trackers need no locks. A file never loses a frame:
`put` waits. A live source never waits: its oldest waiting frame is dropped and counted. Results are never
dropped. A failure anywhere ends the run: what was already computed is still written, everything is closed,
every thread is joined, and the failure is raised in the caller.
"""

from __future__ import annotations

import logging
import threading
from array import array
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from time import monotonic
from typing import Any, Generic, TypeVar

import numpy as np

from perception.errors import PerceptionError, RunError, SinkError, SourceError
from perception.pipeline import Pipeline
from perception.sinks import Sink
from perception.sources import Source, SourceInfo
from perception.types import Event, Frame, FrameResult

log = logging.getLogger(__name__)

T = TypeVar("T")
WAITING_FRAMES = 3
WAITING_RESULTS = 4
CLOSE_TIMEOUT_S = 10.0
# A handshake with a camera cannot be ended; its thread, which has nothing to give, is waited for so long.
HANDSHAKE_S = 0.5
SAMPLES_KEPT = 20_000


class Aborted(Exception):
    """The other side of a channel is gone."""


class Channel(Generic[T]):
    """A bounded queue between two threads that cannot hang: closing or aborting wakes both sides.

    Args:
        capacity: most items waiting.
        drop_oldest: when full, `put` drops the oldest waiting item instead of waiting.
    """

    def __init__(self, capacity: int, *, drop_oldest: bool = False) -> None:
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._drop_oldest = drop_oldest
        self._changed = threading.Condition()
        self._closed = False
        self._aborted = False
        self.dropped = 0
        self.lost = 0

    def put(self, item: T) -> None:
        """Hand an item over; waits while full unless `drop_oldest`.

        Raises:
            Aborted: nobody will ever take it.
        """
        with self._changed:
            while len(self._items) >= self._capacity and not (self._aborted or self._closed):
                if self._drop_oldest:
                    self._items.popleft()
                    self.dropped += 1
                else:
                    self._changed.wait()
            if self._aborted or self._closed:
                raise Aborted
            self._items.append(item)
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        """Take items until the channel is closed and empty.

        Raises:
            Aborted: the channel was aborted; waiting items are lost.
        """
        while True:
            with self._changed:
                while not self._items and not (self._closed or self._aborted):
                    self._changed.wait()
                if self._aborted:
                    raise Aborted
                if not self._items:
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item

    def close(self) -> None:
        """No more items will come; waiting ones can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Wake both sides with `Aborted`; items still waiting are counted in `lost`."""
        with self._changed:
            self._aborted = True
            self.lost += len(self._items)
            self._items.clear()
            self._changed.notify_all()


@dataclass(slots=True)
class Ledger:
    """Where every frame of a stream went.

    Attributes:
        claimed: by the container; None when it does not say.
        decoded: handed over by the source.
        corrupt: damaged and skipped by the decoder.
        dropped: by the freshness policy of a live source.
        stale: older than the run's age limit when their turn came, and skipped.
        unprocessed: decoded, but the run was stopped before their turn.
        inferred: went through the pipeline.
        written: results that every sink has taken; equals `inferred` when there is no sink.
    """

    claimed: int | None = None
    decoded: int = 0
    corrupt: int = 0
    dropped: int = 0
    stale: int = 0
    unprocessed: int = 0
    inferred: int = 0
    written: int = 0

    @property
    def adds_up(self) -> bool:
        gone = self.dropped + self.stale + self.unprocessed
        return self.decoded == self.inferred + gone and self.inferred == self.written

    def as_dict(self) -> dict[str, int | bool | None]:
        return asdict(self) | {"adds_up": self.adds_up}


class Samples:
    """The newest `limit` numbers, 8 bytes each: a run of days needs no more memory than one of minutes."""

    def __init__(self, limit: int = SAMPLES_KEPT) -> None:
        self._values = array("d")
        self._limit = limit
        self._next = 0

    def append(self, value: float) -> None:
        if len(self._values) < self._limit:
            self._values.append(value)
        else:
            self._values[self._next] = value
            self._next = (self._next + 1) % self._limit

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[float]:
        """Oldest first."""
        yield from self._values[self._next :]
        yield from self._values[: self._next]


@dataclass(slots=True)
class Report:
    """What a run did: the ledger, and times from the last SAMPLES_KEPT frames (bounded memory).

    `stopped` is True when it was asked to end early; `objects` counts detections by class, `tracks` the
    tracks begun by task.
    """

    source: str = ""
    ledger: Ledger = field(default_factory=Ledger)
    wall_s: float = 0.0
    stopped: bool = False
    first_result_s: float | None = None
    damage: list[str] = field(default_factory=list)
    objects: dict[str, int] = field(default_factory=dict)
    tracks: dict[str, int] = field(default_factory=dict)
    stages: dict[str, Samples] = field(default_factory=dict)
    latency: Samples = field(default_factory=Samples)

    @property
    def fps(self) -> float:
        """Results per second of wall time, from the start of the run to its last output closed."""
        return self.ledger.inferred / self.wall_s if self.wall_s > 0 else 0.0

    def add(self, result: FrameResult) -> None:
        self.latency.append(result.latency)
        for name, seconds in result.timings.items():
            self.stages.setdefault(name, Samples()).append(seconds)
        for found in result.detections.values():
            counts = np.bincount(found.class_id, minlength=len(found.classes))
            for class_id in np.flatnonzero(counts):
                name = found.classes[class_id]
                self.objects[name] = self.objects.get(name, 0) + int(counts[class_id])
        for task, tracks in result.tracks.items():
            # Ids count from 1 and are never used twice, so the highest one seen is their number.
            highest = int(tracks.track_id.max()) if len(tracks) else 0
            self.tracks[task] = max(self.tracks.get(task, 0), highest)

    def as_dict(self) -> dict[str, Any]:
        """As the last line of the record."""
        return {
            "source": self.source,
            "ledger": self.ledger.as_dict(),
            "stopped": self.stopped,
            "fps": round(self.fps, 2),
            "wall_s": round(self.wall_s, 3),
            "first_result_s": _rounded(self.first_result_s),
            "latency_ms": quantiles_ms(self.latency),
            "stages_ms": {name: quantiles_ms(values) for name, values in self.stages.items()},
            "objects": dict(sorted(self.objects.items())),
            "tracks": self.tracks,
            "damage": self.damage,
        }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)


def quantiles_ms(seconds: Sequence[float] | Samples) -> dict[str, float]:
    """p50, p95, p99 and max in milliseconds; empty when there are no samples."""
    if not seconds:
        return {}
    values = np.percentile(np.fromiter(seconds, float), [50, 95, 99, 100]) * 1000
    return dict(zip(("p50", "p95", "p99", "max"), values.round(3).tolist(), strict=True))


class Run:
    """A pipeline running over a source. Iterate it for results, or call `drain`.

        with Run(source, pipeline, [sink]) as run:
            for result in run:
                ...
        print(run.report.as_dict())

    Iterating to the end, leaving the `with` block, or `close` end the run and release everything.

    Args:
        source: where frames come from; closed by the run.
        pipeline: closed by the run.
        sinks: opened with the source's info, closed by the run.
        max_age_s: frames older than this when their turn comes are skipped and counted as stale.
    """

    def __init__(
        self,
        source: Source,
        pipeline: Pipeline,
        sinks: Sequence[Sink] = (),
        *,
        max_age_s: float | None = None,
    ) -> None:
        self.source = source
        self.max_age_s = max_age_s
        self.pipeline = pipeline
        self.sinks = tuple(sinks)
        self.report = Report(source=source.info.name)
        self._frames: Channel[Frame] = Channel(
            1 if source.live else WAITING_FRAMES, drop_oldest=source.live
        )
        self._results: Channel[FrameResult] = Channel(WAITING_RESULTS)
        self._failures: list[BaseException] = []
        self._threads: list[threading.Thread] = []
        self._iterator: Generator[FrameResult, None, None] | None = None
        self._ended = False
        self._start = monotonic()

    @property
    def info(self) -> SourceInfo:
        """What is known about the source."""
        return self.source.info

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[FrameResult]:
        if self._iterator is None:
            self._iterator = self._iterate()
        return self._iterator

    def __next__(self) -> FrameResult:
        return next(iter(self))

    def drain(self) -> Report:
        """Run to the end; results go to the sinks."""
        for _ in self:
            pass
        return self.report

    def close(self) -> None:
        """End the run, wherever it is; results already computed are still written.

        Raises:
            PerceptionError: an output could not be finished.
        """
        if self._iterator is not None:
            self._iterator.close()
        self._end()

    def stop(self) -> None:
        """Ask the run to end after the frame at hand; from any thread, for signal handlers."""
        self.report.stopped = True
        self._frames.abort()
        self._attempt(self.source.close)

    def _iterate(self) -> Generator[FrameResult, None, None]:
        self._start = monotonic()
        try:
            for sink in self.sinks:
                sink.open(self.source.info)
            self._spawn("source", self._read)
            if self.sinks:
                self._spawn("sinks", self._write)
            yield from self._process()
        except BaseException as failure:
            # The thread's failure is the cause; what the caller met is only its consequence.
            if not self._failures or not isinstance(failure, Aborted):
                self._failures.insert(0, failure)
        finally:
            self._end()

    def _process(self) -> Iterator[FrameResult]:
        ledger = self.report.ledger
        # A live source tells what happened to its connection; a file has nothing to tell.
        news: Callable[[], list[Event]] = getattr(self.source, "take_events", list)
        for frame in self._frames:
            if self.max_age_s is not None and monotonic() - frame.arrived > self.max_age_s:
                ledger.stale += 1
                continue
            try:
                result = self.pipeline(frame)
                result.events[:0] = news()
            except BaseException:
                ledger.unprocessed += 1
                raise
            ledger.inferred += 1
            self.report.add(result)
            if self.report.first_result_s is None:
                self.report.first_result_s = monotonic() - self._start
            if self.sinks:
                self._results.put(result)
            yield result

    def _spawn(self, name: str, target: Any) -> None:
        thread = threading.Thread(target=target, name=f"perception-{name}", daemon=True)
        thread.start()
        self._threads.append(thread)

    def _read(self) -> None:
        undelivered = 0
        try:
            for frame in self.source:
                undelivered = 1
                self._frames.put(frame)
                undelivered = 0
            self._frames.close()
        except Aborted:
            self.report.ledger.unprocessed += undelivered
        except PerceptionError as failure:
            self._fail_reading(failure)
        except BaseException as failure:
            error = SourceError(f"{self.source.info.name}: {type(failure).__name__}: {failure}")
            error.__cause__ = failure
            self._fail_reading(error)

    def _fail_reading(self, failure: PerceptionError) -> None:
        # Frames decoded before the failure are good: they are still processed.
        self._failures.append(failure)
        self._frames.close()

    def _write(self) -> None:
        try:
            for result in self._results:
                for sink in self.sinks:
                    sink.write(result)
                self.report.ledger.written += 1
        except Aborted:
            pass
        except BaseException as failure:
            error: BaseException = failure
            if not isinstance(failure, PerceptionError):
                error = SinkError(f"writing a result failed: {type(failure).__name__}: {failure}")
                error.__cause__ = failure
            self._failures.append(error)
            self._results.abort()
            self._frames.abort()

    def _end(self) -> None:
        """Close everything, once; raise the first failure."""
        if self._ended:
            return
        self._ended = True
        ledger = self.report.ledger
        self._attempt(self.source.close)
        self._frames.abort()
        self._results.close()
        deadline = monotonic() + CLOSE_TIMEOUT_S
        for thread in self._threads:
            thread.join(HANDSHAKE_S)
            if thread is self._threads[0] and getattr(self.source, "connecting", False):
                log.info("%s: closed in the middle of a handshake", self.source.info.name)
                continue
            thread.join(max(0.1, deadline - monotonic()))
            if thread.is_alive():
                self._results.abort()
                self._failures.append(
                    RunError(
                        f"{thread.name} did not stop within {CLOSE_TIMEOUT_S:.0f} s; it was left behind"
                    )
                )
        ledger.unprocessed += self._frames.lost
        self._count()
        self.report.damage = list(self.source.damage)
        self.report.wall_s = monotonic() - self._start
        figures = self.report.as_dict()
        for sink in self.sinks:
            self._attempt(partial(sink.finish, figures))
            self._attempt(sink.close)
        self.report.wall_s = monotonic() - self._start
        self._attempt(self.pipeline.close)
        for failure in self._failures:
            if not isinstance(failure, (Aborted, GeneratorExit)):
                raise failure

    def counts(self) -> dict[str, Any]:
        """Where the frames went so far, and how the connection is; from any thread, while running."""
        self._count()
        found: dict[str, Any] = self.report.ledger.as_dict()
        del found["adds_up"]  # only at the end: until then frames are on their way
        for name in ("connected", "reconnects"):
            if hasattr(self.source, name):
                found[name] = getattr(self.source, name)
        return found

    def _count(self) -> None:
        ledger = self.report.ledger
        ledger.claimed = self.source.claimed
        ledger.decoded = self.source.decoded
        ledger.corrupt = self.source.corrupt
        ledger.dropped = self._frames.dropped
        if not self.sinks:
            ledger.written = ledger.inferred

    def _attempt(self, action: Any) -> None:
        try:
            action()
        except Exception as failure:
            self._failures.append(failure)


def run(source: Source, pipeline: Pipeline, sinks: Sequence[Sink] = ()) -> Report:
    """Run a pipeline over a source to its end, results to the sinks.

    Raises:
        PerceptionError: the first failure, after everything has been closed.
    """
    return Run(source, pipeline, sinks).drain()
