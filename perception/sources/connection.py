"""One connection to a live stream: FFmpeg's demuxer and decoder, tuned for delay, with an end to every wait."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator
from fractions import Fraction
from time import monotonic
from typing import Any

import av
import av.container
import av.error

from perception.errors import InputError
from perception.sources import SourceInfo
from perception.sources.catchup import CatchUp
from perception.sources.transport import ENDED, Transport

log = logging.getLogger(__name__)

# Where FFmpeg reads the network itself, nobody else can end its wait: it is made to look up this often.
SLICE_S = 1.0
# Formats without time stamps, to which FFmpeg gives 25 frames a second.
TIMELESS = frozenset({"mpjpeg", "mjpeg", "image2pipe", "jpeg_pipe", "png_pipe", "h264", "hevc"})
LOW_DELAY = 1 << 19


class Lost(Exception):
    """The connection is no more; says why."""


class Connection:
    """An iterator of (decoder frame, monotonic seconds at which its packet arrived).

    Args:
        container: an open container.
        name: for messages, without secrets.
        transport: where the container reads from; None when FFmpeg reads the network itself.
        timeout_s: so long without a picture is a lost connection.
        paced: packets come at the pace of a camera: those that this machine cannot decode in time are skipped.
        ready: waits until a read will not block, or returns False to try later; for devices whose reads
            cannot be ended.

    Attributes:
        corrupt: packets that the decoder refused.
        skipped: packets that were not decoded because there was no time.
        stamps_mean_nothing: True when the stream carries no times of its own.

    Raises:
        InputError: there is no picture in the stream.
    """

    def __init__(
        self,
        container: av.container.InputContainer,
        name: str,
        *,
        transport: Transport | None = None,
        timeout_s: float = 3.0,
        paced: bool = True,
        ready: Callable[[], bool] | None = None,
    ) -> None:
        self.corrupt = 0
        self._name = name
        self._container = container
        self._transport = transport
        self._timeout_s = timeout_s
        self._ready = ready
        self._stopped = False
        self._last = monotonic()
        if not container.streams.video:
            kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
            self.close()
            raise InputError(f"{name}: there is no picture in this stream (only {kinds})")
        self._stream = container.streams.video[0]
        # Threads that decode several frames at once would hold each back by as many; few cameras send a picture
        # in slices that threads could share.
        self._stream.thread_type = "NONE"
        self._stream.codec_context.thread_count = 1
        self._stream.codec_context.flags |= LOW_DELAY
        self.stamps_mean_nothing = bool(TIMELESS & set(container.format.name.split(",")))
        self._catch_up = CatchUp() if paced else None
        self._pictures = self._decode()

    def __iter__(self) -> Iterator[tuple[av.VideoFrame, float]]:
        return self

    def __next__(self) -> tuple[av.VideoFrame, float]:
        """The next picture.

        Raises:
            Lost: the stream ended, failed or was silent for too long.
        """
        return next(self._pictures)

    @property
    def skipped(self) -> int:
        return 0 if self._catch_up is None else self._catch_up.skipped

    def describe(self, name: str, transposed: bool) -> SourceInfo:
        """What the container says of the stream."""
        stream = self._stream
        pixel = stream.sample_aspect_ratio or Fraction(1)
        return SourceInfo(
            name=name,
            size=(stream.codec_context.width, stream.codec_context.height),
            time_base=stream.time_base or Fraction(1, 1000),
            rate=stream.average_rate or stream.guessed_rate or None,
            sample_aspect_ratio=1 / pixel if transposed else pixel,
        )

    def interrupt(self) -> None:
        """End a waiting read, at once or within SLICE_S; from any thread."""
        self._stopped = True
        if self._transport is not None:
            self._transport.close()

    def close(self) -> None:
        """From the reading thread, or when nobody reads."""
        self.interrupt()
        if hasattr(self, "_pictures"):
            self._pictures.close()
        self._stream = None  # type: ignore[assignment]
        self._container.close()

    def _decode(self) -> Generator[tuple[av.VideoFrame, float], None, None]:
        for packet, read_s in self._packets():
            arrived = monotonic()
            if self._catch_up is not None and not self._catch_up(
                arrived, read_s, packet.is_keyframe
            ):
                continue
            try:
                pictures = self._stream.codec_context.decode(packet)
            except av.error.FFmpegError as error:
                self.corrupt += 1
                log.debug("%s: a packet was refused (%s)", self._name, error.strerror)
                continue
            for picture in pictures:
                yield picture, arrived

    def _packets(self) -> Iterator[tuple[Any, float]]:
        """Packets of the pictures, and how long each was read."""
        demuxer = self._container.demux()
        while not self._stopped:
            if monotonic() - self._last > self._timeout_s:
                raise Lost(f"no picture for {self._timeout_s:g} s")
            if self._ready is not None and not self._ready():
                continue
            try:
                packet = next(demuxer, None)
            except av.error.ExitError:
                # The slice is over; whether all of the time is, is asked above.
                demuxer = self._container.demux()
                continue
            except (av.error.FFmpegError, OSError) as error:
                raise Lost(getattr(error, "strerror", None) or type(error).__name__) from None
            if packet is None or (packet.size == 0 and packet.pts is None):
                raise Lost(self._transport.end if self._transport is not None else ENDED)
            if packet.stream_index == self._stream.index and packet.size:
                yield packet, monotonic() - self._last
                # Silence is counted from here: a slow pipeline is not the sender's fault.
                self._last = monotonic()
        raise Lost("closed")
