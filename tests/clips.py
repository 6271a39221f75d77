"""Small clips made on the spot: every codec, container and oddity the sources and sinks must take.

Every picture carries its own number as black and white squares along its top, so a test can tell which
frame it holds whatever the codec did to it.
"""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

SQUARE = 12
BITS = 8
SIZE = (128, 96)
BLACK, WHITE = 32, 220


def picture(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(H, W, 3) uint8 RGB with `number` (0-255) written along the top; otherwise smooth and moving."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    image = np.stack(
        [
            120 + 60 * np.sin(x / 17 + number / 6),
            120 + 50 * np.cos(y / 13 - number / 9),
            90 + 40 * np.sin((x + y) / 29),
        ],
        axis=-1,
    ).astype(np.uint8)
    for bit in range(BITS):
        level = WHITE if number >> bit & 1 else BLACK
        image[:SQUARE, bit * SQUARE : (bit + 1) * SQUARE] = level
    return image


def number_in(luma: np.ndarray) -> int:
    """The number written along the top of a picture of at least BITS * SQUARE pixels width."""
    middle = SQUARE // 2
    row = luma[middle - 2 : middle + 2].mean(axis=0)
    squares = [row[bit * SQUARE + 3 : (bit + 1) * SQUARE - 3].mean() for bit in range(BITS)]
    return sum(1 << bit for bit, level in enumerate(squares) if level > (BLACK + WHITE) / 2)


def variable_pts(frames: int, seed: int = 7) -> tuple[int, ...]:
    """Irregular times in milliseconds: no two gaps alike for long, some of them large."""
    gaps = np.random.default_rng(seed).choice([17, 33, 34, 40, 41, 67, 250], frames - 1)
    return (0, *np.cumsum(gaps).tolist())


@functools.cache
def clip(
    container: str = "mp4",
    codec: str = "libx264",
    *,
    frames: int = 30,
    size: tuple[int, int] = SIZE,
    rate: Fraction | int = 25,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    pixel_format: str = "yuv420p",
    rotation: int = 0,
    audio: tuple[str, ...] = (),
    subtitles: bool = False,
    data: bool = False,
    codec_options: tuple[tuple[str, str], ...] = (),
    container_options: tuple[tuple[str, str], ...] = (),
    colour: tuple[int, int, int, int] | None = None,
    pixel_aspect: Fraction | None = None,
) -> bytes:
    """A clip in memory.

    Args:
        container: FFmpeg's name of the container.
        codec: FFmpeg's name of the encoder.
        pts: of each frame in `time_base`; by default a constant `rate`.
        rotation: degrees anticlockwise by which a player must turn the pictures.
        audio: an encoder for each sound track.
        colour: primaries, transfer, matrix and range tags.
    """
    time_base = time_base or 1 / Fraction(rate)
    pts = pts if pts is not None else range(frames)
    # A real file: an index at the front ("faststart") is made by reading the file again.
    handle, path = tempfile.mkstemp()
    os.close(handle)
    output = av.open(path, "w", format=container, container_options=dict(container_options))
    video: Any = output.add_stream(codec, rate=rate)
    video.width, video.height = size
    video.pix_fmt = pixel_format
    video.codec_context.time_base = time_base
    video.time_base = time_base
    defaults = {"libx264": {"preset": "ultrafast", "g": "12", "threads": "1"}}.get(codec, {})
    video.codec_context.options = {**defaults, **dict(codec_options)}
    if codec == "libx265":
        video.codec_context.options = {
            "preset": "ultrafast",
            "x265-params": "log-level=none:pools=1",
        }
    if colour is not None:
        context = video.codec_context
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = colour
    if pixel_aspect is not None:
        video.codec_context.sample_aspect_ratio = pixel_aspect
    if rotation:
        video.set_display_rotation(rotation)
    sounds = [_Sound(output, name, pitch) for pitch, name in enumerate(audio)]
    side = _SideTracks(output, subtitles=subtitles, data=data)
    for number, at in enumerate(pts):
        frame = av.VideoFrame.from_ndarray(picture(number, size), "rgb24").reformat(
            format=pixel_format
        )
        frame.pts, frame.time_base = at, time_base
        for sound in sounds:
            sound.fill(output, at * time_base)
        side.fill(output, at * time_base)
        output.mux(video.encode(frame))
    output.mux(video.encode(None))
    for sound in sounds:
        sound.end(output)
    output.close()
    data = Path(path).read_bytes()
    os.unlink(path)
    return data


