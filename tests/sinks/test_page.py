from __future__ import annotations

import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from perception.assemble import page_address
from perception.errors import InputError, RequestError
from perception.sinks import figures, page
from perception.sinks.page import PageSink
from perception.types import Event
from tests.sinks.browser import Browser, browser_path
from tests.sinks.live_results import INFO, SIZE, result

COUNTS = {"decoded": 12, "dropped": 2, "inferred": 10, "connected": True, "reconnects": 1}


@pytest.fixture
def sink() -> Iterator[PageSink]:
    sink = PageSink(0)
    sink.watch(lambda: dict(COUNTS), lambda: None)
    sink.open(INFO)
    yield sink
    sink.close()
    assert not [t for t in threading.enumerate() if t.name == "perception-page"]


@pytest.fixture
def playing(sink: PageSink) -> Iterator[PageSink]:
    """A page whose run goes on."""
    stop = threading.Event()

    def play() -> None:
        index = 0
        while not stop.wait(0.03):
            sink.write(result(index))
            index += 1

    thread = threading.Thread(target=play)
    thread.start()
    yield sink
    stop.set()
    thread.join()


def get(sink: PageSink, path: str, **headers: str) -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", sink.port, timeout=10)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, answer.headers.get_content_type(), body


def watch(sink: PageSink) -> socket.socket:
    """A viewer who asks for the stream and reads what he likes."""
    viewer = socket.create_connection(("127.0.0.1", sink.port), 10)
    viewer.sendall(b"GET /stream.mjpg HTTP/1.0\r\nHost: localhost\r\n\r\n")
    return viewer


def pictures(viewer: socket.socket, count: int) -> list[np.ndarray]:
    data = b""
    while data.count(b"--picture") <= count:
        got = viewer.recv(65536)
        assert got, "the stream ended"
        data += got
    parts = [part.partition(b"\r\n\r\n")[2] for part in data.split(b"--picture\r\n")[1 : count + 1]]
    return [cv2.imdecode(np.frombuffer(part, np.uint8), cv2.IMREAD_COLOR) for part in parts]


def until(condition: object, timeout_s: float = 5.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_stream_shows_the_moving_overlay(playing: PageSink) -> None:
    with watch(playing) as viewer:
        first, second, third = pictures(viewer, 3)
    assert first.shape == (SIZE[1], SIZE[0], 3)
    assert np.abs(first.astype(int) - third).mean() > 5, "the bar moves"
    assert second.max() > 200


def test_a_viewer_who_leaves_is_counted_out_and_nothing_is_drawn_for_nobody(
    playing: PageSink,
) -> None:
    drawn = []
    playing._draw = lambda result: drawn.append(1) or result.frame.planes  # type: ignore[func-returns-value, assignment, return-value]
    with watch(playing) as viewer:
        pictures(viewer, 1)
        assert playing.viewers == 1
    until(lambda: playing.viewers == 0)
    before = len(drawn)
    time.sleep(0.15)
    assert len(drawn) <= before + 1


def test_the_newest_picture_can_be_had_alone(playing: PageSink) -> None:
    status, kind, body = get(playing, "/snapshot.jpg")
    assert (status, kind) == (200, "image/jpeg")
    assert cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR).shape == (120, 160, 3)


def test_the_newest_picture_of_a_silent_run_is_not_an_old_one(
    sink: PageSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "SNAPSHOT_WAIT_S", 0.1)
    sink.write(result(0))
    assert get(sink, "/snapshot.jpg")[0] == 503


def test_twenty_slow_or_dead_viewers_slow_nobody(sink: PageSink) -> None:
    """Ten read nothing, ten a little now and then; the run writes as fast as for one who reads all."""
    stop = threading.Event()

    def read(viewer: socket.socket, size: int, pause_s: float) -> None:
        while not stop.wait(pause_s) and viewer.recv(size):
            pass

    def writing() -> float:
        took = []
        for index in range(60):
            start = time.perf_counter()
            sink.write(result(index))
            took.append(time.perf_counter() - start)
            time.sleep(0.005)
        return sorted(took)[30]

    readers = []
    viewers = [watch(sink)]
    readers.append(threading.Thread(target=read, args=(viewers[0], 1 << 20, 0.0)))
    readers[0].start()
    until(lambda: sink.viewers == 1)
    alone = writing()
    viewers += [watch(sink) for _ in range(20)]
    for viewer in viewers[11:]:
        readers.append(threading.Thread(target=read, args=(viewer, 100, 0.05)))
        readers[-1].start()
    until(lambda: sink.viewers == 21)
    crowded = writing()
    stop.set()
    for index in range(3):
        sink.write(result(index))
    for thread in readers:
        thread.join(10)
    for viewer in viewers:
        viewer.close()
    assert crowded < 3 * alone + 0.01, (alone, crowded)


def test_a_viewer_who_takes_nothing_is_dropped(
    playing: PageSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "VIEWER_TIMEOUT_S", 0.2)
    noise = np.random.default_rng(1).integers(0, 255, (600, 800, 3), np.uint8)
    big = cv2.imencode(".jpg", noise)[1].tobytes()
    monkeypatch.setattr(playing, "_encoded", lambda _: big)
    with watch(playing):
        until(lambda: playing.viewers == 1)
        until(lambda: playing.viewers == 0)


def test_there_is_a_limit_to_viewers(playing: PageSink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "MOST_VIEWERS", 1)
    with watch(playing) as viewer:
        pictures(viewer, 1)
        assert get(playing, "/stream.mjpg")[0] == 503


