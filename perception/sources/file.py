"""A video file as a source of frames: exact times, as shown, and honest about what could not be read."""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from time import monotonic
from typing import Any

import av
import av.container
import av.error
import av.video.stream

from perception.colour import planes_to_bgr
from perception.errors import InputError
from perception.sources import SourceInfo
from perception.sources.decoded import PlanesReader
from perception.types import Frame

log = logging.getLogger(__name__)

ATTACHED_PICTURE = 0x400
# A read error may be followed by good data; so many in a row without a packet between are the end.
READ_ERRORS_IN_A_ROW = 64
# A jump back in time by more than this is a new recording in the same file, not a slip.
DISCONTINUITY_S = 1.0
# A damaged header may claim any size; twice 8192 x 4320 is more than any camera makes.
MOST_PIXELS = 2 * 8192 * 4320
# Packets kept since the last key frame, to read the end again when threads lost some of it.
PACKETS_KEPT = 600
DAMAGE_KEPT = 20


class FileSource:
    """The frames of a video file, in presentation order.

    The first frame is decoded at opening, so that a file which cannot be played is refused at once and
    `info` is what will come (size as shown, colour). A damaged file is read as far as it goes: `corrupt`
    counts the frames that were lost and `damage` says what happened. One pass.

    Frames whose time stamp is missing or not after the one before get the nearest possible estimate, and
    `damage` says how many. A frame whose size differs from the first one's is scaled to it.

    Args:
        path: of the file.
        stream: number of this source in a run with several.

    Raises:
        InputError: nothing can be played from this file; says why.
    """

    live = False

    def __init__(self, path: str | Path, *, stream: int = 0) -> None:
        self.path = Path(path)
        self.stream = stream
        self.decoded = 0
        self._hidden = 0
        self._sent = 0
        self._refused = 0
        self._bytes = 0
        self._flawed = 0
        self._estimated = 0
        self._shifted: Fraction | int = 0
        self._last_pts: int | None = None
        self._complete = False
        self._notes: list[str] = []
        self._closing = False
        self._step_lock = threading.Lock()
        self._container: av.container.InputContainer | None = None
        self._size = _checked_size(self.path)
        self._container = _opened(self.path)
        try:
            self._stream = _video_stream(self._container, self.path)
            self._pictures = self._decode()
            self._first = next(self._pictures, None)
            if self._first is None:
                why = f" ({self._notes[0]})" if self._notes else ""
                raise InputError(
                    f"{self.path}: no picture in it could be decoded{why}; the file is damaged or empty"
                )
        except BaseException:
            self.close()
            raise
        self._read = PlanesReader(self._first)
        self.info = self._describe()

    @property
    def claimed(self) -> int | None:
        """Frames the container says it shows: without those its edit list hides."""
        frames = self.info.frames
        return None if frames is None else max(0, frames - self._hidden)

    @property
    def corrupt(self) -> int:
        """Frames that should have come and did not: refused by the decoder, or missing from the file."""
        lost = self._refused
        if self._complete:
            if self.claimed is not None:
                lost = max(lost, self.claimed - self.decoded)
            elif lost or self._notes:
                lost = max(lost, self._sent - self.decoded)
        return lost

    @property
    def damage(self) -> list[str]:
        """One short sentence for each kind of damage met."""
        sentences = list(self._notes)
        if self.corrupt:
            sentences.append(f"{_frames(self.corrupt)} could not be read")
        if self._flawed:
            sentences.append(
                f"{_frames(self._flawed)} were decoded with errors and are shown as they came"
            )
        if self._estimated:
            sentences.append(
                f"{_frames(self._estimated)} had no usable time stamp; theirs are estimates"
            )
        if self._read_rescaled:
            sentences.append(
                f"{_frames(self._read_rescaled)} changed size and were scaled to the first one's"
            )
        return sentences

    @property
    def _read_rescaled(self) -> int:
        return self._read.rescaled if hasattr(self, "_read") else 0

    def __iter__(self) -> Iterator[Frame]:
        while True:
            with self._step_lock:
                if self._closing:
                    return
                picture = self._first or next(self._pictures, None)
                self._first = None
                if picture is None:
                    break
                frame = self._frame(picture)
                del picture
            yield frame
        self._complete = True

    def close(self) -> None:
        """Idempotent, from any thread; waits for the packet being decoded, never for more."""
        self._closing = True
        with self._step_lock:
            container, self._container = self._container, None
            self._first = None
            if container is not None:
                if hasattr(self, "_pictures"):
                    self._pictures.close()
                self._stream = None  # type: ignore[assignment]
                container.close()

    def _frame(self, picture: av.VideoFrame) -> Frame:
        self._flawed += bool(picture.is_corrupt)
        frame = Frame(
            planes=self._read(picture),
            to_bgr=planes_to_bgr,
            index=self.decoded,
            pts=self._time_stamp(picture),
            time_base=self.info.time_base,
            arrived=monotonic(),
            stream=self.stream,
        )
        self.decoded += 1
        return frame

    def _time_stamp(self, picture: av.VideoFrame) -> int:
        """The frame's pts; strictly after the one before."""
        base, last = self.info.time_base, self._last_pts
        step = max(1, round(1 / (self.info.rate or 25) / base))
        if picture.pts is None:
            pts = 0 if last is None else last + step
            self._estimated += 1
        else:
            pts = picture.pts + int(self._shifted)
            if last is not None and pts <= last:
                if (last - pts) * base > DISCONTINUITY_S:
                    self._note(
                        f"time jumps back at {float(last * base):.2f} s; it is counted on from there"
                    )
                    self._shifted = last + step - picture.pts
                    pts = last + step
                else:
                    pts = last + 1
                    self._estimated += 1
        self._last_pts = pts
        return pts

    def _decode(self) -> Generator[av.VideoFrame, None, None]:
        """Decoder frames to the end of the file, over whatever is damaged on the way."""
        recent: list[Any] = []
        delivered = 0
        for packet in self._packets():
            if packet.is_keyframe or len(recent) >= PACKETS_KEPT:
                recent.clear()
            recent.append(packet)
            for picture in self._fed(packet):
                delivered += 1
                last = picture.pts
                yield picture
        for picture in self._fed(None):
            delivered += 1
            last = picture.pts
            yield picture
        if delivered and delivered < self._sent and last is not None:
            # A decoder with threads gives up what it still holds when one of the last packets is broken.
            yield from self._tail(recent, last)

    def _packets(self) -> Iterator[Any]:
        container = self._container
        assert container is not None
        demuxer = container.demux(self._stream)
        errors_in_a_row = 0
        while True:
            try:
                packet = next(demuxer, None)
            except av.error.FFmpegError as error:
                errors_in_a_row += 1
                self._note(f"reading failed at {self._bytes} bytes of video ({error.strerror})")
                if errors_in_a_row >= READ_ERRORS_IN_A_ROW:
                    return
                demuxer = container.demux(self._stream)
                continue
            errors_in_a_row = 0
            if packet is None or (packet.size == 0 and packet.dts is None and packet.pts is None):
                return
            self._bytes += packet.size
            if self._bytes > 2 * self._size + 1_000_000 or self._sent > self._size:
                self._note("its index points at the same data again and again; reading ended there")
                return
            if packet.size == 0 or getattr(packet, "is_discard", False):
                # Nothing to show: a "same as before" chunk of AVI, or a lead-in hidden by an edit list.
                self._hidden += 1
                if packet.size == 0:
                    continue
            else:
                self._sent += 1
            yield packet

    def _fed(self, packet: Any) -> list[av.VideoFrame]:
        try:
            return list(self._stream.codec_context.decode(packet))
        except EOFError:
            return []
        except av.error.FFmpegError as error:
            self._refused += 1
            self._note(f"the decoder refused a packet ({error.strerror})")
            return []

    def _tail(self, packets: list[Any], after: int) -> Iterator[av.VideoFrame]:
        """The frames later than `after`, decoded again from the last key frame without threads."""
        old = self._stream.codec_context
        context: Any = av.CodecContext.create(old.name, "r")
        context.extradata = old.extradata
        context.thread_count = 1
        for packet in [*packets, None]:
            try:
                pictures = context.decode(packet)
            except av.error.FFmpegError:
                continue
            for picture in pictures:
                if picture.pts is not None and picture.pts > after:
                    yield picture

    def _note(self, sentence: str) -> None:
        """Keep a damage sentence once; the list is bounded."""
        if sentence not in self._notes and len(self._notes) < DAMAGE_KEPT:
            self._notes.append(sentence)
            log.debug("%s: %s", self.path, sentence)

    def _describe(self) -> SourceInfo:
        assert self._container is not None
        stream, container = self._stream, self._container
        time_base = stream.time_base or Fraction(1, 1000)
        duration = stream.duration * time_base if stream.duration else None
        if duration is None and container.duration:
            duration = Fraction(container.duration, 1_000_000)
        pixel = (
            stream.codec_context.sample_aspect_ratio or stream.sample_aspect_ratio or Fraction(1)
        )
        if self._read.orientation.transpose:
            pixel = 1 / pixel
        bit_rate = stream.bit_rate
        if not bit_rate and duration:
            bit_rate = int(self._size * 8 / duration)
        return SourceInfo(
            name=self.path.name,
            path=str(self.path),
            size=self._read.size,
            time_base=time_base,
            rate=stream.average_rate or stream.guessed_rate or None,
            frames=stream.frames or None,
            duration_s=None if duration is None else float(duration),
            has_audio=any(other.type == "audio" for other in container.streams),
            matrix=self._read.matrix,
            full_range=self._read.full_range,
            colour=self._read.colour,
            sample_aspect_ratio=pixel,
            bit_rate=bit_rate or None,
            end_pts=stream.duration + (stream.start_time or 0) if stream.duration else None,
        )


