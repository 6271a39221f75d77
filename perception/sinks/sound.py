"""Sound tracks of a source file, copied packet by packet into the output, in step with its pictures."""

from __future__ import annotations

import logging
from collections.abc import Generator
from fractions import Fraction
from typing import Any

import av
import av.container
import av.error

from perception.errors import InputError

log = logging.getLogger(__name__)


class SoundCopy:
    """Reads the sound of a file and hands it to a muxer up to a time.

    Args:
        source: the file.
        output: where the packets go; the tracks are added to it.
        name: of the output, for messages.

    Attributes:
        copied: packets copied.
        skipped: packets that the output could not take (their times go backwards).

    Raises:
        InputError: this kind of output cannot hold one of the tracks.
    """

    def __init__(self, source: str, output: av.container.OutputContainer, *, name: str) -> None:
        self.copied = 0
        self.skipped = 0
        self._output: av.container.OutputContainer | None = output
        self._container = av.open(source, metadata_errors="replace")
        self._tracks: dict[int, Any] = {}
        try:
            for track in self._container.streams.audio:
                self._tracks[track.index] = self._added(track, name)
        except BaseException:
            self.close()
            raise
        self._last: dict[int, int] = {}
        self._packets = self._read()
        self._next: Any = None

    @property
    def time_bases(self) -> tuple[Fraction, ...]:
        """Of the tracks, in seconds."""
        return tuple(track.time_base for track in self._container.streams.audio if track.time_base)

    def _added(self, track: Any, name: str) -> Any:
        assert self._output is not None
        codec = "unknown" if track.codec_context is None else track.codec_context.name
        try:
            added = self._output.add_stream_from_template(track)
        except (ValueError, av.error.FFmpegError) as error:
            raise InputError(
                f"{name}: this kind of file cannot hold the source's sound ({codec}); "
                "give an output that ends in .mkv"
            ) from error
        added.time_base = track.time_base
        if track.language is not None:
            added.metadata["language"] = track.language
        return added

    def copy_until(self, time: Fraction | None, shift: Fraction) -> None:
        """Copy the packets up to `time` seconds of the output; all that is left for None.

        Args:
            time: in the output.
            shift: seconds by which the output is later than the source.
        """
        assert self._output is not None
        while True:
            packet = self._next or next(self._packets, None)
            self._next = None
            if packet is None:
                return
            begin = packet.dts if packet.dts is not None else packet.pts
            if begin is not None and time is not None and begin * packet.time_base + shift > time:
                self._next = packet
                return
            self._copy(packet, shift)

    def _copy(self, packet: Any, shift: Fraction) -> None:
        assert self._output is not None
        index = packet.stream_index
        if shift:
            ticks = round(shift / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts + ticks
            packet.dts = None if packet.dts is None else packet.dts + ticks
        begin = packet.dts if packet.dts is not None else packet.pts
        if begin is None or begin <= self._last.get(index, begin - 1):
            self.skipped += 1
            return
        self._last[index] = begin
        packet.stream = self._tracks[index]
        self._output.mux_one(packet)
        self.copied += 1

    def _read(self) -> Generator[Any, None, None]:
        demuxer = self._container.demux(*self._container.streams.audio)
        while True:
            try:
                packet = next(demuxer, None)
            except av.error.FFmpegError as error:
                log.warning("the sound ends early: %s", error.strerror)
                return
            if packet is None:
                return
            if packet.size:
                yield packet

    def close(self) -> None:
        """Idempotent."""
        if hasattr(self, "_packets"):
            self._packets.close()
        self._tracks = {}
        self._next = None
        self._output = None
        self._container.close()
