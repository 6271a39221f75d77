from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from perception.channel import Aborted, Channel
from perception.errors import PerceptionError, SinkError, SourceError, StageError
from perception.pipeline import Pipeline
from perception.report import Samples, quantiles_ms
from perception.runner import Run, run
from perception.sources import SourceInfo
from perception.types import Frame, FrameResult

PICTURE = np.zeros((8, 8, 3), np.uint8)


class Numbers:
    """A source of `count` frames; fails after `fail_at`; `pause_s` between frames."""

    def __init__(
        self,
        count: int = 20,
        *,
        live: bool = False,
        fail_at: int | None = None,
        pause_s: float = 0.0,
    ) -> None:
        self.live = live
        self.info = SourceInfo(name="numbers", size=(8, 8), time_base=Fraction(1, 10), frames=count)
        self.claimed = count
        self.decoded = self.corrupt = self.closed = 0
        self.damage: list[str] = []
        self._count, self._fail_at, self._pause_s = count, fail_at, pause_s
        self._stop = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self._count):
            if self._stop.wait(self._pause_s) or self._stop.is_set():
                return
            if index == self._fail_at:
                raise OSError("the disk is gone")
            self.decoded += 1
            yield Frame(PICTURE, index=index, pts=index, arrived=time.monotonic())

    def close(self) -> None:
        self.closed += 1
        self._stop.set()


class Silent(Numbers):
    """A camera that never sends anything until it is closed."""

    def __iter__(self) -> Iterator[Frame]:
        self._stop.wait()
        yield from ()


class Collect:
    """A sink that remembers; fails or pauses where told."""

    def __init__(
        self, *, fail_at: int | None = None, fail_in: str = "", pause_s: float = 0.0
    ) -> None:
        self.indices: list[int] = []
        self.report: dict[str, Any] | None = None
        self.closed = 0
        self._fail_at, self._fail_in, self._pause_s = fail_at, fail_in, pause_s

    def open(self, info: SourceInfo) -> None:
        if self._fail_in == "open":
            raise SinkError("cannot open")

    def write(self, result: FrameResult) -> None:
        time.sleep(self._pause_s)
        if result.frame.index == self._fail_at:
            raise OSError(28, "No space left on device")
        self.indices.append(result.frame.index)

    def finish(self, report: dict[str, Any]) -> None:
        if self._fail_in == "finish":
            raise SinkError("cannot finish")
        self.report = report

    def close(self) -> None:
        self.closed += 1


class Work:
    """A stage that can fail or be slow."""

    name = "work"
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()

    def __init__(self, *, fail_at: int | None = None, pause_s: float = 0.0) -> None:
        self.closed = 0
        self._fail_at, self._pause_s = fail_at, pause_s

    def __call__(self, result: FrameResult) -> None:
        time.sleep(self._pause_s)
        if result.frame.index == self._fail_at:
            raise ZeroDivisionError("division by zero")

    def close(self) -> None:
        self.closed += 1


class Looking(Work):
    """A stage that several threads may look with; frames take different times, and it notes how many look at once."""

    name = "look"
    together = True

    def __init__(self, *, fail_at: int | None = None) -> None:
        super().__init__(fail_at=fail_at)
        self.told: list[int] = []
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()

    def look(self, frame: Frame) -> int:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(0.004 if frame.index % 3 == 0 else 0.001)
        with self._lock:
            self._now -= 1
        if frame.index == self._fail_at:
            raise ZeroDivisionError("division by zero")
        return frame.index

    def tell(self, result: FrameResult, seen: int) -> None:
        assert seen == result.frame.index
        self.told.append(seen)

    def __call__(self, result: FrameResult) -> None:
        self.tell(result, self.look(result.frame))


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    left = [t.name for t in threading.enumerate() if t.name.startswith("perception-")]
    assert not left


def test_every_frame_goes_through_in_order_and_the_ledger_adds_up() -> None:
    source, sink, work = Numbers(50), Collect(), Work()
    report = run(source, Pipeline([work]), [sink])
    assert sink.indices == list(range(50))
    ledger = report.ledger
    assert (ledger.claimed, ledger.decoded, ledger.inferred, ledger.written) == (50, 50, 50, 50)
    assert ledger.adds_up
    assert (source.closed, work.closed, sink.closed) == (1, 1, 1)
    assert sink.report is not None
    assert sink.report["ledger"]["adds_up"]


def test_a_slow_sink_makes_a_file_wait_and_loses_nothing() -> None:
    sink = Collect(pause_s=0.005)
    assert run(Numbers(40), Pipeline([]), [sink]).ledger.written == 40
    assert sink.indices == list(range(40))


