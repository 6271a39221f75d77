import os
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from perception.colour import nv12, planes_copy
from perception.errors import ConfigError, InputError, SinkError
from perception.sinks.encoder import Encoder
from perception.sinks.video import MOVFLAGS, VideoSink
from perception.sources import SourceInfo, open_source
from perception.types import Frame, FrameResult, Planes
from tests.clips import (
    clip,
    number_in,
    shown_numbers,
    shown_times,
    sound_packets,
    variable_pts,
)

QUICK_VP9 = (("cpu-used", "8"), ("deadline", "realtime"))
CLIPS = {
    "constant rate": {"audio": ("aac",)},
    "B-frames": {"audio": ("aac",), "codec_options": (("bf", "2"), ("b-adapt", "0"))},
    "60 a second": {"rate": 60, "audio": ("aac",)},
    "30000/1001 a second": {"rate": Fraction(30000, 1001), "audio": ("aac",)},
    "variable rate": {
        "pts": variable_pts(30),
        "time_base": Fraction(1, 1000),
        "audio": ("aac",),
    },
    "late start": {"pts": tuple(range(101, 131)), "audio": ("aac",)},
    "late start at 30000/1001": {
        "rate": Fraction(30000, 1001),
        "pts": tuple(range(101, 131)),
        "audio": ("aac",),
    },
    "hidden lead-in": {"pts": tuple(range(-10, 20)), "audio": ("aac",)},
    "one frame": {"frames": 1, "audio": ("aac",)},
    "no sound": {},
    "two sound tracks": {"audio": ("aac", "aac")},
    "mp3 and ac3 in matroska, with subtitles": {
        "container": "matroska",
        "audio": ("libmp3lame", "ac3"),
        "subtitles": True,
    },
    "opus in webm": {
        "container": "webm",
        "codec": "libvpx-vp9",
        "codec_options": QUICK_VP9,
        "audio": ("libopus",),
    },
    "quarter turn": {"rotation": 90, "audio": ("aac",)},
    "10 bits": {"codec": "libx265", "pixel_format": "yuv420p10le"},
    "gif": {"container": "gif", "codec": "gif", "pixel_format": "rgb8"},
    "raw stream": {"container": "h264"},
    "sparse frames": {"pts": tuple(range(0, 60, 10)), "rate": 5, "audio": ("aac",)},
}


def saved(folder: Path, data: bytes) -> Path:
    path = folder / "source.bin"
    path.write_bytes(data)
    return path


def copied(path: Path, output: Path, **options) -> tuple[list[Fraction], SourceInfo, VideoSink]:
    source, sink = open_source(path), VideoSink(output, inputs=(path,), **options)
    sink.open(source.info)
    times = []
    for frame in source:
        sink.write(FrameResult(frame))
        times.append(frame.pts * frame.time_base)
    sink.finish({})
    sink.close()
    sink.close()
    source.close()
    return times, source.info, sink


@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize("kind", ["mp4", "mov"])
def test_times_and_sound_are_those_of_the_source(name, kind, tmp_path):
    if (name, kind) == ("opus in webm", "mov"):
        pytest.skip("MOV holds no Opus; another test")
    path, output = saved(tmp_path, clip(**CLIPS[name])), tmp_path / f"out.{kind}"
    times, info, sink = copied(path, output)
    assert shown_times(output) == times
    assert sink.written == len(times)
    with av.open(str(output)) as container:
        video = container.streams.video[0]
        assert video.codec_context.name == "h264"
        if "hybrid" in MOVFLAGS:
            assert video.frames == len(times)
        if info.end_pts is not None:
            assert video.duration * video.time_base == info.end_pts * info.time_base - times[0]
    assert sound_packets(output) == sound_packets(path)
    numbers = shown_numbers(output) if not CLIPS[name].get("rotation") else None
    if numbers is not None:
        assert numbers == shown_numbers(path)


