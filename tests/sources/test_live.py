from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice, pairwise
from typing import Any

import pytest

from perception.errors import SourceError
from perception.pipeline import Pipeline
from perception.runner import Run, run
from perception.sinks.jsonl import record
from perception.sources import LiveOptions, live
from perception.sources.live import TIME_BASE, TimeLine, waits
from perception.sources.network import open_stream
from perception.types import FrameResult
from tests.sources.senders import TcpSender, transport_stream


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "FIRST_WAIT_S", 0.05)


def served(*bodies: bytes, **how: Any) -> Iterator[TcpSender]:
    sender = TcpSender(list(bodies), **how)
    yield sender
    sender.close()


@pytest.fixture
def twice() -> Iterator[TcpSender]:
    yield from served(transport_stream(), transport_stream(size=(192, 96)))


@pytest.fixture
def silent() -> Iterator[TcpSender]:
    yield from served(transport_stream(), silent_after=0)


class Keep:
    """A sink that keeps the record."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def open(self, info: object) -> None: ...

    def write(self, result: FrameResult) -> None:
        self.lines.append(record(result))

    def finish(self, report: dict[str, Any]) -> None: ...

    def close(self) -> None: ...


def test_a_lost_connection_is_made_again_and_the_gap_is_in_the_record(twice: TcpSender) -> None:
    source = open_stream(twice.url, options=LiveOptions(reconnect_for_s=0.5, read_timeout_s=1))
    sink = Keep()
    with pytest.raises(SourceError, match=r"no connection for 0\.5 s .*refused"):
        run(source, Pipeline([]), [sink])
    assert source.decoded == 50
    assert source.reconnects == 1
    events = [event for line in sink.lines for event in line["events"]]
    assert [event["kind"] for event in events[:2]] == ["disconnect", "reconnect"]
    assert events[0]["reason"] == "the sender ended the stream"
    assert events[1]["size"] == [192, 96]
    assert 0.03 < events[1]["gap_s"] < 2
    assert "the connection was lost 2 times" in source.damage[0]


def test_frames_keep_their_size_and_time_runs_on_over_a_reconnect(twice: TcpSender) -> None:
    source = open_stream(twice.url)
    try:
        frames = list(islice(source, 50))
    finally:
        source.close()
    assert {frame.size for frame in frames} == {(160, 120)}
    assert [frame.index for frame in frames] == list(range(50))
    steps = [b.pts - a.pts for a, b in pairwise(frames)]
    assert steps[:24] == steps[25:] == [3600] * 24, "25 frames a second, as the sender's clock says"
    gap = frames[25].arrived - frames[24].arrived
    assert steps[24] * TIME_BASE == pytest.approx(gap, abs=1e-4)
    assert all(frame.time_base == TIME_BASE for frame in frames)
    assert frames[-1].wall == pytest.approx(time.time(), abs=30)


def test_another_codec_after_a_reconnect_is_decoded() -> None:
    for sender in served(transport_stream(), transport_stream(codec="mpeg2video")):
        source = open_stream(sender.url)
        frames = list(islice(source, 45))
        source.close()
        assert len(frames) == 45
        assert frames[-1].image.std() > 10


def test_a_silent_sender_is_a_lost_connection(silent: TcpSender) -> None:
    source = open_stream(silent.url, options=LiveOptions(read_timeout_s=0.3, reconnect_for_s=0.6))
    with pytest.raises(SourceError, match=r"nothing arrived for 0\.3 s|no connection"):
        for _ in source:
            pass
    assert source.decoded == 25
    assert source.take_events()[0].data["reason"] == "nothing arrived for 0.3 s"
    source.close()


def test_closing_ends_a_waiting_read_at_once(silent: TcpSender) -> None:
    source = open_stream(silent.url, options=LiveOptions(read_timeout_s=60))
    list(islice(source, 20))
    closed: list[float] = []

    def close() -> None:
        closed.append(time.monotonic())
        source.close()

    timer = threading.Timer(0.2, close)
    timer.start()
    list(source)
    assert time.monotonic() - closed[0] < 1
    timer.join()
    source.close()


def test_closing_ends_the_wait_for_a_reconnect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "FIRST_WAIT_S", 60.0)
    for sender in served(transport_stream()):
        source = open_stream(sender.url)
        timer = threading.Timer(0.3, source.close)
        timer.start()
        start = time.monotonic()
        assert len(list(source)) == 25
        assert time.monotonic() - start < 5
        timer.join()


def test_a_run_does_not_wait_for_a_handshake_that_nobody_answers() -> None:
    answers, asked = threading.Event(), threading.Event()
    for sender in served(transport_stream(), transport_stream()):
        source = open_stream(sender.url)
        really = source._connect

        def connect(timeout_s: float, really: Any = really) -> Any:
            asked.set()
            answers.wait(30)
            return really(timeout_s)

        source._connect = connect
        going = Run(source, Pipeline([]))
        reader = threading.Thread(target=going.drain)
        reader.start()
        assert asked.wait(10)
        start = time.monotonic()
        going.stop()
        reader.join(5)
        assert time.monotonic() - start < 2
        assert going.report.ledger.adds_up
        left = going._threads[0]
        answers.set()
        left.join(5)
        assert not left.is_alive(), "it ends by itself"
        assert source._connection is None


def test_the_result_of_a_live_frame_says_its_age(silent: TcpSender) -> None:
    source = open_stream(silent.url, options=LiveOptions(read_timeout_s=0.2, reconnect_for_s=0.1))
    sink = Keep()
    with pytest.raises(SourceError):
        run(source, Pipeline([]), [sink])
    assert sink.lines
    assert all(0 <= line["age_ms"] < 10_000 and line["wall"] > 1.6e9 for line in sink.lines)


def test_a_lost_connection_is_let_go() -> None:
    for sender in served(*[transport_stream()] * 4):
        source = open_stream(sender.url)
        frames = iter(source)
        lost = []
        while source.reconnects < 3:
            if source._connection is not None and source.decoded % 25 == 10:
                lost.append(weakref.ref(source._connection))
            next(frames)
        gc.collect()
        assert len({id(reference) for reference in lost}) >= 3
        assert [reference() for reference in lost] == [None] * len(lost)
        source.close()


def test_waits_grow_to_ten_seconds_and_are_never_equal() -> None:
    drawn = list(islice(waits(), 40))
    assert drawn[0] == pytest.approx(live.FIRST_WAIT_S, rel=0.21)
    assert all(8 - 1e-9 <= wait <= 12 + 1e-9 for wait in drawn[20:])
    assert len(set(drawn)) == 40


class TestTimeLine:
    def test_follows_the_streams_clock_from_zero(self) -> None:
        line = TimeLine()
        assert [line(Fraction(50 + i, 10), 7.0 + i, 0.1) for i in range(3)] == [0, 9000, 18000]

    @pytest.mark.parametrize("stamp", [Fraction(0), Fraction(900), Fraction(5)])
    def test_takes_arrival_times_where_the_clock_was_set(self, stamp: Fraction) -> None:
        line = TimeLine()
        line(Fraction(5), 100.0, 0.04)
        assert line(stamp, 100.5, 0.04) == 45_000
        assert line(stamp + Fraction(1, 25), 100.9, 0.04) == 48_600

    def test_takes_arrival_times_where_there_are_no_stamps(self) -> None:
        line = TimeLine()
        assert [line(None, at, 0.04) for at in (1.0, 1.5, 1.5)] == [0, 45_000, 45_001]

    def test_counts_the_gap_of_a_new_connection_by_arrival(self) -> None:
        line = TimeLine()
        line(Fraction(3), 10.0, 0.04)
        line.new_connection()
        assert line(Fraction(3), 12.0, 0.04) == 180_000

    def test_ignores_arrival_times_of_a_pipe(self) -> None:
        line = TimeLine(paced=False)
        line(None, 10.0, 0.04)
        assert line(None, 99.0, 0.04) == 3600


@pytest.mark.parametrize(("answers", "early"), [([False, True], True), ([True, True], False)])
def test_a_sender_that_comes_back_is_not_kept_waiting(
    monkeypatch: pytest.MonkeyPatch, answers: list[bool], early: bool
) -> None:
    """The wait ends when a closed port opens; a port that was open all the while is left in peace."""
    monkeypatch.setattr(live, "KNOCK_S", (0.02, 0.03))
    asked = iter(answers)
    for sender in served(transport_stream()):
        source = open_stream(sender.url)
        source._knock = lambda: next(asked, True)
        start = time.monotonic()
        assert not source._wait(0.6)
        assert (time.monotonic() - start < 0.4) is early
        source.close()