def _frames(count: int) -> str:
    return "1 frame" if count == 1 else f"{count} frames"


def _checked_size(path: Path) -> int:
    try:
        size = path.stat().st_size
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check the path") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if path.is_file() and size == 0:
        raise InputError(f"{path}: the file is empty; there is nothing to play")
    return size


def _opened(path: Path) -> av.container.InputContainer:
    try:
        return av.open(
            str(path), options={"max_pixels": str(MOST_PIXELS)}, metadata_errors="replace"
        )
    except av.error.FFmpegError as error:
        raise InputError(_refusal(path, error)) from error


def _refusal(path: Path, error: Any) -> str:
    with path.open("rb") as file:
        head = file.read(4096)
    if head[4:8] == b"ftyp" and not _has_index(path):
        return (
            f"{path}: this MP4 has no index (moov), as after a recording that was cut off; "
            "repair it with the camera's tool or untrunc, then run again"
        )
    if b"\0" not in head and head.isascii():
        return f"{path}: this is a text file, not a video (FFmpeg: {error.strerror}); give a video file"
    return (
        f"{path}: FFmpeg cannot open it as a video ({error.strerror}); is it a complete video file?"
    )


def _has_index(path: Path) -> bool:
    """Walk the top-level boxes of ISO/IEC 14496-12 section 4.2 for a moov."""
    end = path.stat().st_size
    with path.open("rb") as file:
        position = 0
        while position + 8 <= end:
            file.seek(position)
            header = file.read(16)
            size = int.from_bytes(header[:4], "big")
            if header[4:8] == b"moov":
                return True
            if size == 1:
                size = int.from_bytes(header[8:16], "big")
            if size < 8:
                return False
            position += size
    return False


def _video_stream(
    container: av.container.InputContainer, path: Path
) -> av.video.stream.VideoStream:
    """The first video stream that is not a cover picture, ready to decode on all cores."""
    streams = [s for s in container.streams.video if not int(s.disposition) & ATTACHED_PICTURE]
    if not streams:
        what = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise InputError(
            f"{path}: there is no video track in it (only {what}); give a file with pictures"
        )
    playable = [stream for stream in streams if stream.codec_context is not None]
    if not playable:
        raise InputError(
            f"{path}: this build of FFmpeg has no decoder for its video track; convert it first"
        )
    stream = playable[0]
    stream.thread_type = "AUTO"
    context = stream.codec_context
    context.options = {**(context.options or {}), "max_pixels": str(MOST_PIXELS)}
    return stream