@pytest.mark.parametrize(
    "name", ["constant rate", "variable rate", "late start", "two sound tracks"]
)
def test_matroska_keeps_times_and_sound_to_its_millisecond(name, tmp_path):
    path, output = saved(tmp_path, clip(**CLIPS[name])), tmp_path / "out.mkv"
    times, _, _ = copied(path, output)
    tick = Fraction(1, 1000)
    assert all(abs(a - b) < tick for a, b in zip(shown_times(output), times, strict=True))
    with av.open(str(path)) as container:
        tracks = len(container.streams.audio)
    with av.open(str(output)) as container:
        sound = [bytes(p) for p in container.demux(container.streams.audio[-1]) if p.size]
        assert len(container.streams.audio) == tracks
    assert sound == [data for _, _, data in sound_packets(path)[-1]]


def test_a_start_before_zero_is_kept_and_said(tmp_path):
    fragments = (("movflags", "frag_keyframe+delay_moov"),)
    data = clip(pts=tuple(range(-10, 20)), container_options=fragments, audio=("aac",))
    path, output = saved(tmp_path, data), tmp_path / "out.mp4"
    times, _, sink = copied(path, output)
    assert times[0] == Fraction(-10, 25)
    assert shown_times(output) == times
    assert sound_packets(output) == sound_packets(path)
    assert sink.notes == [
        "the source starts at -0.400 s; to keep these frames the output stays fragmented"
    ]


def test_sound_of_a_transport_stream_loses_only_the_header_of_each_packet(tmp_path):
    path = saved(tmp_path, clip(container="mpegts", audio=("aac",), data=True))
    times, _, _ = copied(path, tmp_path / "out.mp4")
    assert shown_times(tmp_path / "out.mp4") == times
    (wanted,), (found,) = sound_packets(path), sound_packets(tmp_path / "out.mp4")
    adts_header = 7
    assert found == [(pts, dts, data[adts_header:]) for pts, dts, data in wanted]


def test_uncompressed_sound_of_avi_keeps_every_sample(tmp_path):
    data = clip(container="avi", codec="mjpeg", pixel_format="yuvj420p", audio=("pcm_s16le",))
    path = saved(tmp_path, data)
    copied(path, tmp_path / "out.mp4")
    (wanted,), (found,) = sound_packets(path), sound_packets(tmp_path / "out.mp4")
    # A reader cuts plain samples into packets as it likes.
    assert b"".join(data for *_, data in found) == b"".join(data for *_, data in wanted)
    assert found[0][0] == wanted[0][0]


def test_sound_that_the_output_cannot_hold_is_refused_before_any_work(tmp_path):
    data = clip(container="webm", codec="libvpx-vp9", codec_options=QUICK_VP9, audio=("libopus",))
    source, sink = open_source(saved(tmp_path, data)), VideoSink(tmp_path / "out.mov")
    with pytest.raises(InputError, match=r"cannot hold the source's sound \(opus\).*\.mkv"):
        sink.open(source.info)
    assert not (tmp_path / "out.mov").exists()
    copied(tmp_path / "source.bin", tmp_path / "silent.mov", audio=False)
    assert sound_packets(tmp_path / "silent.mov") == []


def test_an_odd_picture_gets_its_last_row_and_column_twice_and_says_so(tmp_path):
    path = saved(tmp_path, clip(container="matroska", codec="ffv1", size=(131, 97)))
    _, info, sink = copied(path, tmp_path / "out.mp4", crf=1)
    assert info.size == (131, 97)
    assert sink.notes == ["131x97 is odd; the video is 132x98"]
    with av.open(str(tmp_path / "out.mp4")) as container:
        luma = next(container.decode(video=0)).to_ndarray(format="gray").astype(int)
    assert luma.shape == (98, 132)
    assert np.abs(luma[:, 131] - luma[:, 130]).mean() < 4
    assert np.abs(luma[97] - luma[96]).mean() < 4


