from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from perception.commands.live import seconds
from perception.commands.run import _jobs
from tests.sources.senders import HttpSender, TcpSender, transport_stream


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A pipeline without stages: what is tested here is what lies around it."""
    path = tmp_path / "nothing.toml"
    path.write_text("stages = []\n")
    return path


def command(config: Path, *words: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "perception.cli",
        "run",
        "-c",
        str(config),
        "--no-progress",
        *words,
    ]


def run(config: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(config, *words), capture_output=True, text=True, timeout=60)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_stream_is_recorded_until_its_sender_stays_away(config: Path, tmp_path: Path) -> None:
    sender = TcpSender([transport_stream()])
    record = tmp_path / "record.jsonl"
    video = tmp_path / "out.mp4"
    words = [
        "--reconnect-for",
        "600ms",
        "--jsonl",
        str(record),
        "-o",
        str(video),
        "--segment",
        "60s",
    ]
    done = run(config, sender.url, *words)
    sender.close()
    assert done.returncode == 1
    assert "no connection for 0.6 s" in done.stderr
    found = lines(record)
    assert found[0]["source"] == sender.url
    report = found[-1]["report"]
    assert report["ledger"]["decoded"] == 25
    assert report["ledger"]["adds_up"]
    assert all(line["age_ms"] >= 0 for line in found[1:-1])
    assert (tmp_path / "out_0001.mp4").stat().st_size > 1000


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_on_a_silent_camera_within_two_seconds(
    config: Path, tmp_path: Path, number: signal.Signals
) -> None:
    sender = TcpSender([transport_stream()], silent_after=0)
    record = tmp_path / "record.jsonl"
    with subprocess.Popen(
        command(config, sender.url, "--jsonl", str(record)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not record.exists() or len(record.read_text().splitlines()) < 2:
            assert process.poll() is None
            time.sleep(0.02)
        start = time.monotonic()
        process.send_signal(number)
        # `timeout` and others send it to the process and once more to its group.
        process.send_signal(number)
        out, errors = process.communicate(timeout=30)
        assert time.monotonic() - start < 2
    sender.close()
    assert process.returncode == 130, errors
    assert "stopped early" in out
    assert lines(record)[-1]["report"]["stopped"]


def test_a_recording_is_played_at_its_own_rate(config: Path, tmp_path: Path) -> None:
    clip, record = tmp_path / "clip.ts", tmp_path / "record.jsonl"
    clip.write_bytes(transport_stream())
    done = run(config, str(clip), "--live", "--max-age", "5s", "--jsonl", str(record))
    assert done.returncode == 0, done.stderr
    report = lines(record)[-1]["report"]
    assert report["wall_s"] > 0.9
    assert report["ledger"]["adds_up"]


def test_a_password_is_never_shown(config: Path) -> None:
    sender = HttpSender(password="Basic other")
    address = sender.url.replace("://", "://me:hunter2@") + "/video?key=hunter3"
    done = run(config, address, "--debug")
    sender.close()
    assert done.returncode == 2
    assert "wants another user or password" in done.stderr
    assert "hunter" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["rtsp://127.0.0.1:1/x"], "refused the connection to port 1"),
        (["99"], "/dev/video99: there is no such camera"),
        (["csi://0"], "GStreamer"),
        (["0", "1", "--show"], "--show is for one source"),
        (["nosuch://x"], "unknown kind of address"),
    ],
)
def test_what_is_not_there_is_one_sentence_and_status_2(
    config: Path, words: list[str], sentence: str
) -> None:
    done = run(config, *words)
    assert done.returncode == 2
    assert done.stderr.startswith("perception: ")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_wishes_that_cannot_be_met_are_refused(config: Path, tmp_path: Path) -> None:
    clip = tmp_path / "clip.ts"
    clip.write_bytes(transport_stream())
    for words, sentence in (
        (["--segment", "10s"], "segments need a name"),
        (["--page", "http"], "must be a port such as 8080"),
        (["--max-age", "soon"], "is not a duration"),
        (["--camera-mode", "640x480"], "--camera-mode is for cameras"),
    ):
        done = run(config, str(clip), *words)
        assert done.returncode == 2
        assert sentence in done.stderr


@pytest.mark.parametrize(
    ("text", "value"), [("60", 60), ("60s", 60), ("200ms", 0.2), ("1.5m", 90), ("2h", 7200)]
)
def test_durations_are_read(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "s", "-1s", "0", "1d", "nan", "1 0"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not a duration"):
        seconds(text)


def test_addresses_are_kept_as_they_were_written() -> None:
    assert _jobs(["rtsp://a//b", "0", "-"]) == ["rtsp://a//b", "0", "-"]
