"""Writes pictures and sound into an MP4 file of a bounded size."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import log2
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

SOUND_RATE = 44_100


def write_clip(
    path: Path,
    frames: Sequence[NDArray[np.uint8]],
    *,
    rate: int,
    sound: NDArray[np.float32] | None,
    max_bytes: int,
) -> int:
    """Write compressed pictures as H.264, at the best quality that fits; return the size.

    Args:
        path: the file.
        frames: pictures as cv2.imencode returned them.
        rate: frames per second.
        sound: (N,) samples at `SOUND_RATE`, -1 to 1, or None.
        max_bytes: the file is not larger than this.
    """
    quality = 27
    while True:
        _write(path, frames, rate, sound, quality)
        size = path.stat().st_size
        if size <= max_bytes:
            return size
        # Six steps of the quality scale halve the size, roughly.
        quality += max(1, round(6 * log2(size / max_bytes) + 0.3))
        if quality > 45:
            raise ValueError(f"{path.name} must be at most {max_bytes} bytes, but is {size}")


def _write(
    path: Path,
    frames: Sequence[NDArray[np.uint8]],
    rate: int,
    sound: NDArray[np.float32] | None,
    quality: int,
) -> None:
    first = cv2.imdecode(frames[0], cv2.IMREAD_COLOR)
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        video: Any = container.add_stream("libx264", rate=rate)
        video.width, video.height = first.shape[1], first.shape[0]
        video.pix_fmt = "yuv420p"
        video.time_base = Fraction(1, rate)
        video.codec_context.gop_size = 50
        video.codec_context.color_range = 1
        video.codec_context.colorspace = 1
        video.codec_context.color_primaries = 1
        video.codec_context.color_trc = 1
        video.options = {"crf": str(quality), "preset": "medium"}
        audio: Any = None
        if sound is not None:
            audio = container.add_stream("aac", rate=SOUND_RATE, layout="mono")
            audio.bit_rate = 48_000
        for index, data in enumerate(frames):
            picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
            frame.pts = index
            frame.time_base = Fraction(1, rate)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if sound is not None:
            _add_sound(container, audio, sound)


def _add_sound(container: Any, stream: Any, sound: NDArray[np.float32]) -> None:
    for start in range(0, len(sound), 1024):
        block = np.ascontiguousarray(sound[None, start : start + 1024].astype(np.float32))
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
        frame.sample_rate = SOUND_RATE
        frame.pts = start
        frame.time_base = Fraction(1, SOUND_RATE)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
