"""Running a pipeline over a source: the only file with threads.

    source thread --Channel--> calling thread: Pipeline --Channel--> sink thread

Stages run in the caller's thread, in frame order, so trackers need no locks. Networks that several threads may use
look at several frames of a recording at once, ahead of the caller's thread, which takes what they saw in order:

    source thread --Channel--> looking threads --Channel--> calling thread --Channel--> sink thread

Outputs that draw are a thread for themselves there, so that the next picture is drawn while one is encoded.
A live source gets its frames looked at one by one: what it shows now comes first. A file never loses a frame:
`put` waits. A live source never waits: its oldest waiting frame is dropped and counted. Results are never
dropped. A failure anywhere ends the run: what was already computed is still written, everything is closed,
every thread is joined, and the failure is raised in the caller.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Any, TypeAlias

from perception.channel import Aborted, Channel
from perception.errors import PerceptionError, RequestError, RunError, SinkError, SourceError
from perception.machine import usable_cores
from perception.pipeline import Pipeline, Work
from perception.report import Report
from perception.sinks import Sink
from perception.sources import Source, SourceInfo
from perception.types import Event, Frame, FrameResult

log = logging.getLogger(__name__)

WAITING_FRAMES = 3
WAITING_RESULTS = 4
WAITING_DRAWN = 2
# More looks at once than this only fill the memory: decoder and encoder need the other cores.
MOST_LOOKS = 4
CLOSE_TIMEOUT_S = 10.0
# A handshake with a camera cannot be ended; its thread, which has nothing to give, is waited for so long.
HANDSHAKE_S = 0.5


def looks_at_once(pipeline: Pipeline) -> int:
    """Frames of a recording that are looked at at once, if nothing else is said."""
    return min(MOST_LOOKS, usable_cores()) if pipeline.looks_together else 1


@dataclass(slots=True)
class _Looking:
    """The work on a frame, in a looking thread until `done`."""

    work: Work
    done: threading.Event = field(default_factory=threading.Event)


_Drawn: TypeAlias = tuple[FrameResult, list[Any]]


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
        looks: frames that are looked at at once, each in a thread, where the stages can; None: as many as there are
            cores, MOST_LOOKS at most, for recordings, and one for live sources.

    Raises:
        RequestError: `looks` is below 1.
    """

    def __init__(
        self,
        source: Source,
        pipeline: Pipeline,
        sinks: Sequence[Sink] = (),
        *,
        max_age_s: float | None = None,
        looks: int | None = None,
    ) -> None:
        self.source = source
        self.max_age_s = max_age_s
        self.pipeline = pipeline
        self.sinks = tuple(sinks)
        self.report = Report(source=source.info.name)
        self._frames: Channel[Frame] = Channel(
            1 if source.live else WAITING_FRAMES, drop_oldest=source.live
        )
        if looks is not None and looks < 1:
            raise RequestError(f"looks must be 1 or more, but is {looks}")
        if looks is None:
            looks = 1 if source.live else looks_at_once(pipeline)
        self.looks = looks if pipeline.looks_together else 1
        self._looking: Channel[_Looking] = Channel(self.looks + 1)
        self._turn = threading.Lock()
        self._results: Channel[FrameResult] = Channel(WAITING_RESULTS)
        # Results with what each sink made of them beforehand.
        self._drawn: Channel[_Drawn] | None = None
        if not source.live and any(hasattr(sink, "prepare") for sink in self.sinks):
            self._drawn = Channel(WAITING_DRAWN)
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
        self._looking.abort()
        self._attempt(self.source.close)

    def _iterate(self) -> Generator[FrameResult, None, None]:
        self._start = monotonic()
        try:
            for sink in self.sinks:
                sink.open(self.source.info)
            self._spawn("source", self._read)
            if self.looks > 1:
                for number in range(self.looks):
                    self._spawn(f"look-{number + 1}", self._look)
            if self._drawn is not None:
                self._spawn("draw", self._prepare)
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
        for work in self._looked_at() if self.looks > 1 else map(self.pipeline.plan, self._fresh()):
            try:
                result = self.pipeline.finish(work)
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

    def _fresh(self) -> Iterator[Frame]:
        """Frames as they come, without those that are too old."""
        for frame in self._frames:
            if self.max_age_s is not None and monotonic() - frame.arrived > self.max_age_s:
                self.report.ledger.stale += 1
            else:
                yield frame

    def _look(self) -> None:
        """One of the looking threads: takes the next frame, tells its place in the order, looks at it."""
        try:
            while True:
                with self._turn:
                    frame = next(self._fresh(), None)
                    if frame is None:
                        self._looking.close()
                        return
                    looking = _Looking(self.pipeline.plan(frame))
                    try:
                        self._looking.put(looking)
                    except Aborted:
                        self.report.ledger.unprocessed += 1
                        raise
                try:
                    self.pipeline.look(looking.work)
                finally:
                    looking.done.set()
        except Aborted:
            self._looking.abort()
        except BaseException as failure:
            self._failures.append(failure)
            self._looking.abort()

    def _looked_at(self) -> Iterator[Work]:
        """What the looking threads did, in the frames' order."""
        for looking in self._looking:
            looking.done.wait()
            yield looking.work

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

    def _prepare(self) -> None:
        """The drawing thread."""
        assert self._drawn is not None
        try:
            for result in self._results:
                made = [s.prepare(result) if hasattr(s, "prepare") else None for s in self.sinks]
                self._drawn.put((result, made))
        except Aborted:
            pass
        except BaseException as failure:
            self._fail_writing(failure)
        finally:
            # What is drawn is still written.
            self._drawn.close()

    def _write(self) -> None:
        """The sinks' thread."""
        try:
            for result, made in self._prepared():
                for sink, prepared in zip(self.sinks, made, strict=True):
                    if prepared is None:
                        sink.write(result)
                    else:
                        sink.write(result, prepared)  # type: ignore[call-arg]
                self.report.ledger.written += 1
        except Aborted:
            pass
        except BaseException as failure:
            self._fail_writing(failure)
            if self._drawn is not None:
                self._drawn.abort()

    def _prepared(self) -> Iterator[_Drawn]:
        if self._drawn is not None:
            yield from self._drawn
        else:
            nothing = [None] * len(self.sinks)
            yield from ((result, nothing) for result in self._results)

    def _fail_writing(self, failure: BaseException) -> None:
        error: BaseException = failure
        if not isinstance(failure, PerceptionError):
            error = SinkError(f"writing a result failed: {type(failure).__name__}: {failure}")
            error.__cause__ = failure
        self._failures.append(error)
        self._results.abort()
        self._frames.abort()
        self._looking.abort()

    def _end(self) -> None:
        """Close everything, once; raise the first failure."""
        if self._ended:
            return
        self._ended = True
        ledger = self.report.ledger
        self._attempt(self.source.close)
        self._frames.abort()
        self._looking.abort()
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
                if self._drawn is not None:
                    self._drawn.abort()
                self._failures.append(
                    RunError(
                        f"{thread.name} did not stop within {CLOSE_TIMEOUT_S:.0f} s; it was left behind"
                    )
                )
        ledger.unprocessed += self._frames.lost + self._looking.lost
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
