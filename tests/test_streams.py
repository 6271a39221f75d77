from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import pytest

from perception import streams as module
from perception.config import Config
from perception.errors import InputError, SourceError, StageError
from perception.sources import LiveOptions, live, open_source
from perception.streams import Stream, Streams
from perception.types import FrameResult
from tests.sources.senders import HttpSender, TcpSender, transport_stream

NOTHING = Config("nothing", ())


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(live, "FIRST_WAIT_S", 0.05)
    yield
    left = [t.name for t in threading.enumerate() if t.name.startswith("perception-")]
    assert not left


def until(condition: Any, timeout_s: float = 20.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_stream_has_a_record_of_its_own(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.ts").write_bytes(transport_stream())
    with Streams(NOTHING) as streams:
        for name in "ab":
            streams.add(tmp_path / f"{name}.ts", jsonl=tmp_path / f"{name}.jsonl")
        assert streams.wait(30)
        reports = [stream.report for stream in streams.streams]
    for number, name in enumerate("ab"):
        found = lines(tmp_path / f"{name}.jsonl")
        assert {line["stream"] for line in found[1:-1]} == {number}
        assert [line["frame"] for line in found[1:-1]] == list(range(25))
    assert all(report is not None and report.ledger.adds_up for report in reports)


def test_killing_one_camera_changes_nothing_for_the_others() -> None:
    cameras = [HttpSender() for _ in range(3)]
    counts: Counter[int] = Counter()
    events: list[tuple[int, str]] = []

    def take(result: FrameResult) -> None:
        counts[result.frame.stream] += 1
        events.extend((result.frame.stream, event.kind) for event in result.events)

    with Streams(NOTHING, on_result=take) as streams:
        for camera in cameras:
            streams.add(f"{camera.url}/video")
        until(lambda: min(counts[i] for i in range(3)) > 5)
        cameras[1].close()
        until(
            lambda: (
                streams.streams[1].run is not None
                and not streams.streams[1].run.counts()["connected"]
            )
        )
        before = dict(counts)
        until(lambda: min(counts[i] - before[i] for i in (0, 2)) > 15)
        assert counts[1] <= before[1] + 1
        assert not events, "the others did not notice"
        assert not any(stream.ended.is_set() for stream in streams.streams)
    for number in (0, 2):
        cameras[number].close()


def test_a_camera_that_is_not_there_yet_is_tried_again() -> None:
    camera = TcpSender([transport_stream()], silent_after=0)
    port = camera.port
    camera.close()
    with Streams(NOTHING) as streams:
        stream = streams.add(f"tcp://127.0.0.1:{port}")
        until(lambda: isinstance(stream.failure, InputError))
        assert stream.run is None
        camera = TcpSender([transport_stream()], silent_after=0, port=port)
        until(lambda: stream.run is not None and stream.run.counts()["decoded"] > 10)
        assert stream.failure is None
    camera.close()


def test_a_stop_does_not_wait_for_a_camera_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = threading.Event()

    def slow(*words: Any, **options: Any) -> Any:
        answers.wait(30)
        raise InputError("it did not answer")

    monkeypatch.setattr(module, "open_source", slow)
    try:
        with Streams(NOTHING) as streams:
            stream = streams.add("rtsp://127.0.0.1/live")
            until(lambda: stream._opening)
            start = time.monotonic()
            streams.stop()
            assert streams.wait(2)
        assert time.monotonic() - start < 2
    finally:
        answers.set()
    assert stream._thread is not None
    stream._thread.join(5)
    assert stream.failure is None


def test_a_file_that_is_not_there_ends_its_stream_only(tmp_path: Path) -> None:
    good = tmp_path / "good.ts"
    good.write_bytes(transport_stream())
    with Streams(NOTHING) as streams:
        missing = streams.add(tmp_path / "missing.ts")
        there = streams.add(good)
        assert streams.wait(20)
    assert isinstance(missing.failure, InputError)
    assert there.failure is None
    assert there.report is not None
    assert there.report.ledger.inferred == 25


def test_a_lost_camera_is_given_up_after_its_time() -> None:
    camera = TcpSender([transport_stream()])
    with Streams(NOTHING) as streams:
        stream = streams.add(camera.url, live=LiveOptions(reconnect_for_s=0.3))
        assert streams.wait(20)
    camera.close()
    assert isinstance(stream.failure, SourceError)
    assert stream.report is not None
    assert stream.report.ledger.decoded == 25


def test_streams_come_and_go_while_others_run(tmp_path: Path) -> None:
    camera = HttpSender()
    with Streams(NOTHING) as streams:
        first = streams.add(f"{camera.url}/video", jsonl=tmp_path / "0.jsonl")
        until(lambda: first.run is not None and first.run.counts()["inferred"] > 3)
        second = streams.add(f"{camera.url}/video")
        until(lambda: second.run is not None and second.run.counts()["inferred"] > 3)
        report = streams.drop(first)
        assert report is not None
        assert report.ledger.adds_up
        assert "report" in lines(tmp_path / "0.jsonl")[-1]
        assert streams.streams == [second]
        before = second.run.counts()["inferred"] if second.run else 0
        until(lambda: second.run is not None and second.run.counts()["inferred"] > before + 3)
        assert streams.add(f"{camera.url}/video").number == 2, "numbers are never used again"
    camera.close()


def test_an_error_in_the_callers_function_ends_that_stream(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.ts").write_bytes(transport_stream())

    def take(result: FrameResult) -> None:
        if result.frame.stream == 0 and result.frame.index == 5:
            raise KeyError("mine")

    with Streams(NOTHING, on_result=take) as streams:
        streams.add(tmp_path / "a.ts")
        streams.add(tmp_path / "b.ts")
        assert streams.wait(20)
        first, second = streams.streams
    assert first.failure is not None
    assert "KeyError" in str(first.failure)
    assert second.failure is None


class Taking:
    """A stage that takes a while, one frame at a time over all streams, and fails where told."""

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    name = "taking"

    def __init__(self, engine: Any = None) -> None:
        self.engine = engine

    def __call__(self, result: FrameResult) -> None:
        self.engine.infer(result)

    def close(self) -> None: ...


def test_one_engine_serves_all_streams_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four cameras of 25 frames a second, and an engine that manages 50 in all."""
    line = threading.Lock()
    shared: list[Any] = []

    class Slow:
        def infer(self, result: FrameResult) -> None:
            with line:
                time.sleep(0.02)

    from perception.backends.shared import Line

    fair = Line(1, 1)

    class Fair(Slow):
        def infer(self, result: FrameResult) -> None:
            fair("one", result, lambda works: [Slow.infer(self, work) for work in works])

    def share(engine: Any) -> Any:
        shared.append(engine)
        return Fair()

    monkeypatch.setattr(module, "share", share)
    monkeypatch.setattr("perception.registry.STAGES", {"taking": f"{__name__}:Taking"})
    counts: Counter[int] = Counter()
    cameras = [HttpSender() for _ in range(4)]
    try:
        with Streams(
            Config("slow", ({"type": "taking"},)),
            on_result=lambda result: counts.update([result.frame.stream]),
        ) as streams:
            for camera in cameras:
                streams.add(f"{camera.url}/video")
            until(lambda: len(counts) == 4)
            counts.clear()
            time.sleep(3)
            seen = dict(counts)
    finally:
        for camera in cameras:
            camera.close()
    assert len(shared) == 1, "the engine is opened once"
    mean = sum(seen.values()) / 4
    assert mean > 10
    assert all(abs(count - mean) <= 0.1 * mean + 1 for count in seen.values()), seen


def test_four_cameras_share_the_road_engine_and_one_that_dies_changes_nothing(root: Path) -> None:
    """Ten frames a second each. Where the machine is too slow for that, the shares are equal all the same."""
    source = open_source(root / "sample_videos" / "day_highway.mp4")
    jpegs = [
        cv2.imencode(".jpg", cv2.resize(frame.image, (640, 360)))[1].tobytes()
        for frame in islice(source, 0, 50, 5)
    ]
    source.close()
    counts: Counter[int] = Counter()
    objects: Counter[int] = Counter()
    events: list[int] = []

    def take(result: FrameResult) -> None:
        number = result.frame.stream
        counts[number] += 1
        objects[number] += len(result.tracks["road"])
        events.extend(number for _ in result.events)

    def shares(seconds: float) -> dict[int, int]:
        before = Counter(counts)
        time.sleep(seconds)
        return dict(counts - before)

    cameras = [HttpSender(rate=10, jpegs=jpegs) for _ in range(4)]
    try:
        with Streams("camera", on_result=take) as streams:
            for camera in cameras:
                streams.add(f"{camera.url}/video")
            until(lambda: len(counts) == 4 and min(counts.values()) > 3)
            all_four = shares(3)
            cameras[3].close()
            until(
                lambda: (
                    not (
                        streams.streams[3].run is None
                        or streams.streams[3].run.counts()["connected"]
                    )
                )
            )
            three = shares(3)
            ledgers = [stream.run.counts() for stream in streams.streams if stream.run is not None]
    finally:
        for camera in cameras:
            camera.close()
    assert min(all_four.values()) > 3
    for seen, numbers in ((all_four, range(4)), (three, range(3))):
        mean = sum(seen[number] for number in numbers) / len(numbers)
        for number in numbers:
            # A frame more or less is where the time was cut, not a share.
            assert abs(seen[number] - mean) <= 0.1 * mean + 1, (all_four, three)
    assert three.get(3, 0) <= 2, "what was on its way"
    if sum(all_four.values()) > 0.9 * 4 * 10 * 3:
        # Where the machine keeps up, what others do on it cannot be the reason for fewer.
        assert all(three[number] >= 0.9 * all_four[number] - 1 for number in range(3)), three
    assert set(events) <= {3}, "the others did not notice"
    assert all(objects[number] for number in range(4)), "there are cars in the picture"
    assert all(ledger["reconnects"] == 0 for ledger in ledgers[:3])


class Failing(Taking):
    name = "failing"

    def __call__(self, result: FrameResult) -> None:
        if result.frame.stream == 1:
            raise ZeroDivisionError("division by zero")


def test_a_stage_that_fails_on_one_stream_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perception.registry.STAGES", {"failing": f"{__name__}:Failing"})
    monkeypatch.setattr(module, "share", lambda engine: engine)
    found: list[Stream] = []
    for name in "ab":
        (tmp_path / f"{name}.ts").write_bytes(transport_stream())
    with Streams(Config("failing", ({"type": "failing"},))) as streams:
        found += [streams.add(tmp_path / f"{name}.ts") for name in "ab"]
        assert streams.wait(20)
    assert found[0].failure is None
    assert isinstance(found[1].failure, StageError)


def test_the_command_runs_cameras_side_by_side(tmp_path: Path) -> None:
    config = tmp_path / "nothing.toml"
    config.write_text("stages = []\n")
    cameras = [HttpSender() for _ in range(2)]
    out = tmp_path / "out"
    words = [f"{camera.url}/video" for camera in cameras]
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "perception.cli",
            "run",
            *words,
            "-c",
            str(config),
            "--jsonl",
            str(out),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        until(
            lambda: all(
                (out / f"stream_{n}.jsonl").exists()
                and len((out / f"stream_{n}.jsonl").read_text()) > 500
                for n in (0, 1)
            )
        )
        process.send_signal(signal.SIGTERM)
        said, errors = process.communicate(timeout=20)
    for camera in cameras:
        camera.close()
    assert process.returncode == 130, errors
    assert "stream 0: " in said
    assert "stream 1: " in said
    for number in (0, 1):
        found = lines(out / f"stream_{number}.jsonl")
        assert found[1]["stream"] == number
        assert found[-1]["report"]["ledger"]["adds_up"]
