"""Which encoder is taken, and with what settings."""

from __future__ import annotations

import logging

import pytest

from perception.errors import ConfigError, InputError
from perception.sinks import encoder
from perception.sinks.encoder import chosen_encoder, nvenc_problem, quality
from perception.sinks.video import VideoSink
from perception.sources import open_source
from perception.types import FrameResult
from tests.clips import clip


@pytest.fixture
def without(monkeypatch):
    monkeypatch.setattr(encoder, "nvenc_problem", lambda size: "no such chip")


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(clip())
    opened = open_source(path)
    yield opened
    opened.close()


def test_libx264_is_taken_unless_another_is_asked_for(monkeypatch):
    monkeypatch.setattr(encoder, "nvenc_problem", lambda size: pytest.fail("looked"))
    assert chosen_encoder("libx264", (64, 64)) == "libx264"


def test_auto_takes_nvidias_encoder_where_it_works(monkeypatch, caplog):
    monkeypatch.setattr(encoder, "nvenc_problem", lambda size: None)
    assert chosen_encoder("auto", (64, 64)) == "h264_nvenc"
    assert chosen_encoder("h264_nvenc", (64, 64)) == "h264_nvenc"
    monkeypatch.setattr(encoder, "nvenc_problem", lambda size: "no such chip")
    with caplog.at_level(logging.INFO):
        assert chosen_encoder("auto", (64, 64)) == "libx264"
    assert "does not work here: no such chip" in caplog.text


def test_an_encoder_that_does_not_work_is_refused_in_one_sentence(tmp_path, source, without):
    sink = VideoSink(tmp_path / "out.mp4", encoder="h264_nvenc")
    with pytest.raises(InputError, match="h264_nvenc does not work here: no such chip"):
        sink.open(source.info)
    with pytest.raises(ConfigError, match="unknown encoder 'x265'"):
        VideoSink(tmp_path / "out.mp4", encoder="x265")


def test_auto_writes_where_there_is_no_such_chip(tmp_path, source, without):
    sink = VideoSink(tmp_path / "out.mp4", encoder="auto")
    sink.open(source.info)
    for frame in source:
        sink.write(FrameResult(frame))
    sink.finish({})
    sink.close()
    written = open_source(tmp_path / "out.mp4")
    assert sum(1 for _ in written) == sink.written == 30
    written.close()


def test_quality_goes_into_each_encoders_words():
    assert quality("libx264", 23, "fast") == {"preset": "fast", "bf": "0", "crf": "23"}
    assert quality("libx264", 20.5, None)["crf"] == "20.5"
    nvenc = quality("h264_nvenc", 0, None)
    assert nvenc["cq"] == "1" and nvenc["bf"] == "0" and "crf" not in nvenc


def test_a_machine_without_it_says_so_or_has_it():
    problem = nvenc_problem((640, 384))
    assert problem is None or (problem and "\n" not in problem)
