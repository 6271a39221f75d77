import os
import threading
from fractions import Fraction
from pathlib import Path
from time import monotonic, sleep

import av
import numpy as np
import pytest

from perception.errors import InputError
from perception.sources import open_source
from perception.sources.file import FileSource
from perception.types import Frame
from tests.clips import SIZE, clip, number_in, variable_pts

QUICK_VP9 = (("cpu-used", "8"), ("deadline", "realtime"))
CLIPS = {
    "h264 mp4": {},
    "h264 mp4 with B-frames": {"codec_options": (("bf", "2"), ("b-adapt", "0"))},
    "h264 at 60 a second": {"rate": 60},
    "h264 at 30000/1001 a second": {"rate": Fraction(30000, 1001)},
    "h264 of variable rate": {"pts": variable_pts(30), "time_base": Fraction(1, 1000)},
    "h264 that starts late": {"pts": tuple(range(101, 131))},
    "h264 4:4:4 of odd size": {
        "container": "matroska",
        "pixel_format": "yuv444p",
        "size": (131, 97),
    },
    "ffv1 4:2:0 of odd size": {"container": "matroska", "codec": "ffv1", "size": (131, 97)},
    "hevc of 10 bits": {"codec": "libx265", "pixel_format": "yuv420p10le"},
    "mjpeg avi": {"container": "avi", "codec": "mjpeg", "pixel_format": "yuvj420p"},
    "mjpeg avi 4:2:2": {"container": "avi", "codec": "mjpeg", "pixel_format": "yuvj422p"},
    "mpeg4 avi": {"container": "avi", "codec": "mpeg4"},
    "vp9 webm": {"container": "webm", "codec": "libvpx-vp9", "codec_options": QUICK_VP9},
    "prores mov": {"container": "mov", "codec": "prores_ks", "pixel_format": "yuv422p10le"},
    "gif": {"container": "gif", "codec": "gif", "pixel_format": "rgb8"},
    "transport stream with sound and data": {
        "container": "mpegts",
        "audio": ("aac",),
        "data": True,
    },
    "mkv with sound and subtitles": {"container": "matroska", "audio": ("ac3",), "subtitles": True},
    "mov with two sound tracks": {"container": "mov", "audio": ("aac", "pcm_s16le")},
    "flv": {"container": "flv", "audio": ("aac",)},
}


def saved(folder: Path, data: bytes, name: str = "clip.bin") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def read(path: Path) -> tuple[FileSource, list[Frame]]:
    source = open_source(path)
    assert isinstance(source, FileSource)
    frames = list(source)
    source.close()
    return source, frames


@pytest.mark.parametrize("name", CLIPS)
def test_every_frame_comes_once_in_order_with_its_own_time(name, tmp_path):
    options = CLIPS[name]
    source, frames = read(saved(tmp_path, clip(**options)))
    assert [number_in(frame.planes.y) for frame in frames] == list(range(30))
    assert [frame.index for frame in frames] == list(range(30))
    base = options.get("time_base", 1 / Fraction(options.get("rate", 25)))
    wanted = [pts * base for pts in options.get("pts", range(30))]
    if options.get("container") in ("mpegts", "flv"):
        # These have no edit lists: the muxer moves all tracks so that the sound starts at 0.
        wanted = [time + frames[0].pts * frames[0].time_base for time in wanted]
    tick = (
        frames[0].time_base if options.get("container") in ("matroska", "webm", "flv", "gif") else 0
    )
    for frame, time in zip(frames, wanted, strict=True):
        assert abs(frame.pts * frame.time_base - time) <= tick
    assert source.info.size == options.get("size", SIZE)
    assert all(frame.size == source.info.size for frame in frames)
    assert (source.decoded, source.corrupt, source.damage) == (30, 0, [])
    assert source.claimed in (None, 30)


