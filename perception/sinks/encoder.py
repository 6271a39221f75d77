"""Planes in, H.264 packets out: the settings of the encoders and the picture they read from."""

from __future__ import annotations

import logging
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import cv2
import numpy as np

from perception.colour import as_nv12
from perception.sources import SourceInfo
from perception.types import U8, Planes

# libx264's fastest preset with what costs little and saves much put back. Nothing looks ahead and nothing is
# reordered: a picture that goes in comes out, and no time stamp needs a shift. Figures: docs/performance.md.
#
# Where bits are scarce: small intra blocks, a sub-pixel search, a deblocking filter stronger than usual, and
# bits for flat ground, where blocks would show.
SCARCE = {
    "preset": "ultrafast",
    "x264-params": "partitions=i4x4:subme=1:deblock=2,2:aq-mode=1:aq-strength=0.5",
}
# Where the cap leaves plenty, the same quality for a fifth more bits and three fifths of the time.
PLENTY = {"preset": "ultrafast", "x264-params": "partitions=i4x4:deblock=0,0"}
# Of the source, per pixel and frame; as many of H.264 are few at 0.1 and many at 0.15. Without a rate there is no cap.
PLENTY_BITS_PER_PIXEL = 0.13
PRESETS = (
    *("ultrafast", "superfast", "veryfast", "faster", "fast"),
    *("medium", "slow", "slower", "veryslow", "placebo"),
)
# The output may be at most so many times as large as the source, however noisy it is.
MOST_OF_SOURCE = 1.95
# For so long it may spend more than its average: the first picture is the most expensive.
BURST_S = 0.5
# Below this, a cap would be visible: bits per pixel and frame.
LEAST_BITS_PER_PIXEL = 0.03
# A higher cap than this, bits a second, binds nothing (and libx264 counts in 32 bits).
HIGHEST_CAP = 500_000_000
MOST_THREADS = 4
# Luma, then Cb and Cr side by side, as both encoders keep pictures inside and as the overlay is drawn.
PICTURES = "nv12"
ENCODERS = ("libx264", "h264_nvenc", "auto")
# Of NVIDIA's encoder: its middle preset, and a constant quality on nearly the scale of libx264's crf.
NVENC = {"preset": "p4", "tune": "hq", "rc": "vbr", "b": "0", "bf": "0"}
_log = logging.getLogger(__name__)


