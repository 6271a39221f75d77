"""Sound tracks of a source file, copied packet by packet into the output, in step with its pictures."""

from __future__ import annotations

import io
import logging
from collections.abc import Generator
from fractions import Fraction
from typing import Any

import av
import av.bitstream
import av.container
import av.error

from perception.errors import InputError

log = logging.getLogger(__name__)


# Packets tried out on a container before it is chosen; a track's first one comes well within these.
TRIED = 200
# A pause in the sound longer than this is looked at twice, one longer than LONGEST_GAP_S is no pause.
FAR_AHEAD_S = 10.0
LONGEST_GAP_S = 6 * 3600.0
# What a muxer or filter says to a packet that is damaged itself; anything else is the output's fault.
UNUSABLE = (av.error.InvalidDataError, av.error.ArgumentError)


def check_sound(source: str, *, container: str, options: dict[str, str], name: str) -> None:
    """Find out, in memory, whether a kind of container takes the sound of a file.

    A muxer may refuse a track only when its first packet comes, which is too late for the user.

    Args:
        source: the file.
        container: FFmpeg's name of the muxer.
        options: of the muxer.
        name: of the output, for messages.

    Raises:
        InputError: it does not; names the codecs.
    """
    output = av.open(io.BytesIO(), "w", format=container, container_options=dict(options))
    sound = None
    try:
        sound = SoundCopy(source, output, strict=True)
        sound.copy_until(None, Fraction(0), most=TRIED)
        output.close()
    except (av.error.FFmpegError, ValueError) as error:
        codecs = ", ".join(sound.codecs) if sound is not None else str(error)
        raise InputError(
            f"{name}: this kind of file cannot hold the source's sound ({codecs}); "
            "give an output that ends in .mkv, or leave the sound out"
        ) from error
    finally:
        if sound is not None:
            sound.close()


