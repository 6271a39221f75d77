"""Planes in, H.264 packets out: the settings of libx264 and the picture it reads from."""

from __future__ import annotations

import os
from typing import Any

import av
import numpy as np

from perception.sources import SourceInfo
from perception.types import U8, Planes

# libx264's fastest preset with what costs little and saves much put back: arithmetic coding, the deblocking
# filter, 8x8 transforms and a sub-pixel search. On drawn road video it takes half of the processor time of
# "veryfast" for about the same quality at a given size (docs/performance.md). Nothing looks ahead and nothing is
# reordered: a picture that goes in comes out, and no time stamp needs a shift.
SETTINGS = {
    "preset": "ultrafast",
    "x264-params": "cabac=1:no-deblock=0:8x8dct=1:me=hex:subme=1",
}
PRESETS = (
    *("ultrafast", "superfast", "veryfast", "faster", "fast"),
    *("medium", "slow", "slower", "veryslow", "placebo"),
)
# The output may spend at most so many times the source's bits, however noisy it is.
MOST_OF_SOURCE_RATE = 1.75
# For so long it may spend more than that: short enough that a clip of a few seconds stays below twice its source.
BURST_S = 0.5
# Below this, a cap would be visible: bits per pixel and frame.
LEAST_BITS_PER_PIXEL = 0.03
# A higher cap than this, bits a second, binds nothing (and libx264 counts in 32 bits).
HIGHEST_CAP = 500_000_000
MOST_THREADS = 4


class Encoder:
    """The encoder of one stream of an output container.

    Args:
        container: where the stream is added.
        info: of the source: size, time base, colour.
        crf: quality; lower is better and larger.
        preset: of libx264; None for `SETTINGS`.
        threads: None for one for each core, MOST_THREADS at most.

    Attributes:
        stream: of the container.
        size: (width, height) encoded; 4:2:0 needs even ones.
    """

    def __init__(
        self,
        container: av.container.OutputContainer,
        info: SourceInfo,
        *,
        crf: float,
        preset: str | None,
        threads: int | None,
    ) -> None:
        width, height = info.size
        self.size = width + width % 2, height + height % 2
        self.stream: Any = container.add_stream("libx264", rate=info.rate or 25)
        self.stream.time_base = info.time_base
        context = self.stream.codec_context
        context.width, context.height = self.size
        context.pix_fmt = "yuv420p"
        context.time_base = info.time_base
        chosen = SETTINGS if preset is None else {"preset": preset, "bf": "0"}
        context.options = {**chosen, "crf": f"{crf:g}", **_rate_cap(info)}
        context.thread_count = threads or min(MOST_THREADS, os.cpu_count() or 1)
        context.sample_aspect_ratio = info.sample_aspect_ratio
        context.colorspace = info.colour.space
        context.color_primaries = info.colour.primaries
        context.color_trc = info.colour.trc
        context.color_range = info.colour.range
        # One picture serves for all frames: libx264 takes a copy of what it is given.
        self._picture = av.VideoFrame(*self.size, "yuv420p")
        self._picture.time_base = info.time_base
        self._picture.colorspace = info.colour.space
        self._picture.color_range = info.colour.range

    def encode(self, planes: Planes, pts: int) -> list[Any]:
        """The packets that are ready once this picture is in.

        An odd picture gets its last column or row once more.
        """
        for plane, values in zip(self._picture.planes, (planes.y, planes.u, planes.v), strict=True):
            lines: U8 = np.frombuffer(memoryview(plane), np.uint8)
            lines = lines.reshape(plane.height, plane.line_size)
            height, width = values.shape
            lines[:height, :width] = values
            if width < plane.width:
                lines[:height, width] = values[:, -1]
            if height < plane.height:
                lines[height] = lines[height - 1]
        self._picture.pts = pts
        return list(self.stream.codec_context.encode(self._picture))

    def drain(self) -> list[Any]:
        """The packets still inside; no picture may follow."""
        return list(self.stream.codec_context.encode(None))


def _rate_cap(info: SourceInfo) -> dict[str, str]:
    """Options that keep the output from growing far beyond its source."""
    if info.bit_rate is None:
        return {}
    pixels = info.size[0] * info.size[1] * float(info.rate or 25)
    most = int(max(MOST_OF_SOURCE_RATE * info.bit_rate, LEAST_BITS_PER_PIXEL * pixels))
    if most > HIGHEST_CAP:
        return {}
    return {"maxrate": str(most), "bufsize": str(int(BURST_S * most))}
