"""The overlay video: H.264 with the source's own times, its sound copied, playable even if the run is killed."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.container
import av.error

from perception.colour import bgr_to_planes
from perception.errors import ConfigError, InputError, SinkError, unknown
from perception.sinks import check_output
from perception.sinks.encoder import ENCODERS, PRESETS, Encoder
from perception.sinks.sound import SoundCopy, check_sound
from perception.sources import SourceInfo
from perception.types import FrameResult, Planes

log = logging.getLogger(__name__)

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
# Fragments while recording, so that a killed run leaves a playable file, and one regular index at a clean
# end. The moov waits for the first fragment: it then knows where the tracks begin. FFmpeg before 8.1
# writes that index with wrong offsets when the moov waits, so there the file stays fragmented.
STAYS_FRAGMENTED = "frag_keyframe+delay_moov"
REGULAR_AT_END = "hybrid_fragmented+delay_moov"
MOVFLAGS = REGULAR_AT_END if av.library_versions["libavformat"] >= (62, 12) else STAYS_FRAGMENTED
FRAGMENTS = {"movflags": MOVFLAGS, "frag_duration": "500000"}
CLUSTERS = {"cluster_time_limit": "500", "avoid_negative_ts": "disabled"}
# The claimed end of a stream is believed if the last frame would stay no longer than this.
LONGEST_LAST_FRAME_S = 5.0
# MP4 counts how long a frame is shown in 32 bits, in ticks of at least so many a second.
MOST_TICKS = 2_000_000_000
LEAST_TICKS_A_SECOND = 20_000

Draw = Callable[[FrameResult], Planes]


class VideoSink:
    """Writes one H.264 video.

    Every frame keeps its source's time exactly (MP4 and MOV; Matroska counts in whole milliseconds), so a
    variable rate stays variable. The sound tracks of a source file are copied packet by packet. 4:2:0
    needs even sizes: an odd picture gets its last column or row once more, and `notes` says so.

    Args:
        path: of the file: .mp4, .mov or .mkv; replaced if it exists.
        draw: what to encode for a result; by default the frame as it is.
        crf: quality of libx264; lower is better and larger.
        preset: of libx264; by default this project's own settings (encoder.py).
        audio: copy the source's sound tracks.
        threads: of the encoder; by default one for each core, four at most.
        encoder: "libx264", "h264_nvenc" (on an NVIDIA GPU that has one), or "auto": that where it works.
        inputs: files that are read in the same run; the output may not be one of them.

    Attributes:
        notes: one sentence for each thing the output had to do differently from the source.
        written: frames given to the encoder.

    Raises:
        InputError: the output cannot be written, or its kind cannot hold the source's sound.
        ConfigError: there is no such preset or crf.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        draw: Draw | None = None,
        crf: float = 23.0,
        preset: str | None = None,
        audio: bool = True,
        threads: int | None = None,
        encoder: str = "libx264",
        inputs: tuple[str | Path, ...] = (),
    ) -> None:
        self.path = check_output(path, inputs=inputs)
        suffix = self.path.suffix.lower()
        if suffix not in CONTAINERS:
            raise InputError(
                f"{path}: the output must end in {', '.join(CONTAINERS)}, but ends in {suffix!r}"
            )
        self._format = CONTAINERS[suffix]
        if preset is not None and preset not in PRESETS:
            raise ConfigError(unknown("preset of libx264", preset, PRESETS))
        if not 0 <= crf <= 51:
            raise ConfigError(f"crf must be from 0 (lossless) to 51 (worst), but is {crf:g}")
        if encoder not in ENCODERS:
            raise ConfigError(unknown("encoder", encoder, ENCODERS))
        self._draw = draw
        self._settings: dict[str, Any] = {
            "crf": crf, "preset": preset, "threads": threads, "encoder": encoder
        }  # fmt: skip
        self._audio = audio
        self.notes: list[str] = []
        self.written = 0
        self._container: av.container.OutputContainer | None = None
        self._sound: SoundCopy | None = None
        self._pending: list[Any] = []
        self._whole = 0

    def open(self, info: SourceInfo) -> None:
        """Create the file.

        Raises:
            InputError: it cannot be created, or cannot hold the source's sound.
        """
        self._info = info
        if info.path is not None:
            check_output(self.path, inputs=(info.path,))
        self._shift = 0
        self._last_pts: int | None = None
        self._gap = max(1, round(1 / (info.rate or 25) / info.time_base))
        # Made once: fractions are slow.
        self._tick_s = float(info.time_base)
        self._longest_gap = math.floor(MOST_TICKS / self._ticks(1))
        options = {"max_interleave_delta": "1000000", "flush_packets": "1"}
        if self._format == "matroska":
            options |= CLUSTERS
        else:
            options |= FRAGMENTS
        sounding = info.path if self._audio and info.has_audio else None
        if sounding is not None:
            check_sound(sounding, container=self._format, options=options, name=str(self.path))
        try:
            # Only trying tells: rights alone do not, on a read-only or special file system.
            with self.path.open("ab"):
                pass
            self._container = av.open(
                str(self.path), "w", format=self._format, container_options=options
            )
            self._encoder = Encoder(self._container, info, **self._settings)
        except (av.error.FFmpegError, ValueError, OSError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise InputError(f"{self.path}: cannot be written ({why})") from error
        if self._encoder.size != info.size:
            odd, even = "x".join(map(str, info.size)), "x".join(map(str, self._encoder.size))
            self._say(f"{odd} is odd; the video is {even}")
        if sounding is not None:
            self._sound = SoundCopy(sounding, self._container)
        if self._format != "matroska":
            bases = [info.time_base, *(self._sound.time_bases if self._sound is not None else ())]
            self._container.container_options["movie_timescale"] = str(_movie_timescale(bases))

    def prepare(self, result: FrameResult) -> Planes:
        """The picture to encode for a result."""
        if self._draw is not None:
            return self._draw(result)
        if result.frame.planes is not None:
            return result.frame.planes
        return bgr_to_planes(
            result.frame.image, matrix=self._info.matrix, full_range=self._info.full_range
        )

    def write(self, result: FrameResult, planes: Planes | None = None) -> None:
        """Encode one frame.

        Args:
            result: of the frame.
            planes: what `prepare` made of it, where that was called already.

        Raises:
            SinkError: the disk is full or gone.
        """
        if self._container is None:
            raise SinkError(
                f"{self.path}: a frame came before the video was opened or after it was closed"
            )
        if planes is None:
            planes = self.prepare(result)
        pts = result.frame.pts
        if self._last_pts is None and pts < 0:
            self._start_before_zero(pts)
        if self._last_pts is not None:
            gap = pts - self._last_pts
            if gap > self._longest_gap:
                seconds = float(gap * self._info.time_base)
                raise SinkError(
                    f"{self.path}: two frames {seconds:.0f} s apart are more than it can hold"
                )
            self._gap = gap
        self._last_pts = pts
        if planes.size != self._info.size:
            raise SinkError(
                f"{self.path}: a picture is {planes.size}, but the video is {self._info.size}"
            )
        self._attempt(lambda: self._mux(self._encoder.encode(planes, pts + self._shift)))
        self.written += 1

    def _start_before_zero(self, pts: int) -> None:
        """Frames before time 0, as a cut without re-encoding leaves them."""
        assert self._container is not None
        start = f"the source starts at {float(pts * self._info.time_base):.3f} s"
        if self._format == "matroska" or self._ticks(-pts) > MOST_TICKS:
            self._shift = -pts
            self._say(f"{start}; the output cannot, so pictures and sound are moved to start at 0")
        else:
            # A regular index would hide these frames behind an edit list; fragments keep them.
            self._container.container_options["movflags"] = STAYS_FRAGMENTED
            self._say(f"{start}; to keep these frames the output stays fragmented")

    def finish(self, report: dict[str, Any]) -> None:
        """Nothing: a video has no place for a report."""

    def close(self) -> None:
        """Finish the file: the frames still in the encoder, the rest of the sound, the index. Idempotent.

        Raises:
            SinkError: the disk is full or gone.
        """
        container = self._container
        if container is None:
            return
        self._attempt(self._end)
        self._container = None
        self._release()
        self._remove_empty()

    def _end(self) -> None:
        assert self._container is not None
        if self._last_pts is not None:
            self._mux(self._encoder.drain(), last=True)
        if self._sound is not None:
            self._sound.copy_until(None, self._shift * self._info.time_base)
            if self._sound.skipped:
                self._say(f"damaged sound was left out: {self._sound.skipped} of its packets")
        self._container.close()

    def _mux(self, encoded: list[Any], *, last: bool = False) -> None:
        """Write packets; each waits for the next one, which tells how long it is shown."""
        assert self._container is not None
        packets = [*self._pending, *encoded]
        following = packets[1:]
        if not last:
            self._pending = packets[-1:]
            packets = packets[:-1]
        for i, packet in enumerate(packets):
            packet.stream = self._encoder.stream
            known = i < len(following)
            packet.duration = following[i].pts - packet.pts if known else self._last_duration()
            if self._sound is not None:
                time = packet.dts * self._tick_s
                self._sound.copy_until(time, self._shift * self._info.time_base)
            self._container.mux_one(packet)
            self._whole = self.path.stat().st_size

    def _ticks(self, duration: int) -> Fraction:
        """A duration of the source in the ticks of MP4, as many as they may be."""
        base = self._info.time_base
        return duration * base * max(LEAST_TICKS_A_SECOND, base.denominator)

    def _last_duration(self) -> int:
        """Of the last frame: to where the source says it ends, or as long as the one before."""
        assert self._last_pts is not None
        end = self._info.end_pts
        if (
            end is not None
            and 0 < (end - self._last_pts) * self._info.time_base < LONGEST_LAST_FRAME_S
        ):
            return end - self._last_pts
        return self._gap

    def _attempt(self, action: Callable[[], None]) -> None:
        try:
            action()
        except (av.error.FFmpegError, OSError) as error:
            self._give_up()
            why = getattr(error, "strerror", None) or str(error)
            rest = "; what is there so far plays" if self._whole else ""
            raise SinkError(
                f"{self.path}: the video cannot be written ({why}) after {self.written} frames{rest}"
            ) from error

    def _give_up(self) -> None:
        """Leave what was whole before the failure."""
        container, self._container = self._container, None
        if container is not None:
            try:
                container.close()
            except (av.error.FFmpegError, OSError) as error:
                log.debug("%s: closing after a failure: %s", self.path, error)
            if self._whole:
                os.truncate(self.path, self._whole)
            self._remove_empty()
        self._release()

    def _remove_empty(self) -> None:
        """An empty file is of no use to anybody, and no player opens it."""
        if self.path.is_file() and not self.path.stat().st_size:
            self.path.unlink()

    def _release(self) -> None:
        self._pending = []
        self._encoder = None  # type: ignore[assignment]
        if self._sound is not None:
            self._sound.close()
            self._sound = None

    def _say(self, sentence: str) -> None:
        self.notes.append(sentence)
        log.info("%s: %s", self.path, sentence)


def _movie_timescale(bases: Sequence[Fraction]) -> int:
    """Ticks a second in which every track's start is exact (edit lists count in them), if there is one.

    Args:
        bases: time bases of the tracks, that of the pictures first.
    """
    common = math.lcm(*(base.denominator for base in bases))
    return common if common < 2**31 else max(1000, bases[0].denominator)
