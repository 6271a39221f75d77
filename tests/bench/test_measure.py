"""Measuring a tiny pipeline: what is measured, not how fast it is."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from perception.bench import measure
from perception.bench.figures import END_TO_END, VIDEO
from perception.bench.plot import draw, plot
from perception.bench.scaling import measure_scaling
from perception.cli import main
from perception.config import Config
from perception.errors import InputError, RunError
from tests.clips import clip


@pytest.fixture(scope="module")
def config(bright_engine):
    stages = (
        {"type": "detector", "engine": str(bright_engine), "every_s": 0.08},
        {"type": "tracker"},
    )
    return Config("made in a test", stages, {"hud": False}, {})


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """A function that writes a clip of so many frames."""
    folder = tmp_path_factory.mktemp("clips")

    def write(frames):
        path = folder / f"{frames}.mp4"
        path.write_bytes(clip(frames=frames))
        return path

    return write


@pytest.fixture(scope="module")
def bench(config, video):
    said = []
    found = measure(video(30), config, rounds=2, frames=30, starts=1, progress=said.append)
    assert "round 2 of 2: with video" in said
    return found


def test_every_part_is_measured_in_every_round(bench):
    assert list(bench.parts) == [
        "decode",
        "road engine",
        *([f"road engine x{bench.looks}"] if bench.looks > 1 else []),
        "road stage",
        "track stage",
        "overlay",
        "encode",
        "end to end",
        "with record",
        "with video",
    ]
    for part in bench.parts.values():
        assert len(part.wall_ms) == len(part.cpu_ms) == len(part.memory_mb) == 2
        assert min(part.wall_ms) > 0
    assert bench.size == (128, 96) and bench.frames == 30
    # Single calls, without those that warm up.
    assert len(bench.parts["road stage"].samples) == 2 * 20
    assert bench.parts["decode"].samples == []


def test_the_engine_that_rests_is_known_to(bench):
    assert bench.duty["road engine"] == pytest.approx(0.5)
    assert bench.settings["road"]["backend"] == "onnxruntime"
    assert set(bench.stages) == {"road", "track"} and set(bench.latency) == {
        "p50",
        "p95",
        "p99",
        "max",
    }
    assert len(bench.first_result_s) == 1 and bench.first_result_s[0] > 0


def test_the_plot_shows_something_of_every_part(bench, tmp_path):
    picture = draw(bench)
    assert picture.shape[1] == 1100 and (picture < 250).any(axis=(1, 2)).mean() > 0.4
    plot(bench, tmp_path / "out.png")
    read = cv2.imread(str(tmp_path / "out.png"))
    np.testing.assert_array_equal(read, picture)
    with pytest.raises(InputError, match=r"ends in \.png"):
        plot(bench, tmp_path / "out.jpg")
    with pytest.raises(InputError, match="cannot be written"):
        plot(bench, tmp_path / "missing" / "out.png")


def test_scaling_goes_over_threads_batches_and_streams(config, bench, video):
    found = measure_scaling(video(12), config, rounds=1, streams=(1, 3), batches=(1, 4))
    assert [p.count for p in found.points["batch"]] == [1, 4]
    assert [p.count for p in found.points["streams"]] == [1, 3]
    assert found.points["threads"][0].count == 1
    assert all(p.fps > 0 for points in found.points.values() for p in points)
    bench.scaling = found
    assert draw(bench).shape[0] > 600
    bench.scaling = None


def test_a_configuration_without_a_detector_has_no_engine_to_scale(video):
    found = measure_scaling(video(12), Config("empty", ()), rounds=1, streams=(1,), batches=(1,))
    assert set(found.points) == {"streams"}
    assert "no detector" in found.notes[0]


def test_a_clip_with_too_few_frames_is_said(config, video):
    with pytest.raises(RunError, match="10 frames are too few: 10 only warm up"):
        measure(video(10), config, rounds=1, starts=0)


def test_pictures_are_refused(config, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(InputError, match="needs a video file"):
        measure(tmp_path, config)


def test_the_command_prints_and_writes(bright_engine, tmp_path, capsys, video):
    settings = tmp_path / "c.toml"
    settings.write_text(f'[[stages]]\ntype = "detector"\nengine = "{bright_engine}"\n')
    out, picture = tmp_path / "out.json", tmp_path / "out.png"
    words = ["bench", str(video(30)), "-c", str(settings), "--rounds", "1", "--frames", "20"]
    assert main([*words, "--json", str(out), "--plot", str(picture)]) == 0
    assert "bounded by" in capsys.readouterr().out
    figures = json.loads(out.read_text())
    assert figures["parts"][VIDEO]["fps"] > 0 and figures["parts"][END_TO_END]["cpu_ms"]
    assert picture.stat().st_size > 1000
    assert main([*words, "--plot", "x.jpg"]) == 2
    assert main(["bench", "a.mp4", "b.mp4"]) == 2
    assert "bench takes one video" in capsys.readouterr().err
