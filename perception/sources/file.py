"""A video file as a source of frames: exact times, as shown, and honest about what could not be read."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from time import monotonic
from typing import Any

from av.codec.hwaccel import HWAccel

from perception.colour import planes_to_bgr
from perception.errors import EngineError, InputError, RequestError, unknown
from perception.sources import SourceInfo
from perception.sources.decoded import Orientation, PlanesReader
from perception.sources.decoding import PictureReader
from perception.sources.opening import checked_size, opened, video_stream
from perception.sources.timing import TimeStamps
from perception.types import Frame

# Pictures held at the start until one has a time stamp.
UNDATED_KEPT = 16
DECODE = ("auto", "cpu", "nvdec")
JUMPS_TOLD = 10
_log = logging.getLogger(__name__)


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
        decode: "cpu"; "nvdec", on an NVIDIA GPU; or "auto": there where PyNvVideoCodec is installed and can
            decode this file, else on the CPU. Frames decoded by PyNvVideoCodec carry `Frame.device`; without
            it, "nvdec" decodes by PyAV, which brings every picture to the host.

    Attributes:
        decoder: what decodes: "cpu", "nvdec" or "nvdec through the host".

    Raises:
        InputError: nothing can be played from this file, or not on the GPU where that was asked for; says why.
        RequestError: `decode` is none of these.
    """

    live = False

    def __init__(self, path: str | Path, *, stream: int = 0, decode: str = "auto") -> None:
        if decode not in DECODE:
            raise RequestError(unknown("place to decode", decode, DECODE))
        self.path = Path(path)
        self.decoder = "cpu"
        self.stream = stream
        self.decoded = 0
        self._flawed = 0
        self._waiting: deque[Any] = deque()
        self._complete = False
        self._closing = False
        self._step_lock = threading.Lock()
        size = checked_size(self.path)
        container = opened(self.path)
        try:
            video = video_stream(container, self.path)
            self._reader = PictureReader(container, video, size=size)
            self._pictures = self._reader.pictures()
            self._waiting = self._first_pictures()
            self._planes = PlanesReader(self._waiting[0])
            self.info = self._describe(container, video, size)
            if decode != "cpu":
                container = self._moved_to_gpu(container, video, size, decode)
        except BaseException:
            container.close()
            raise
        self._container: Any = container
        self._times = TimeStamps(self.info.time_base, self.info.rate)
        self._date_back()

    @property
    def claimed(self) -> int | None:
        """Frames the container says it shows: without those its edit list hides."""
        frames = self.info.frames
        return None if frames is None else max(0, frames - self._reader.hidden)

    @property
    def corrupt(self) -> int:
        """Frames that should have come and did not: refused by the decoder, or missing from the file."""
        reader = self._reader
        if not self._complete:
            return reader.refused
        if self.claimed is not None:
            return max(0, self.claimed - self.decoded)
        end = self._times.missing_before(self.info.end_pts)
        if end > 1 or reader.refused or reader.damaged or reader.notes or self._flawed:
            gaps = self._times.missing_within
            return max(reader.refused, reader.sent - self.decoded, gaps + end)
        return 0

    @property
    def damage(self) -> list[str]:
        """One short sentence for each kind of damage met."""
        counted = {
            "could not be read": self.corrupt,
            "decoded with errors, shown as they came": self._flawed,
            "without a usable time stamp, theirs is estimated": self._times.estimated,
            "of another size, scaled to the first one's": self._planes.rescaled,
        }
        jumps = [f"time jumps at {at:.2f} s; it is counted on" for at in self._times.jumps]
        return (
            self._reader.notes
            + jumps[:JUMPS_TOLD]
            + [
                f"{count} frame{'s' if count > 1 else ''} {what}"
                for what, count in counted.items()
                if count
            ]
        )

    def __iter__(self) -> Iterator[Frame]:
        while True:
            with self._step_lock:
                if self._closing:
                    return
                picture = self._next()
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
            self._waiting.clear()
            if container is not None:
                self._reader.close()
                self._pictures.close()
                container.close()

    def _moved_to_gpu(self, container: Any, video: Any, size: int, decode: str) -> Any:
        """The container to read from: another one, from its start, where the GPU decodes.

        What the CPU has decoded until here only told what will come.

        Raises:
            InputError: the GPU was asked for and cannot do it.
        """
        from perception.sources.nvdec import GpuReader, obstacle

        why = obstacle(video, self._waiting[0])
        if why is None and self._planes.orientation != Orientation():
            why = "its pictures are turned to be shown"
        if why is None:
            try:
                colour = self._planes.matrix, self._planes.full_range

                def on_gpu(moved: Any, stream: Any) -> PictureReader:
                    return GpuReader(moved, stream, colour, size=size)

                return self._start_again(container, on_gpu, "nvdec")
            except (EngineError, InputError) as error:
                why = str(error)
        if decode == "auto":
            _log.debug("%s is decoded on the CPU: %s", self.path.name, why)
            return container
        try:
            accelerated = HWAccel(device_type="cuda", allow_software_fallback=False)
            moved = self._start_again(
                container,
                lambda moved, stream: PictureReader(moved, stream, size=size),
                "nvdec through the host",
                hwaccel=accelerated,
            )
        except (InputError, OSError, RuntimeError, ValueError, NotImplementedError) as error:
            raise InputError(
                f"{self.path}: cannot be decoded on the GPU: {why}; nor by PyAV there ({error}); "
                "`--decode cpu` decodes it on the CPU"
            ) from error
        _log.info("%s: pictures are brought to the host: %s", self.path.name, why)
        return moved

    def _start_again(
        self,
        container: Any,
        make_reader: Callable[[Any, Any], PictureReader],
        decoder: str,
        *,
        hwaccel: Any = None,
    ) -> Any:
        """Open the file once more for another reader; the first container is closed once that has a picture."""
        before = self._reader, self._pictures, self._waiting
        moved = opened(self.path, hwaccel=hwaccel)
        try:
            self._reader = make_reader(moved, video_stream(moved, self.path))
            self._pictures = self._reader.pictures()
            self._waiting = self._first_pictures()
        except BaseException:
            if self._reader is not before[0]:
                self._reader.close()
            moved.close()
            self._reader, self._pictures, self._waiting = before
            raise
        before[0].close()
        before[1].close()
        container.close()
        self.decoder = decoder
        return moved

    def _next(self) -> Any:
        picture = self._waiting.popleft() if self._waiting else next(self._pictures, None)
        if picture is not None and self._times.is_far_ahead(picture.pts):
            # A pause of the camera, or one damaged number: the frame after tells.
            if not self._waiting and (following := next(self._pictures, None)) is not None:
                self._waiting.append(following)
            if self._waiting and self._times.is_spike(picture.pts, self._waiting[0].pts):
                picture.pts = None
        return picture

    def _first_pictures(self) -> deque[Any]:
        """The first picture, and those after it until one has a time stamp."""
        first: deque[Any] = deque()
        for picture in self._pictures:
            first.append(picture)
            if picture.pts is not None or len(first) == UNDATED_KEPT:
                break
        if not first:
            why = f" ({self._reader.notes[0]})" if self._reader.notes else ""
            raise InputError(
                f"{self.path}: no picture in it could be decoded{why}; the file is damaged or empty"
            )
        return first

    def _date_back(self) -> None:
        """Give pictures without a time before the first one with a time theirs, one step apart."""
        dated = self._waiting[-1].pts
        if dated is not None:
            self._times.estimated += len(self._waiting) - 1
            for i, picture in enumerate(reversed(self._waiting)):
                picture.pts = dated - i * self._times.step

    def _frame(self, picture: Any) -> Frame:
        self._flawed += bool(picture.is_corrupt)
        device = getattr(picture, "device", None)
        if device is not None and device.size != self._planes.coded_size:
            raise InputError(
                f"{self.path}: its pictures change from {self._planes.coded_size} to {device.size} at "
                f"frame {self.decoded}; `--decode cpu` scales them"
            )
        frame = Frame(
            planes=self._planes(picture) if device is None else None,
            device=device,
            to_bgr=planes_to_bgr,
            index=self.decoded,
            pts=self._times(picture.pts),
            time_base=self.info.time_base,
            arrived=monotonic(),
            stream=self.stream,
        )
        self.decoded += 1
        return frame

    def _describe(self, container: Any, stream: Any, size: int) -> SourceInfo:
        time_base = stream.time_base or Fraction(1, 1000)
        tags = stream.metadata
        duration = end = None
        if stream.duration:
            duration = stream.duration * time_base
            end = duration + (stream.start_time or 0) * time_base
        elif "DURATION" in tags:
            # Matroska writes it at the end of a recording: where the last frame of this track ends.
            duration = end = _seconds(tags["DURATION"])
        elif container.duration:
            duration = Fraction(container.duration, 1_000_000)
            end = duration if len(container.streams) == 1 else None
        pixel = (
            stream.codec_context.sample_aspect_ratio or stream.sample_aspect_ratio or Fraction(1)
        )
        if self._planes.orientation.transpose:
            pixel = 1 / pixel
        bit_rate = stream.bit_rate
        if not bit_rate and duration:
            bit_rate = int(size * 8 / duration)
        return SourceInfo(
            name=self.path.name,
            path=str(self.path),
            size=self._planes.size,
            time_base=time_base,
            rate=stream.average_rate or stream.guessed_rate or None,
            frames=stream.frames or _count(tags.get("NUMBER_OF_FRAMES", "")),
            duration_s=None if duration is None else float(duration),
            has_audio=any(other.type == "audio" for other in container.streams),
            matrix=self._planes.matrix,
            full_range=self._planes.full_range,
            colour=self._planes.colour,
            sample_aspect_ratio=pixel,
            bit_rate=bit_rate or None,
            end_pts=None if end is None else round(end / time_base),
        )


def _seconds(text: str) -> Fraction | None:
    """From Matroska's "hours:minutes:seconds"; None when it is something else."""
    try:
        hours, minutes, seconds = (Fraction(part) for part in text.strip("\0 ").split(":"))
    except (ValueError, ZeroDivisionError):
        return None
    return hours * 3600 + minutes * 60 + seconds or None


def _count(text: str) -> int | None:
    return int(text) if text.isdecimal() and int(text) else None
