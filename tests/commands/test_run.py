from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import perception
from perception.cli import main

av = pytest.importorskip("av")
SIZE = (160, 96)


def write_clip(path: Path, *, frames: int = 20, seed: int = 0) -> Path:
    """A bright square that walks to the right over a dark ground, 10 frames a second."""
    rng = np.random.default_rng(seed)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for index in range(frames):
            picture = rng.integers(0, 30, (SIZE[1], SIZE[0], 3)).astype(np.uint8)
            x = index * 2
            picture[32:64, x : x + 64] = 250
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = index, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "walk.mp4")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_overlay_and_record_of_a_clip(
    clip: Path, bright_engine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overlay, record = tmp_path / "o.mp4", tmp_path / "r.jsonl"
    words = [
        "run",
        str(clip),
        "--engine",
        str(bright_engine),
        "-o",
        str(overlay),
        "--jsonl",
        str(record),
    ]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "20 frames decoded, 20 inferred, 20 written: every frame accounted for" in text
    assert str(overlay) in text
    assert str(record) in text
    header, *frames, last = lines(record)
    assert header["schema"] == "perception/1"
    assert header["engines"]["road"]["name"] == "bright"
    assert (header["width"], header["height"]) == SIZE
    assert [line["frame"] for line in frames] == list(range(20))
    assert frames[10]["time"] == pytest.approx(1.0)
    assert all(line["objects"][0]["class"] == "car" for line in frames)
    assert "track" in frames[-1]["objects"][0]
    assert last["report"]["ledger"]["adds_up"]
    with av.open(str(overlay)) as result, av.open(str(clip)) as source:
        times = [[f.pts * f.time_base for f in c.decode(video=0)] for c in (result, source)]
    assert times[0] == times[1]


def test_the_record_alone_goes_to_standard_output(
    clip: Path, bright_engine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(clip), "--engine", str(bright_engine), "--jsonl", "-"]) == 0
    streams = capsys.readouterr()
    assert len([json.loads(line) for line in streams.out.splitlines()]) == 22
    assert "every frame accounted for" in streams.err


def test_without_tracking_there_are_no_tracks(
    clip: Path, bright_engine: Path, tmp_path: Path
) -> None:
    record = tmp_path / "r.jsonl"
    assert (
        main(
            ["run", str(clip), "--engine", str(bright_engine), "--no-track", "--jsonl", str(record)]
        )
        == 0
    )
    assert not any("track" in row for line in lines(record)[1:-1] for row in line["objects"])


def test_min_score_limits_what_is_found(clip: Path, bright_engine: Path, tmp_path: Path) -> None:
    record = tmp_path / "r.jsonl"
    words = [
        "run",
        str(clip),
        "--engine",
        str(bright_engine),
        "--min-score",
        "1",
        "--jsonl",
        str(record),
    ]
    assert main(words) == 0
    assert not any(line["objects"] for line in lines(record)[1:-1])


