from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable

import pytest

from perception.sources.catchup import CatchUp
from perception.sources.network import open_stream
from tests.sources.senders import transport_stream

GROUP = 10  # packets from key frame to key frame


def decode(
    decode_s: Callable[[float], float],
    *,
    seconds: float = 20,
    rate: float = 25,
    group: int = GROUP,
) -> tuple[CatchUp, list[float]]:
    """A stream and a decoder that needs so long for a packet at a time; the lag of each decoded packet."""
    catch_up = CatchUp()
    now, lags = 0.0, []
    for number in range(int(seconds * rate)):
        there = number / rate
        read_s = max(0.0, there - now) + 0.0005
        now += read_s
        if catch_up(now, read_s, group > 0 and number % group == 0):
            lags.append(now - there)
            now += decode_s(there)
    return catch_up, lags


def test_a_machine_that_keeps_up_decodes_everything() -> None:
    catch_up, lags = decode(lambda _: 0.030)
    assert catch_up.skipped == 0
    assert len(lags) == 500


def test_a_machine_that_is_too_slow_stays_near_the_present() -> None:
    catch_up, lags = decode(lambda _: 0.100)
    assert catch_up.skipped > 200
    assert max(lags) < 3
    assert len(lags) > 40, "and still shows pictures"


def test_without_it_the_same_machine_would_be_far_behind() -> None:
    now = 0.0
    for number in range(500):
        now = max(now, number / 25) + 0.100
    assert now - 500 / 25 > 25


def test_after_a_slow_time_everything_is_decoded_again() -> None:
    catch_up, lags = decode(lambda at: 0.100 if at < 8 else 0.010)
    assert not catch_up.behind
    assert lags[-1] < 0.05
    recent = decode(lambda at: 0.100 if at < 8 else 0.010, seconds=30)[0].skipped
    assert recent == catch_up.skipped, "nothing is skipped any more"


def test_a_stream_without_key_frames_is_still_decoded() -> None:
    _, lags = decode(lambda _: 0.100, group=0)
    assert len(lags) > 30


@pytest.mark.slow
def test_a_slow_reader_of_a_real_stream_stays_near_the_present() -> None:
    """25 pictures a second, 12 of which can be taken; key frames every fifth."""
    data = transport_stream(frames=200)
    server = socket.create_server(("127.0.0.1", 0))
    started: list[float] = []

    def send() -> None:
        connection, _ = server.accept()
        with connection, contextlib.suppress(OSError):
            started.append(time.monotonic())
            step = len(data) // 200
            for number in range(200):
                connection.sendall(data[number * step : (number + 1) * step])
                time.sleep(max(0.0, started[0] + number / 25 - time.monotonic()))

    thread = threading.Thread(target=send)
    thread.start()
    source = open_stream(f"tcp://127.0.0.1:{server.getsockname()[1]}")
    lags = []
    try:
        for frame in source:
            lags.append(time.monotonic() - started[0] - frame.time)
            if frame.time > 7:
                break
            time.sleep(0.08)
    finally:
        source.close()
        thread.join()
        server.close()
    assert max(lags[-5:]) < 2.5
    assert any("cannot decode the stream in time" in sentence for sentence in source.damage)