def test_a_slow_stage_makes_a_live_source_drop_the_oldest_and_says_so() -> None:
    source, sink = Numbers(60, live=True, pause_s=0.002), Collect()
    report = run(source, Pipeline([Work(pause_s=0.02)]), [sink])
    ledger = report.ledger
    assert ledger.dropped > 20
    assert ledger.decoded == 60 == ledger.inferred + ledger.dropped
    assert sink.indices[-1] == 59, "the newest frame is never the one dropped"
    assert ledger.adds_up


def test_a_failing_source_is_raised_after_its_good_frames_are_written() -> None:
    source, sink = Numbers(20, fail_at=7), Collect()
    with pytest.raises(SourceError, match="numbers: OSError: the disk is gone"):
        run(source, Pipeline([]), [sink])
    assert sink.indices == list(range(7))
    assert sink.closed == 1


def test_a_failing_stage_names_itself_and_the_frame() -> None:
    source, sink, work = Numbers(20), Collect(), Work(fail_at=5)
    with pytest.raises(
        StageError, match=r"stage 'work' failed on frame 5 \(0\.005 s\): ZeroDivisionError"
    ):
        run(source, Pipeline([work]), [sink])
    assert sink.indices == list(range(5))
    assert (source.closed, work.closed, sink.closed) == (1, 1, 1)


def test_a_full_disk_ends_the_run() -> None:
    source, sink = Numbers(1000), Collect(fail_at=3)
    with pytest.raises(SinkError, match="No space left"):
        run(source, Pipeline([]), [sink])
    assert source.decoded < 1000
    assert (source.closed, sink.closed) == (1, 1)


@pytest.mark.parametrize("where", ["open", "finish"])
def test_a_sink_that_cannot_open_or_finish_is_an_error(where: str) -> None:
    sink = Collect(fail_in=where)
    with pytest.raises(SinkError, match=f"cannot {where}"):
        run(Numbers(5), Pipeline([]), [sink])
    assert sink.closed == 1


def test_leaving_the_loop_early_closes_everything_and_writes_what_was_done() -> None:
    source, sink = Numbers(1000), Collect()
    with Run(source, Pipeline([]), [sink]) as going:
        for result in going:
            if result.frame.index == 9:
                break
    assert sink.indices == list(range(10))
    assert going.report.ledger.adds_up
    assert source.closed == 1


def test_an_error_in_the_callers_loop_reaches_the_caller_and_hangs_nothing() -> None:
    source = Numbers(1000)
    with pytest.raises(KeyError), Run(source, Pipeline([]), [Collect()]) as going:
        for _ in going:
            raise KeyError("mine")
    assert source.closed == 1


def test_stop_ends_a_run_with_complete_outputs() -> None:
    source, sink = Numbers(100_000), Collect(pause_s=0.001)
    going = Run(source, Pipeline([]), [sink])
    threading.Timer(0.1, going.stop).start()
    report = going.drain()
    assert report.stopped
    assert report.ledger.adds_up
    assert report.ledger.decoded < 100_000
    assert sink.report is not None


def test_stop_ends_a_run_whose_source_is_silent() -> None:
    going = Run(Silent(live=True), Pipeline([]))
    threading.Timer(0.05, going.stop).start()
    start = time.monotonic()
    assert going.drain().ledger.decoded == 0
    assert time.monotonic() - start < 5


def test_a_run_that_is_never_iterated_still_closes_its_parts() -> None:
    source, work = Numbers(), Work()
    with Run(source, Pipeline([work])):
        pass
    assert (source.closed, work.closed) == (1, 1)


def test_a_closed_channel_still_gives_what_waits() -> None:
    channel: Channel[int] = Channel(3)
    channel.put(1)
    channel.put(2)
    channel.close()
    assert list(channel) == [1, 2]
    with pytest.raises(Aborted):
        channel.put(3)


def test_an_aborted_channel_wakes_a_waiting_put_and_counts_what_is_lost() -> None:
    channel: Channel[int] = Channel(1)
    channel.put(1)
    threading.Timer(0.05, channel.abort).start()
    with pytest.raises(Aborted):
        channel.put(2)
    assert channel.lost == 1


def test_errors_of_a_run_are_perception_errors() -> None:
    assert issubclass(SourceError, PerceptionError)


def test_samples_keep_the_newest_in_order() -> None:
    samples = Samples(limit=3)
    assert not samples
    for value in range(5):
        samples.append(value)
        assert list(samples) == list(range(max(0, value - 2), value + 1))
    assert quantiles_ms(samples)["max"] == 4000