def test_colour_tags_and_pixel_aspect_are_kept(tmp_path):
    path = saved(tmp_path, clip(colour=(9, 16, 9, 1), pixel_aspect=Fraction(4, 3)))
    copied(path, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        context = container.streams.video[0].codec_context
        tags = context.color_primaries, context.color_trc, context.colorspace, context.color_range
        assert (tags, context.sample_aspect_ratio) == ((9, 16, 9, 1), Fraction(4, 3))


def test_full_range_stays_full_range(tmp_path):
    path = saved(tmp_path, clip(container="avi", codec="mjpeg", pixel_format="yuvj420p"))
    copied(path, tmp_path / "out.mp4")
    source, result = open_source(path), open_source(tmp_path / "out.mp4")
    assert source.info.full_range and result.info.full_range
    first, second = next(iter(source)), next(iter(result))
    assert np.abs(first.image.astype(int) - second.image).mean() < 4


def test_what_draw_returns_is_what_is_encoded(tmp_path):
    def dark(result: FrameResult):
        planes = planes_copy(result.frame.planes)
        planes.y[48:] = 16
        return planes

    copied(saved(tmp_path, clip()), tmp_path / "out.mp4", draw=dark)
    frames = list(open_source(tmp_path / "out.mp4"))
    assert [number_in(frame.planes.y) for frame in frames] == list(range(30))
    assert max(frame.planes.y[52:].max() for frame in frames) < 30


def test_pictures_become_a_video_in_the_colours_they_have(tmp_path):
    info = SourceInfo("made", (64, 48), Fraction(1, 10), rate=Fraction(10), matrix="bt709")
    sink = VideoSink(tmp_path / "out.mp4")
    sink.open(info)
    image = np.full((48, 64, 3), (200, 120, 40), np.uint8)
    for i in range(5):
        sink.write(FrameResult(Frame(image, index=i, pts=i, time_base=info.time_base)))
    sink.close()
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].frames == 5
        planes = next(iter(container.decode(video=0)))
    # BT.709 of (R 40, G 120, B 200): Y = 16 + 219/255 (0.2126 R + 0.7152 G + 0.0722 B).
    assert abs(planes.to_ndarray(format="gray").mean() - 109) <= 2


@pytest.mark.parametrize("kind", ["mp4", "mov", "mkv"])
def test_a_killed_run_leaves_a_file_that_plays(kind, tmp_path):
    path = saved(tmp_path, clip(frames=120, audio=("aac",)))
    output = tmp_path / f"out.{kind}"
    script = f"""
import os, signal
from perception.sinks.video import VideoSink
from perception.sources import open_source
from perception.types import FrameResult
source, sink = open_source({str(path)!r}), VideoSink({str(output)!r})
sink.open(source.info)
for frame in source:
    sink.write(FrameResult(frame))
    if frame.index == 70:
        os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    times = shown_times(output)
    assert len(times) >= 35
    tick = Fraction(1, 1000) if kind == "mkv" else 0
    assert all(abs(time - Fraction(i, 25)) <= tick for i, time in enumerate(times))
    assert shown_numbers(output) == list(range(len(times)))
    with av.open(str(output)) as container:
        assert sum(packet.size > 0 for packet in container.demux(audio=0)) > 40


@pytest.mark.parametrize("kind", ["mp4", "mkv"])
def test_a_full_disk_is_an_error_that_leaves_what_was_written(kind, tmp_path):
    pytest.importorskip("resource")
    path = saved(tmp_path, clip(frames=200, audio=("aac",)))
    output = tmp_path / f"out.{kind}"
    script = f"""
import resource, signal
from perception.errors import SinkError
from perception.sinks.video import VideoSink
from perception.sources import open_source
from perception.types import FrameResult
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
source, sink = open_source({str(path)!r}), VideoSink({str(output)!r})
sink.open(source.info)
try:
    for frame in source:
        sink.write(FrameResult(frame))
    sink.close()
except SinkError as error:
    print(error)
sink.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert f"out.{kind}: the video cannot be written (File too large)" in done.stdout
    times = shown_times(output)
    assert len(times) > 10
    tick = Fraction(1, 1000) if kind == "mkv" else 0
    assert all(abs(time - Fraction(i, 25)) <= tick for i, time in enumerate(times))