@pytest.mark.parametrize("turn", [90, 180, -90])
def test_rotation_is_applied_so_frames_are_as_shown(turn, tmp_path):
    _, upright = read(saved(tmp_path, clip(codec="ffv1", container="matroska", frames=2)))
    _, turned = read(saved(tmp_path, clip(frames=2, rotation=turn, codec_options=(("qp", "4"),))))
    wanted = np.rot90(upright[1].planes.y, turn // 90)
    assert turned[1].planes.y.shape == wanted.shape
    assert np.abs(turned[1].planes.y.astype(int) - wanted).mean() < 3
    assert np.abs(turned[1].image.astype(int) - np.rot90(upright[1].image, turn // 90)).mean() < 5


def test_pixel_aspect_is_turned_with_the_picture(tmp_path):
    source, _ = read(saved(tmp_path, clip(frames=1, rotation=90, pixel_aspect=Fraction(4, 3))))
    assert source.info.sample_aspect_ratio == Fraction(3, 4)


def test_planes_are_read_only_and_outlive_the_source(tmp_path):
    _, frames = read(saved(tmp_path, clip()))
    with pytest.raises(ValueError, match="read-only"):
        frames[0].planes.y[0, 0] = 0
    assert number_in(frames[7].planes.y) == 7
    assert not frames[7].image.flags.writeable


@pytest.mark.parametrize(
    ("size", "colour", "matrix", "full_range"),
    [
        ((128, 96), (1, 1, 1, 1), "bt709", False),
        ((128, 96), (6, 6, 6, 1), "bt601", False),
        ((128, 96), (9, 14, 9, 1), "bt2020", False),
        ((128, 96), (1, 1, 1, 2), "bt709", True),
        ((128, 96), None, "bt601", False),
        ((1280, 720), None, "bt709", False),
    ],
)
def test_the_matrix_is_the_tagged_one_or_goes_by_height(size, colour, matrix, full_range, tmp_path):
    source, _ = read(saved(tmp_path, clip(frames=1, size=size, colour=colour)))
    assert (source.info.matrix, source.info.full_range) == (matrix, full_range)
    if colour is not None:
        tags = source.info.colour
        assert (tags.primaries, tags.trc, tags.space, tags.range) == colour


def test_what_an_edit_list_hides_is_neither_shown_nor_missing(tmp_path):
    source, frames = read(saved(tmp_path, clip(pts=tuple(range(-10, 20)))))
    assert [number_in(frame.planes.y) for frame in frames] == list(range(10, 30))
    assert (source.claimed, source.decoded, source.corrupt, source.damage) == (20, 20, 0, [])


def test_a_start_before_zero_keeps_its_times(tmp_path):
    fragments = (("movflags", "frag_keyframe+delay_moov"),)
    options = {"pts": tuple(range(-10, 20)), "container_options": fragments}
    source, frames = read(saved(tmp_path, clip(**options)))
    assert [frame.pts * frame.time_base for frame in frames] == [
        Fraction(i, 25) for i in range(-10, 20)
    ]
    assert source.damage == []


def test_frames_without_a_time_get_one_that_is_called_an_estimate(tmp_path):
    source, frames = read(saved(tmp_path, clip(container="h264")))
    assert [frame.time for frame in frames] == pytest.approx([i / 25 for i in range(30)])
    assert source.damage == ["30 frames without a usable time stamp, theirs is estimated"]


def test_the_first_frames_without_a_time_are_dated_back_from_the_first_with_one(tmp_path):
    # Matroska has no times before 0: the first ten frames come without.
    options = (("avoid_negative_ts", "disabled"),)
    data = clip(container="matroska", pts=tuple(range(-10, 20)), container_options=options)
    source, frames = read(saved(tmp_path, data))
    assert [frame.time for frame in frames] == pytest.approx([i / 25 for i in range(-10, 20)])
    assert source.damage == ["10 frames without a usable time stamp, theirs is estimated"]


def test_a_cover_picture_is_not_taken_for_the_video(tmp_path):
    song = tmp_path / "song.mka"
    with av.open(str(song), "w", format="matroska") as output:
        stream = output.add_stream("aac", rate=48000)
        output.add_attachment("cover.txt", "text/plain", b"not a picture")
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
        frame.sample_rate = 48000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    with pytest.raises(InputError, match=r"song\.mka: there is no video track in it, only .*audio"):
        open_source(song)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.mp4: no such file or folder; check the path"):
        open_source(tmp_path / "gone.mp4")


def test_an_empty_file_is_called_empty(tmp_path):
    with pytest.raises(InputError, match=r"empty\.mp4: the file is empty"):
        open_source(saved(tmp_path, b"", "empty.mp4"))


def test_a_text_file_is_called_a_text_file(tmp_path):
    with pytest.raises(InputError, match=r"notes\.mp4: this is a text file, not a video"):
        open_source(saved(tmp_path, b"Turn left at the lights.\n" * 50, "notes.mp4"))


def test_random_bytes_are_refused_with_the_reason_of_ffmpeg(tmp_path):
    data = np.random.default_rng(0).integers(0, 256, 5000, np.uint8).tobytes()
    with pytest.raises(InputError, match=r"noise\.mp4: FFmpeg cannot open it as a video"):
        open_source(saved(tmp_path, data, "noise.mp4"))


def test_an_mp4_cut_off_before_its_index_is_refused_with_what_to_do(tmp_path):
    data = clip(frames=60)
    assert data.find(b"mdat") < data.find(b"moov")
    with pytest.raises(InputError, match=r"cut\.mp4: this MP4 has no index \(moov\).*repair it"):
        open_source(saved(tmp_path, data[: len(data) // 2], "cut.mp4"))


def test_a_truncated_mp4_with_its_index_is_read_as_far_as_it_goes(tmp_path):
    data = clip(frames=60, container_options=(("movflags", "faststart"),))
    source, frames = read(saved(tmp_path, data[: len(data) * 2 // 3]))
    assert 20 < len(frames) < 60
    assert [number_in(frame.planes.y) for frame in frames[:-2]] == list(range(len(frames) - 2))
    assert source.claimed == 60
    assert source.corrupt == 60 - len(frames)
    assert f"{60 - len(frames)} frames could not be read" in source.damage


def test_a_truncated_matroska_says_how_many_frames_its_end_lacks(tmp_path):
    data = clip(frames=60, container="matroska")
    source, frames = read(saved(tmp_path, data[: len(data) // 2]))
    assert source.claimed is None
    assert abs(source.corrupt - (60 - len(frames))) <= 1


def test_random_bytes_in_the_middle_cost_some_frames_and_no_more(tmp_path):
    data = bytearray(clip(frames=60, container_options=(("movflags", "faststart"),)))
    start = len(data) * 3 // 4
    data[start : start + 900] = np.random.default_rng(3).integers(0, 256, 900, np.uint8).tobytes()
    source, frames = read(saved(tmp_path, bytes(data)))
    assert 40 < len(frames) <= 60
    assert source.corrupt == 60 - len(frames)
    assert source.damage


def test_two_recordings_in_one_file_become_one_of_one_size_counted_on(tmp_path):
    data = clip(container="mpegts") + clip(container="mpegts", size=(192, 144))
    source, frames = read(saved(tmp_path, data))
    times = [frame.pts for frame in frames]
    assert times == sorted(set(times))
    assert len(frames) >= 55
    assert {frame.size for frame in frames} == {SIZE}
    assert any("of another size, scaled to the first one's" in line for line in source.damage)
    assert any("time jumps at 1.16 s; it is counted on" in line for line in source.damage)


def test_closing_from_another_thread_ends_the_reading_and_releases_everything(tmp_path):
    path = saved(tmp_path, clip(frames=200))
    threads, files = len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))
    source = open_source(path)
    frames = []
    half, released = threading.Event(), threading.Event()

    def reading(source: FileSource) -> None:
        for frame in source:
            frames.append(frame.index)
            if len(frames) == 50:
                half.set()
                released.wait(10)

    thread = threading.Thread(target=reading, args=(source,))
    thread.start()
    assert half.wait(10)
    source.close()
    source.close()
    released.set()
    thread.join(10)
    assert not thread.is_alive()
    assert len(frames) == 50
    assert (source.decoded, source.corrupt) == (50, 0)
    del source, thread
    assert len(os.listdir("/proc/self/fd")) == files
    deadline = monotonic() + 5
    while len(os.listdir("/proc/self/task")) > threads and monotonic() < deadline:
        sleep(0.01)
    assert len(os.listdir("/proc/self/task")) <= threads


def test_real_clips_give_every_frame_they_show(shared):
    shown = {
        "udacity_vd_test_video.mp4": 38,
        "tmo_seattlestreet2.mp4": 851,
        "incluit_video3.mp4": 101,
    }
    for name, count in shown.items():
        source, frames = read(shared / "clips" / name)
        assert (len(frames), source.claimed, source.corrupt, source.damage) == (count, count, 0, [])
