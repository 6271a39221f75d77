"""Hundreds of damaged files: nothing may crash, hang, or stay behind."""

import gc
import os
from collections import Counter
from time import monotonic, sleep

import pytest

from perception.errors import InputError
from perception.sources import open_source
from tests.clips import clip, damaged

VARIANTS = 70
LONGEST_S = 10.0
QUICK_VP9 = (("cpu-used", "8"), ("deadline", "realtime"))
VICTIMS = {
    "mp4 with its index last": {"audio": ("aac",), "codec_options": (("bf", "2"),)},
    "mp4 with its index first": {
        "audio": ("aac",),
        "container_options": (("movflags", "faststart"),),
    },
    "fragmented mp4": {"container_options": (("movflags", "frag_keyframe+empty_moov"),)},
    "matroska": {"container": "matroska", "audio": ("ac3",)},
    "transport stream": {"container": "mpegts", "audio": ("aac",)},
    "avi": {"container": "avi", "codec": "mjpeg", "pixel_format": "yuvj420p"},
    "hevc of 10 bits": {"codec": "libx265", "pixel_format": "yuv420p10le"},
    "webm": {"container": "webm", "codec": "libvpx-vp9", "codec_options": QUICK_VP9},
    "gif": {"container": "gif", "codec": "gif", "pixel_format": "rgb8", "frames": 12},
}


def tasks_and_files() -> tuple[int, int]:
    return len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads through /proc")
@pytest.mark.parametrize("victim", VICTIMS)
def test_damaged_files_are_read_as_far_as_they_go_or_refused_in_one_sentence(victim, tmp_path):
    data = clip(**VICTIMS[victim])
    path = tmp_path / "damaged.bin"
    outcomes = Counter()
    before = tasks_and_files()
    for seed in range(VARIANTS):
        path.write_bytes(damaged(data, seed))
        start = monotonic()
        try:
            source = open_source(path)
        except InputError as error:
            assert str(path) in str(error)
            assert "\n" not in str(error)
            outcomes["refused"] += 1
            continue
        times = []
        for frame in source:
            times.append(frame.pts)
            assert frame.size == source.info.size
        source.close()
        assert times == sorted(set(times))
        assert source.decoded == len(times) > 0
        assert source.corrupt >= 0
        if source.claimed is not None:
            assert source.corrupt == max(0, source.claimed - source.decoded)
        assert len(source.damage) < 40
        assert monotonic() - start < LONGEST_S
        outcomes["damaged" if source.damage else "whole"] += 1
        del source, frame
    assert sum(outcomes.values()) == VARIANTS
    assert outcomes["damaged"]
    gc.collect()
    deadline = monotonic() + 5
    while tasks_and_files() > before and monotonic() < deadline:
        sleep(0.01)
    assert tasks_and_files() <= before