@pytest.mark.parametrize("looks", [1, 2, 3])
def test_frames_are_looked_at_together_and_told_in_order(looks: int) -> None:
    stage, sink = Looking(), Collect()
    report = Run(Numbers(60), Pipeline([stage, Work()]), [sink], looks=looks).drain()
    assert stage.told == sink.indices == list(range(60))
    assert stage.most == looks
    assert report.ledger.adds_up and report.ledger.inferred == 60
    assert min(report.stages["work"]) >= 0 and len(report.stages["work"]) == 60


def test_live_sources_and_stages_for_one_thread_are_looked_at_one_by_one() -> None:
    for source, stage in ((Numbers(5, live=True), Looking()), (Numbers(5), Work())):
        with Run(source, Pipeline([stage])) as run_:
            assert run_.looks == 1
            run_.drain()
    with pytest.raises(PerceptionError, match="looks must be 1 or more, but is 0"):
        Run(Numbers(5), Pipeline([Looking()]), looks=0)


def test_a_look_that_fails_ends_the_run_at_its_frame() -> None:
    stage, sink = Looking(fail_at=13), Collect()
    run_ = Run(Numbers(40), Pipeline([stage]), [sink], looks=3)
    with pytest.raises(StageError, match=r"stage 'look' failed on frame 13 .*ZeroDivisionError"):
        run_.drain()
    assert sink.indices == list(range(13))
    assert run_.report.ledger.adds_up


@pytest.mark.parametrize("how", ["stop", "leave", "sink"])
def test_a_run_that_is_ended_while_it_looks_ahead_loses_no_count(how: str) -> None:
    stage, sink = Looking(), Collect(fail_at=6 if how == "sink" else None)
    run_ = Run(Numbers(500), Pipeline([stage]), [sink], looks=3)
    try:
        with run_:
            for result in run_:
                if result.frame.index == 10 and how == "stop":
                    run_.stop()
                if result.frame.index == 10 and how == "leave":
                    break
    except SinkError:
        assert how == "sink"
    ledger = run_.report.ledger
    assert ledger.inferred < 500 and ledger.unprocessed > 0
    assert ledger.decoded == ledger.inferred + ledger.unprocessed
    assert stage.told == list(range(ledger.inferred))


def test_frames_read_before_the_source_failed_are_looked_at() -> None:
    stage, sink = Looking(), Collect()
    with pytest.raises(SourceError, match="the disk is gone"):
        Run(Numbers(30, fail_at=20), Pipeline([stage]), [sink], looks=2).drain()
    assert sink.indices == list(range(20))


class Drawing(Collect):
    """A sink that draws before it writes; notes in which threads."""

    def __init__(self, *, fail_drawing_at: int | None = None) -> None:
        super().__init__()
        self.drawn: list[int] = []
        self.threads: set[str] = set()
        self._fail_drawing_at = fail_drawing_at

    def prepare(self, result: FrameResult) -> str:
        self.threads.add(threading.current_thread().name)
        if result.frame.index == self._fail_drawing_at:
            raise ZeroDivisionError("no width")
        self.drawn.append(result.frame.index)
        return f"picture {result.frame.index}"

    def write(self, result: FrameResult, picture: str | None = None) -> None:
        if picture is None:
            picture = self.prepare(result)
        assert picture == f"picture {result.frame.index}"
        super().write(result)


def test_a_recording_is_drawn_in_a_thread_of_its_own() -> None:
    drawing, plain = Drawing(), Collect()
    report = Run(Numbers(30), Pipeline([Work()]), [plain, drawing]).drain()
    assert drawing.threads == {"perception-draw"}
    assert plain.indices == drawing.indices == drawing.drawn == list(range(30))
    assert report.ledger.adds_up
    live = Drawing()
    Run(Numbers(5, live=True, pause_s=0.01), Pipeline([Work()]), [live]).drain()
    assert live.threads == {"perception-sinks"}


def test_a_failure_while_drawing_ends_the_run_and_what_was_drawn_is_written() -> None:
    sink = Drawing(fail_drawing_at=7)
    run_ = Run(Numbers(300), Pipeline([Work(pause_s=0.001)]), [sink])
    with pytest.raises(SinkError, match=r"writing a result failed: ZeroDivisionError: no width"):
        run_.drain()
    assert sink.indices == list(range(7))
    assert run_.report.ledger.inferred < 300


def test_a_sink_that_fails_stops_the_drawing_too() -> None:
    sink = Drawing()
    sink._fail_at = 4
    with pytest.raises(SinkError, match="No space left"):
        Run(Numbers(300), Pipeline([Work(pause_s=0.001)]), [sink]).drain()
    assert sink.indices == list(range(4)) and len(sink.drawn) < 300