class _Sound:
    """A sine tone beside the pictures."""

    def __init__(self, output: Any, codec: str, pitch: int) -> None:
        self.rate = 48000
        self.stream = output.add_stream(codec, rate=self.rate)
        self.stream.layout = "stereo"
        self.formats = {"aac": "fltp", "libopus": "flt", "libmp3lame": "fltp", "ac3": "fltp"}
        self.format = self.formats.get(codec, "s16")
        self.stream.format = self.format
        self.samples = 0
        self.step = 2 * np.pi * (440 + 110 * pitch) / self.rate

    def fill(self, output: Any, until: Fraction) -> None:
        if self.samples == 0 and until != 0:
            self.samples = int(until * self.rate)
        while self.samples <= until * self.rate:
            wave = np.sin(self.step * (self.samples + np.arange(960))) * 0.3
            stereo = np.stack([wave, -wave])
            if self.format == "s16":
                block = np.ascontiguousarray((stereo * 32767).astype(np.int16).T.reshape(1, -1))
            elif self.format == "flt":
                block = np.ascontiguousarray(stereo.astype(np.float32).T.reshape(1, -1))
            else:
                block = stereo.astype(np.float32)
            frame = av.AudioFrame.from_ndarray(block, format=self.format, layout="stereo")
            frame.sample_rate, frame.pts = self.rate, self.samples
            frame.time_base = Fraction(1, self.rate)
            output.mux(self.stream.encode(frame))
            self.samples += 960

    def end(self, output: Any) -> None:
        output.mux(self.stream.encode(None))


class _SideTracks:
    """Subtitles and data, which a video pipeline must step over."""

    def __init__(self, output: Any, *, subtitles: bool, data: bool) -> None:
        self.streams = []
        if subtitles:
            self.streams.append(output.add_mux_stream("subrip"))
        if data:
            self.streams.append(output.add_data_stream("klv"))
        self.count = 0

    def fill(self, output: Any, until: Fraction) -> None:
        for stream in self.streams:
            packet = av.Packet(b"side note %d" % self.count)
            packet.stream = stream
            packet.time_base = Fraction(1, 1000)
            packet.pts = packet.dts = int(until * 1000)
            packet.duration = 10
            output.mux(packet)
        self.count += 1


def damaged(data: bytes, seed: int) -> bytes:
    """A damaged copy of a file: cut, bytes flipped, runs zeroed or blocks shuffled; the same for a seed."""
    random = np.random.default_rng(seed)
    array = np.frombuffer(data, np.uint8).copy()
    kind = seed % 5
    if kind == 0:
        return array[: random.integers(0, len(array))].tobytes()
    if kind == 1:
        where = random.integers(0, len(array), random.integers(1, 40))
        array[where] = random.integers(0, 256, len(where))
    elif kind == 2:
        for _ in range(random.integers(1, 5)):
            start = random.integers(0, len(array))
            array[start : start + random.integers(1, 3000)] = 0
    elif kind == 3:
        block = int(random.integers(64, 2048))
        blocks = [array[i : i + block] for i in range(0, len(array), block)]
        first, second = random.integers(0, len(blocks), 2)
        blocks[first], blocks[second] = blocks[second], blocks[first]
        array = np.concatenate(blocks)
    else:
        start = random.integers(0, len(array))
        end = min(len(array), start + random.integers(1, 3000))
        array[start:end] = random.integers(0, 256, end - start)
        array = np.delete(array, slice(start, start + random.integers(0, 200)))
    return array.tobytes()


def shown_times(path: Path) -> list[Fraction]:
    """Seconds of every picture a player would show, in order."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        return [frame.pts * video.time_base for frame in container.decode(video)]


def shown_numbers(path: Path) -> list[int]:
    """The number written in every picture of a clip, in order."""
    with av.open(str(path)) as container:
        pictures = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    return [number_in(picture) for picture in pictures]


def sound_packets(path: Path) -> list[list[tuple[Fraction, Fraction, bytes]]]:
    """Of each sound track: time shown, time decoded and bytes of every packet."""
    tracks: dict[int, list[tuple[Fraction, Fraction, bytes]]] = {}
    with av.open(str(path)) as container:
        for track in container.streams.audio:
            tracks[track.index] = []
        if not tracks:
            return []
        for packet in container.demux(*container.streams.audio):
            if packet.size:
                base = packet.time_base
                times = packet.pts * base, packet.dts * base
                tracks[packet.stream_index].append((*times, bytes(packet)))
    return list(tracks.values())