class SoundCopy:
    """Reads the sound of a file and hands it to a muxer up to a time.

    Packets and their times are unchanged. One exception: AAC from a transport stream carries a header on
    every packet (ADTS) that MP4 and MOV keep once, in the track.

    Args:
        source: the file.
        output: where the packets go; the tracks are added to it.
        strict: raise what the output says to the first packet, instead of leaving the packet out.

    Attributes:
        copied: packets copied.
        skipped: packets that were damaged: without a usable time, or refused by the output.

    Raises:
        ValueError: this kind of output cannot hold one of the tracks.
    """

    def __init__(
        self, source: str, output: av.container.OutputContainer, *, strict: bool = False
    ) -> None:
        self._strict = strict
        self.copied = 0
        self.skipped = 0
        self._output: av.container.OutputContainer | None = output
        self._container = av.open(source, metadata_errors="replace")
        self._tracks: dict[int, Any] = {}
        self._filters: dict[int, Any] = {}
        self._last: dict[int, int] = {}
        self._held: dict[int, Any] = {}
        self._packets = self._read()
        self._next: Any = None
        self._next_begin = 0.0  # seconds of the output
        try:
            for track in self._container.streams.audio:
                self._add(track)
        except BaseException:
            self.close()
            raise

    @property
    def time_bases(self) -> tuple[Fraction, ...]:
        """Of the tracks, in seconds."""
        tracks = self._container.streams.audio
        return tuple(t.time_base for t in tracks if t.index in self._tracks and t.time_base)

    @property
    def codecs(self) -> tuple[str, ...]:
        return tuple(track.codec_context.name for track in self._tracks.values())

    def _add(self, track: Any) -> None:
        assert self._output is not None
        if track.codec_context is None:
            raise ValueError("a codec unknown to this build of FFmpeg")
        if not track.codec_context.sample_rate or not track.codec_context.channels:
            log.warning("a sound track without any playable sound is left out")
            return
        added: Any = self._output.add_stream_from_template(track)
        added.time_base = track.time_base
        channels = added.codec_context.channels
        if added.codec_context.layout.name not in ("mono", "stereo") and channels in (1, 2):
            # AVI does not say which loudspeaker a channel is for; MP4 wants to know.
            added.codec_context.layout = "mono" if channels == 1 else "stereo"
        if track.language is not None:
            added.metadata["language"] = track.language
        bare = track.codec_context.name == "aac" and not track.codec_context.extradata
        if bare and self._output.format.name in ("mp4", "mov"):
            self._filters[track.index] = av.bitstream.BitStreamFilterContext("aac_adtstoasc", track)
        self._tracks[track.index] = added

    def copy_until(self, time: float | None, shift: Fraction, *, most: int | None = None) -> None:
        """Copy the packets up to `time` seconds of the output; all that is left for None.

        Args:
            time: in the output.
            shift: seconds by which the output is later than the source.
            most: copy no more packets than this.
        """
        while self._tracks and (most is None or self.copied < most):
            if self._next is not None and time is not None and self._next_begin > time:
                return
            packet = self._next or next(self._packets, None)
            self._next = None
            if packet is None:
                for held in self._held.values():
                    self._write(held)
                self._held.clear()
                return
            begin = packet.dts if packet.dts is not None else packet.pts
            if begin is not None and time is not None:
                # In floats: which of two packets comes first in the file matters to nobody at a microsecond.
                seconds = begin * float(packet.time_base) + float(shift)
                if seconds > time:
                    self._next, self._next_begin = packet, seconds
                    return
            self._copy(packet, shift)

    def _copy(self, packet: Any, shift: Fraction) -> None:
        index = packet.stream_index
        if shift:
            ticks = round(shift / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts + ticks
            packet.dts = None if packet.dts is None else packet.dts + ticks
        if packet.dts is None:
            packet.dts = packet.pts
        if packet.dts is None or packet.pts is None or packet.pts < packet.dts:
            self.skipped += 1
            return
        # A packet far ahead is a pause or one damaged number; the one after it tells, so it waits.
        held = self._held.pop(index, None)
        if held is not None:
            if packet.dts > held.dts:
                self._write(held)
            else:
                self.skipped += 1
        last = self._last.get(index)
        if last is not None and (packet.dts - last) * float(packet.time_base) > FAR_AHEAD_S:
            self._held[index] = packet
        else:
            self._write(packet)

    def _write(self, packet: Any) -> None:
        assert self._output is not None
        index, last = packet.stream_index, self._last.get(packet.stream_index)
        if last is not None:
            gap = packet.dts - last
            if gap <= 0 or gap * float(packet.time_base) > LONGEST_GAP_S:
                self.skipped += 1
                return
        self._last[index] = packet.dts
        try:
            for ready in self._filtered(packet):
                ready.stream = self._tracks[index]
                self._output.mux_one(ready)
        except UNUSABLE:
            if self._strict and not self.copied:
                raise
            self.skipped += 1
        else:
            self.copied += 1

    def _filtered(self, packet: Any) -> list[Any]:
        found = self._filters.get(packet.stream_index)
        if found is None:
            return [packet]
        try:
            return list(found.filter(packet))
        except UNUSABLE:
            self.skipped += 1
            return []

    def _read(self) -> Generator[Any, None, None]:
        tracks = [t for t in self._container.streams.audio if t.index in self._tracks]
        demuxer = self._container.demux(*tracks)
        while True:
            try:
                packet = next(demuxer, None)
            except av.error.FFmpegError as error:
                log.warning("the sound ends early: %s", error.strerror)
                return
            except IndexError:
                # PyAV, at the end of a damaged file in which more streams appeared on the way.
                return
            if packet is None:
                return
            if packet.size:
                yield packet

    def close(self) -> None:
        """Idempotent."""
        self._packets.close()
        self._tracks, self._filters, self._held = {}, {}, {}
        self._next = None
        self._output = None
        self._container.close()
