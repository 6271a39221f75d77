"""Which encoder is taken, and with what settings."""

from __future__ import annotations

import logging
from dataclasses import replace
from fractions import Fraction

import pytest

from perception.errors import ConfigError, InputError
from perception.sinks import encoder
from perception.sinks.encoder import (
    BURST_S,
    MOST_OF_SOURCE,
    PLENTY,
    SCARCE,
    chosen_encoder,
    has_plenty,
    nvenc_problem,
    quality,
    rate_cap,
)
from perception.sinks.video import VideoSink
from perception.sources import SourceInfo, open_source
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


def test_tools_that_save_bits_are_used_where_the_source_has_few():
    info = SourceInfo("made", (1280, 720), Fraction(1, 90000), rate=Fraction(25))
    assert has_plenty(info)  # no rate is known: nothing caps the output
    assert not has_plenty(replace(info, bit_rate=2_000_000))
    assert has_plenty(replace(info, bit_rate=4_000_000))
    assert quality("libx264", 23, None, plenty=True) == {**PLENTY, "crf": "23"}
    assert quality("libx264", 23, None) == {**SCARCE, "crf": "23"}
    assert quality("libx264", 23, "fast", plenty=True)["preset"] == "fast"


def test_the_output_may_grow_to_nearly_twice_its_source_and_by_the_sounds_share(tmp_path):
    info = SourceInfo("made", (320, 240), Fraction(1, 90000), rate=Fraction(25), duration_s=8.0)
    assert rate_cap(info) == {}
    pictures = replace(info, bit_rate=400_000)
    assert rate_cap(pictures) == {
        "maxrate": str(int(MOST_OF_SOURCE * 400_000)),
        "bufsize": str(int(BURST_S * int(MOST_OF_SOURCE * 400_000))),
    }
    path = tmp_path / "source.mp4"
    for other in (0, 100_000):  # of sound, bits a second
        path.write_bytes(bytes((400_000 + other) // 8 * 8))
        cap = {k: int(v) for k, v in rate_cap(replace(pictures, path=str(path))).items()}
        most = cap["maxrate"] * 8 + cap["bufsize"] + other * 8
        assert most == pytest.approx(MOST_OF_SOURCE * (400_000 + other) * 8, rel=1e-3)


def test_a_very_low_or_very_high_rate_is_no_cap_that_could_be_seen():
    info = SourceInfo("made", (1280, 720), Fraction(1, 90000), rate=Fraction(25))
    assert int(rate_cap(replace(info, bit_rate=1000))["maxrate"]) > 600_000
    assert rate_cap(replace(info, bit_rate=400_000_000)) == {}


def test_a_machine_without_it_says_so_or_has_it():
    problem = nvenc_problem((640, 384))
    assert problem is None or (problem and "\n" not in problem)