class Encoder:
    """The encoder of one stream of an output container.

    Args:
        container: where the stream is added.
        info: of the source: size, time base, colour.
        crf: quality; lower is better and larger.
        preset: of libx264; None for `SCARCE` or `PLENTY`, whatever the source's rate allows.
        threads: of libx264; None for one for each core, MOST_THREADS at most.
        encoder: "libx264", "h264_nvenc" (an NVIDIA GPU's), or "auto": that one where it works.

    Raises:
        ValueError: "h264_nvenc" was asked for and does not work here.

    Attributes:
        stream: of the container.
        name: of the encoder in use.
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
        encoder: str = "libx264",
    ) -> None:
        width, height = info.size
        self.size = width + width % 2, height + height % 2
        self.name = chosen_encoder(encoder, self.size)
        self.stream: Any = container.add_stream(self.name, rate=info.rate or 25)
        self.stream.time_base = info.time_base
        context: Any = self.stream.codec_context
        context.width, context.height = self.size
        context.pix_fmt = PICTURES
        context.time_base = info.time_base
        context.options = {
            **quality(self.name, crf, preset, plenty=has_plenty(info)),
            **rate_cap(info),
        }
        if self.name == "libx264":
            context.thread_count = threads or min(MOST_THREADS, os.cpu_count() or 1)
        context.sample_aspect_ratio = info.sample_aspect_ratio
        context.colorspace = info.colour.space
        context.color_primaries = info.colour.primaries
        context.color_trc = info.colour.trc
        context.color_range = info.colour.range
        self._colour = info.colour
        self._time_base = info.time_base
        # One picture serves for all frames that must be copied: both encoders take a copy of what they are given.
        self._picture = av.VideoFrame(*self.size, PICTURES)

    def encode(self, planes: Planes, pts: int) -> list[Any]:
        """The packets that are ready once this picture is in.

        An odd picture gets its last column or row once more.
        """
        drawn = as_nv12(planes)
        if drawn is not None and planes.size == self.size:
            picture = av.VideoFrame.from_numpy_buffer(drawn, PICTURES)
        else:
            picture = self._picture
            self._copy(planes)
        picture.pts = pts
        picture.time_base = self._time_base
        picture.colorspace = self._colour.space
        picture.color_range = self._colour.range
        return list(self.stream.codec_context.encode(picture))

    def _copy(self, planes: Planes) -> None:
        luma, chroma = (_pixels(plane) for plane in self._picture.planes)
        height, width = planes.y.shape
        luma[:height, :width] = planes.y
        if width % 2:
            luma[:height, width] = planes.y[:, -1]
        if height % 2:
            luma[height] = luma[height - 1]
        pairs = chroma.reshape(len(chroma), -1, 2)[:, : planes.u.shape[1]]
        cv2.merge([planes.u, planes.v], pairs)

    def drain(self) -> list[Any]:
        """The packets still inside; no picture may follow."""
        return list(self.stream.codec_context.encode(None))


def _pixels(plane: Any) -> U8:
    """The bytes of a plane of a picture, (height, bytes in a line)."""
    lines: U8 = np.frombuffer(memoryview(plane), np.uint8)
    return lines.reshape(plane.height, plane.line_size)


def quality(
    encoder: str, crf: float, preset: str | None, *, plenty: bool = False
) -> dict[str, str]:
    """Options of an encoder for a quality; `preset` and `plenty` (of bits) are of libx264."""
    if encoder == "h264_nvenc":
        # Its 0 means "as it likes", not "without loss".
        return {**NVENC, "cq": f"{max(1.0, crf):g}"}
    ours = PLENTY if plenty else SCARCE
    chosen = ours if preset is None else {"preset": preset, "bf": "0"}
    return {**chosen, "crf": f"{crf:g}"}


def chosen_encoder(wish: str, size: tuple[int, int]) -> str:
    """The encoder that a wish of ENCODERS stands for on this machine.

    Raises:
        ValueError: "h264_nvenc" was asked for and does not work here.
    """
    if wish == "libx264":
        return wish
    why = nvenc_problem(size)
    if why is None:
        return "h264_nvenc"
    if wish == "h264_nvenc":
        raise ValueError(
            f'h264_nvenc does not work here: {why}; leave `encoder` out, or say "auto"'
        )
    _log.info("the overlay is encoded by libx264: h264_nvenc does not work here: %s", why)
    return "libx264"


def nvenc_problem(size: tuple[int, int]) -> str | None:
    """Why NVIDIA's encoder cannot take pictures of (width, height) here, or None.

    Only opening it tells: PyAV may have it on machines without a GPU, and some GPUs (A100, H100, H200) decode
    and do not encode.
    """
    try:
        context: Any = av.CodecContext.create("h264_nvenc", "w")
        context.width, context.height = size
        context.pix_fmt = "yuv420p"
        context.time_base = Fraction(1, 25)
        context.options = dict(NVENC)
        context.open()
    except (av.error.FFmpegError, ValueError, OSError) as error:
        return str(getattr(error, "strerror", None) or error)
    return None


def has_plenty(info: SourceInfo) -> bool:
    """Whether the source spends so many bits that its output need not save any."""
    return info.bit_rate is None or info.bit_rate > PLENTY_BITS_PER_PIXEL * _pixel_rate(info)


def rate_cap(info: SourceInfo) -> dict[str, str]:
    """Options that keep the output from growing far beyond its source."""
    if info.bit_rate is None:
        return {}
    most = MOST_OF_SOURCE * info.bit_rate
    if info.path is not None and info.duration_s:
        # Sound is copied as it is, so the pictures may grow by its share, too.
        everything = 8 * Path(info.path).stat().st_size / info.duration_s
        most += (MOST_OF_SOURCE - 1) * max(0.0, everything - info.bit_rate)
        most *= info.duration_s / (info.duration_s + BURST_S)
    most = int(max(most, LEAST_BITS_PER_PIXEL * _pixel_rate(info)))
    if most > HIGHEST_CAP:
        return {}
    return {"maxrate": str(most), "bufsize": str(int(BURST_S * most))}


def _pixel_rate(info: SourceInfo) -> float:
    """Pixels a second."""
    return info.size[0] * info.size[1] * float(info.rate or 25)