def test_the_figures_are_those_of_the_run(sink: PageSink) -> None:
    sink.write(result(0, events=[Event("disconnect", 0.0, 0, data={"reason": "gone"})]))
    sink.write(result(1))
    status, kind, body = get(sink, "/status.json")
    assert (status, kind) == (200, "application/json")
    said = json.loads(body)
    assert said["source"] == "rtsp://camera/live"
    assert said["size"] == [160, 120]
    assert said["age_ms"] == {"p50": 20.0, "p95": 20.0, "p99": 20.0}
    assert said["stages_ms"]["road"]["p50"] == 5.0
    assert said["objects"] == {"car": 1}
    assert said["events"] == [{"kind": "disconnect", "time": 0.0, "reason": "gone"}]
    assert {name: said[name] for name in COUNTS} == COUNTS


SAMPLE = re.compile(r'(perception_[a-z_]+)(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? (-?[0-9.e+-]+)')


def test_metrics_are_prometheus_text(sink: PageSink) -> None:
    sink.write(result(0))
    sink.write(result(1))
    status, kind, body = get(sink, "/metrics")
    assert (status, kind) == (200, "text/plain")
    values = {}
    for line in body.decode().splitlines():
        if not line.startswith("# "):
            found = SAMPLE.fullmatch(line)
            assert found, line
            values[found[1] + (found[2] or "")] = float(found[4])
    assert values['perception_frames_total{state="decoded"}'] == 12
    assert values['perception_frames_total{state="dropped"}'] == 2
    assert values["perception_result_age_seconds_count"] == 2
    assert values["perception_result_age_seconds_sum"] == pytest.approx(0.04)
    assert values['perception_stage_seconds{stage="road",quantile="0.5"}'] == pytest.approx(0.005)
    assert values["perception_connected"] == 1
    assert values["perception_reconnects_total"] == 1
    named = re.findall(r"# TYPE (\S+) (counter|gauge|summary)", body.decode())
    assert len(named) == len({name for name, _ in named}) >= 8


def test_health_is_results_that_come(sink: PageSink, monkeypatch: pytest.MonkeyPatch) -> None:
    sink.write(result(0))
    assert get(sink, "/healthz")[::2] == (200, b"ok\n")
    monkeypatch.setattr(figures, "SILENCE_S", -1.0)
    status, _, body = get(sink, "/healthz")
    assert status == 503
    assert body.startswith(b"no result for")


def test_a_web_site_cannot_ask_through_a_name_of_its_own(sink: PageSink) -> None:
    assert get(sink, "/", Host="evil.example")[0] == 403
    assert get(sink, "/", Host="localhost:8080")[0] == 200
    assert get(sink, "/nothing")[0] == 404


def test_the_page_needs_nothing_from_elsewhere(sink: PageSink) -> None:
    _, kind, body = get(sink, "/")
    assert kind == "text/html"
    assert b"http://" not in body
    assert b"https://" not in body


def test_a_port_in_use_is_said(sink: PageSink) -> None:
    with pytest.raises(InputError, match=f"127.0.0.1:{sink.port}: cannot be served there .*in use"):
        PageSink(sink.port).open(INFO)


def test_closing_hangs_up_on_viewers(sink: PageSink) -> None:
    with watch(sink) as viewer:
        until(lambda: sink.viewers == 1)
        start = time.monotonic()
        sink.close()
        assert time.monotonic() - start < 2
        viewer.settimeout(5)
        while viewer.recv(65536):
            pass
    sink.close()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (8080, ("127.0.0.1", 8080)),
        ("8080", ("127.0.0.1", 8080)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("[::1]:80", ("::1", 80)),
    ],
)
def test_a_page_is_for_this_machine_unless_told_otherwise(
    text: int | str, address: tuple[str, int]
) -> None:
    assert page_address(text) == address


@pytest.mark.parametrize("text", ["", "host", "host:", "99999", "-1", "8080/"])
def test_a_page_without_a_port_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="must be a port such as 8080"):
        page_address(text)


@pytest.mark.browser
def test_the_page_works_in_a_browser(playing: PageSink, tmp_path: Path) -> None:
    path = browser_path()
    if path is None:
        pytest.skip("needs Chromium: apt install chromium")
    counts = dict(COUNTS)
    playing.counts = lambda: {**counts, "decoded": playing.newest}
    browser = Browser(path, tmp_path / "profile")
    try:
        browser.open(playing.url)
        state = "document.getElementById('state')?.textContent"
        until(lambda: browser.value(state) == "live", 60)
        assert browser.value("document.getElementById('source').textContent").startswith(
            "rtsp://camera/live"
        )
        cell = (
            "[...document.querySelectorAll('#frames tr')]"
            ".find(row => row.cells[0].textContent == 'decoded').cells[1].textContent"
        )
        first, shot = int(browser.value(cell)), browser.picture()
        until(lambda: int(browser.value(cell)) > first, 20)
        until(lambda: np.abs(browser.picture().astype(int) - shot).max() > 100, 20)
        assert browser.value("document.getElementById('picture').naturalWidth") == SIZE[0]
        stages = browser.value("document.getElementById('stages').innerText")
        assert re.search(r"road\s+5\.0 / 5\.0 / 5\.0", stages)
        counts["connected"] = False
        until(lambda: browser.value(state) == "connection lost", 20)
        playing.close()
        until(lambda: browser.value(state) == "stopped", 20)
    finally:
        browser.close()
