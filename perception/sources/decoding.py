"""From packets to pictures, over whatever is damaged on the way."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import av
import av.container
import av.error

# A read error may be followed by good data; so many in a row without a packet between are the end.
READ_ERRORS_IN_A_ROW = 64
# Packets kept since the last key frame, to read the end again when threads lost some of it.
PACKETS_KEPT = 600
NOTES_KEPT = 20


class PictureReader:
    """Decodes one video stream of a container to its end. One pass.

    Args:
        container, stream: what to read.
        size: of the file in bytes; bounds how long a damaged index can keep the reader busy.

    Attributes:
        sent: packets given to the decoder that should have become a picture each.
        hidden: packets that show nothing: lead-ins behind an edit list, "same as before" chunks of AVI.
        refused: packets the decoder would not take.
        damaged: packets that came from damaged places of the file.
        notes: one sentence for each kind of damage met; bounded.
    """

    def __init__(self, container: av.container.InputContainer, stream: Any, *, size: int) -> None:
        self._container = container
        self._stream = stream
        self._size = size
        self._bytes = 0
        self.sent = 0
        self.hidden = 0
        self.refused = 0
        self.damaged = 0
        self.notes: list[str] = []

    def pictures(self) -> Generator[av.VideoFrame, None, None]:
        """Decoded pictures in presentation order."""
        recent: list[Any] = []
        delivered, last = 0, None
        for packet in self._packets():
            if packet.is_keyframe or len(recent) >= PACKETS_KEPT:
                recent.clear()
            recent.append(packet)
            for picture in self._fed(packet):
                delivered, last = delivered + 1, picture.pts
                yield picture
        for picture in self._fed(None):
            delivered, last = delivered + 1, picture.pts
            yield picture
        if delivered < self.sent and last is not None:
            # A decoder with threads gives up what it still holds when one of the last packets is broken.
            yield from self._tail(recent, last)

    def close(self) -> None:
        """Let go of the stream, whose decoder ends with its last reference; the counters stay."""
        self._stream = None

    def note(self, sentence: str) -> None:
        """Keep a sentence about damage, once."""
        if sentence not in self.notes and len(self.notes) < NOTES_KEPT:
            self.notes.append(sentence)

    def _packets(self) -> Iterator[Any]:
        demuxer = self._container.demux(self._stream)
        errors_in_a_row = 0
        while True:
            try:
                packet: Any = next(demuxer, None)
            except av.error.FFmpegError as error:
                errors_in_a_row += 1
                self.note(
                    f"reading failed after {self._bytes} bytes of pictures ({error.strerror})"
                )
                if errors_in_a_row >= READ_ERRORS_IN_A_ROW:
                    return
                demuxer = self._container.demux(self._stream)
                continue
            except IndexError:
                # PyAV, at the end of a damaged file in which more streams appeared on the way.
                return
            errors_in_a_row = 0
            if packet is None or (packet.size == 0 and packet.dts is None and packet.pts is None):
                return
            self._bytes += packet.size
            self.damaged += bool(packet.is_corrupt)
            if self._bytes > 2 * self._size + 1_000_000 or self.sent > self._size:
                self.note("its index points at the same data again and again; reading ended there")
                return
            if packet.size == 0:
                self.hidden += 1
                continue
            if getattr(packet, "is_discard", False):
                self.hidden += 1
            else:
                self.sent += 1
            yield packet

    def _fed(self, packet: Any) -> list[av.VideoFrame]:
        """The pictures that come out when a packet goes in; None drains the decoder."""
        try:
            return list(self._stream.codec_context.decode(packet))
        except EOFError:
            return []
        except av.error.FFmpegError as error:
            self.refused += 1
            self.note(f"the decoder refused a packet ({error.strerror})")
            return []

    def _tail(self, packets: list[Any], after: int) -> Iterator[av.VideoFrame]:
        """The pictures later than `after`, decoded again from the last key frame without threads."""
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