def test_an_output_that_is_the_input_is_refused(tmp_path):
    path = tmp_path / "drive.mp4"
    path.write_bytes(clip())
    link = tmp_path / "link.mp4"
    link.symlink_to(path)
    hard = tmp_path / "hard.mp4"
    os.link(path, hard)
    for output in (path, link, hard):
        with pytest.raises(InputError, match="the output is the same file as the input"):
            VideoSink(output, inputs=(path,))
    with pytest.raises(InputError, match="the output is the same file as the input"):
        VideoSink(link).open(open_source(path).info)
    assert path.read_bytes() == clip()


def test_an_output_of_unknown_kind_is_refused(tmp_path):
    with pytest.raises(
        InputError, match=r"must end in \.mp4, \.m4v, \.mov, \.mkv, but ends in '\.wmv'"
    ):
        VideoSink(tmp_path / "out.wmv")


def test_settings_the_encoder_does_not_have_are_refused(tmp_path):
    with pytest.raises(
        ConfigError, match="unknown preset of libx264 'fastest': did you mean 'faster'"
    ):
        VideoSink(tmp_path / "out.mp4", preset="fastest")
    with pytest.raises(ConfigError, match="crf must be from 0"):
        VideoSink(tmp_path / "out.mp4", crf=52)


@pytest.mark.skipif(
    not os.access("/proc", os.W_OK), reason="needs a place that only seems writable"
)
def test_an_output_that_cannot_be_made_is_refused_before_any_work():
    sink = VideoSink("/proc/out.mp4")
    with pytest.raises(InputError, match=r"/proc/out\.mp4: cannot be written \(No such file"):
        sink.open(SourceInfo("made", (64, 48), Fraction(1, 10)))


def test_drawn_pictures_are_encoded_without_a_copy_and_look_the_same(tmp_path, monkeypatch):
    path = saved(tmp_path, clip())
    shown = {}
    for name, draw in (("decoded", None), ("drawn", lambda r: in_one_piece(r.frame.planes))):
        if draw is not None:
            monkeypatch.setattr(Encoder, "_copy", lambda *_: pytest.fail("copied"))
        _, _, sink = copied(path, tmp_path / f"{name}.mp4", draw=draw)
        with av.open(str(sink.path)) as container:
            shown[name] = [frame.to_ndarray() for frame in container.decode(video=0)]
    assert len(shown["drawn"]) == 30
    assert all(np.array_equal(a, b) for a, b in zip(*shown.values(), strict=True))


def in_one_piece(planes):
    luma, chroma = nv12(planes)
    return Planes(luma, chroma[..., 0], chroma[..., 1], planes.matrix, planes.full_range)


def test_a_picture_of_another_size_is_refused(tmp_path):
    info = SourceInfo("made", (64, 48), Fraction(1, 10))
    sink = VideoSink(tmp_path / "out.mp4")
    sink.open(info)
    with pytest.raises(SinkError, match=r"a picture is \(32, 24\), but the video is \(64, 48\)"):
        sink.write(FrameResult(Frame(np.zeros((24, 32, 3), np.uint8))))
    sink.close()


def test_a_video_without_frames_can_be_closed(tmp_path):
    sink = VideoSink(tmp_path / "out.mp4")
    sink.open(SourceInfo("made", (64, 48), Fraction(1, 10)))
    sink.close()
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.slow
def test_real_clips_keep_times_duration_and_sound_and_do_not_grow(shared, tmp_path):
    for path in sorted((shared / "clips").iterdir()):
        if path.suffix not in (".mp4", ".gif"):
            continue
        output = tmp_path / "out.mp4"
        times, info, sink = copied(path, output)
        assert shown_times(output) == times
        assert sink.notes == []
        assert sound_packets(output) == sound_packets(path)
        assert output.stat().st_size <= 2.0 * path.stat().st_size
        with av.open(str(output)) as container:
            video = container.streams.video[0]
            assert abs(float(video.duration * video.time_base) - info.duration_s) < 1 / float(
                info.rate
            )