def test_a_folder_of_recordings_and_a_bad_one_among_them(
    bright_engine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name in ("a.mp4", "c.mp4"):
        write_clip(folder / name, frames=5)
    (folder / "b.mp4").write_text("this is not a video")
    words = [
        "run",
        str(folder),
        "--engine",
        str(bright_engine),
        "-o",
        str(out),
        "--jsonl",
        str(out),
    ]
    assert main(words) == 2
    assert "b.mp4" in capsys.readouterr().err
    assert {p.name for p in out.iterdir()} == {"a.mp4", "a.jsonl", "c.mp4", "c.jsonl"}


def test_several_sources_cannot_share_one_output_file(
    clip: Path, bright_engine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "run",
        str(clip),
        str(clip),
        "--engine",
        str(bright_engine),
        "-o",
        str(tmp_path / "o.mp4"),
    ]
    assert main(words) == 2
    assert "several sources need a folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["-o", "{clip}"], "same file as the input"),
        (["-o", "{tmp}/no/such/o.mp4"], "does not exist"),
        (["--engine", "raod"], "unknown engine"),
        (["-c", "nope.toml"], "no such configuration file"),
        (["--min-score", "7"], "min_score must be in 0..1"),
        (["--fps", "5"], "fps is for pictures"),
    ],
)
def test_bad_requests_are_refused_before_any_work(
    extra: list[str], message: str, clip: Path, bright_engine: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    before = clip.read_bytes()
    words = [word.format(clip=clip, tmp=tmp_path) for word in extra]
    assert main(["run", str(clip), "--engine", str(bright_engine), *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert clip.read_bytes() == before


def test_a_truncated_file_is_processed_as_far_as_it_goes(
    bright_engine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = write_clip(tmp_path / "whole.mkv", frames=60).read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole[: len(whole) * 2 // 3])
    record = tmp_path / "r.jsonl"
    assert main(["run", str(cut), "--engine", str(bright_engine), "--jsonl", str(record)]) == 0
    report = lines(record)[-1]["report"]
    assert 0 < report["ledger"]["written"] < 60
    assert report["ledger"]["adds_up"]


def started(words: list[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "perception.cli", "run", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(process: subprocess.Popen[str], path: Path, size: int, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not (path.exists() and path.stat().st_size > size):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"{path.name} does not grow"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_with_complete_outputs(
    number: signal.Signals, bright_engine: Path, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "long.mp4", frames=3000)
    overlay, record = tmp_path / "o.mp4", tmp_path / "r.jsonl"
    process = started(
        [str(clip), "--engine", str(bright_engine), "-o", str(overlay), "--jsonl", str(record)]
    )
    wait_for(process, record, 20_000)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "stopped early" in out
    report = lines(record)[-1]["report"]
    assert report["stopped"]
    assert report["ledger"]["adds_up"]
    with av.open(str(overlay)) as container:
        assert sum(1 for _ in container.decode(video=0)) == report["ledger"]["written"] < 3000


def test_a_killed_run_leaves_playable_outputs(bright_engine: Path, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "long.mp4", frames=3000)
    overlay, record = tmp_path / "o.mp4", tmp_path / "r.jsonl"
    process = started(
        [str(clip), "--engine", str(bright_engine), "-o", str(overlay), "--jsonl", str(record)]
    )
    wait_for(process, overlay, 20_000)
    process.kill()
    process.communicate(timeout=60)
    with av.open(str(overlay)) as container:
        assert sum(1 for _ in container.decode(video=0)) > 0
    assert len([json.loads(line) for line in record.read_text().splitlines()]) > 1


@pytest.mark.skipif(os.name != "posix", reason="limits the file size with a POSIX call")
def test_a_full_disk_is_one_sentence_and_no_hang(bright_engine: Path, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "long.mp4", frames=600)
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000)); "
        "from perception.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    words = ["run", str(clip), "--engine", str(bright_engine), "--jsonl", str(tmp_path / "r.jsonl")]
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "r.jsonl" in done.stderr


def test_pictures_each_on_their_own(bright_engine: Path, tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    folder = tmp_path / "pictures"
    folder.mkdir()
    picture = np.zeros((96, 160, 3), np.uint8)
    picture[32:64, 32:96] = 250
    for name in ("p10.png", "p2.png"):
        cv2.imwrite(str(folder / name), picture)
    record = tmp_path / "r.jsonl"
    words = [
        "run",
        str(folder),
        "--engine",
        str(bright_engine),
        "--jsonl",
        str(record),
        "-o",
        str(tmp_path / "out"),
    ]
    assert main(words) == 0
    frames = lines(record)[1:-1]
    assert [Path(line["path"]).name for line in frames] == ["p2.png", "p10.png"]
    assert all("track" not in row for line in frames for row in line["objects"])
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_the_python_way(clip: Path, bright_engine: Path, tmp_path: Path) -> None:
    names = [
        thing.class_name
        for result in perception.open(clip, engine=bright_engine)
        for thing in result.objects
    ]
    assert set(names) == {"car"}
    run = perception.open(clip, engine=bright_engine, output=tmp_path / "o.mp4")
    report = run.drain()
    assert report.ledger.adds_up
    assert report.fps > 0


def test_leaving_the_python_loop_early_leaves_a_playable_file(
    clip: Path, bright_engine: Path, tmp_path: Path
) -> None:
    with perception.open(clip, engine=bright_engine, output=tmp_path / "o.mp4") as run:
        for result in run:
            if result.frame.index == 4:
                break
    with av.open(str(tmp_path / "o.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 5


def test_looking_ahead_changes_nothing_in_the_record(root: Path, tmp_path: Path) -> None:
    frames = {}
    for looks in (1, 3):
        record = tmp_path / f"{looks}.jsonl"
        clip = root / "sample_videos" / "city_street.mp4"
        with perception.open(clip, jsonl=record, backend="onnxruntime", looks=looks) as run:
            assert run.looks == looks
            for _, _ in zip(range(20), run, strict=False):
                pass
        frames[looks] = [line for line in lines(record) if "frame" in line]
        for line in frames[looks]:
            del line["timings_ms"]
    assert len(frames[1]) >= 20
    assert frames[1][:20] == frames[3][:20]
