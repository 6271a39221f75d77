"""Where frames come from: video files, pictures, cameras, network streams."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from perception.errors import InputError, RequestError
from perception.types import Frame

PICTURE_SUFFIXES = frozenset(
    {
        ".bmp",
        ".jpe",
        ".jpeg",
        ".jpg",
        ".jp2",
        ".pbm",
        ".pgm",
        ".png",
        ".ppm",
        ".tif",
        ".tiff",
        ".webp",
    }
)

# FFmpeg's "unspecified" for colour tags.
UNSPECIFIED = 2


@dataclass(frozen=True, slots=True)
class Colour:
    """How a stream's numbers become light, as in ITU-T H.273; 2 means "not said" (0 for the range).

    Attributes:
        primaries, trc, space: colour_primaries, transfer_characteristics, matrix_coefficients.
        range: 0 not said, 1 limited (16-235), 2 full (0-255).
    """

    primaries: int = UNSPECIFIED
    trc: int = UNSPECIFIED
    space: int = UNSPECIFIED
    range: int = 0


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What is known about a source before its first frame.

    Attributes:
        name: short, for messages and the record.
        path: of the file; None when there is none.
        size: (width, height) as shown, after rotation.
        time_base: of every frame's pts, seconds.
        rate: average frames per second; None when unknown.
        frames: as claimed by the container; None when it does not say.
        duration_s: as claimed by the container; None when it does not say.
        has_audio: True when a track of sound lies beside the pictures.
        kind: "video" (frames in time) or "pictures" (each on its own).
        matrix, full_range: of the planes that the frames carry.
        colour: tags for an output that carries these planes.
        sample_aspect_ratio: width to height of one pixel, as shown; 1 when not said.
        bit_rate: bits per second of the pictures; None when unknown.
        end_pts: where the last frame ends, as claimed by the container; None when it does not say.
    """

    name: str
    size: tuple[int, int]
    time_base: Fraction
    path: str | None = None
    rate: Fraction | None = None
    frames: int | None = None
    duration_s: float | None = None
    has_audio: bool = False
    kind: str = "video"
    matrix: str = "bt601"
    full_range: bool = False
    colour: Colour = Colour()
    sample_aspect_ratio: Fraction = Fraction(1)
    bit_rate: int | None = None
    end_pts: int | None = None


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """What is asked of a live source.

    Attributes:
        live: the newest frame matters most: play a file as a camera would, drop waiting frames of a pipe.
        reconnect_for_s: give up a lost connection after so long; None never does.
        open_timeout_s, read_timeout_s: no answer, or no picture, for so long is no connection.
        transport: of RTSP: "tcp" or "udp".
        camera_mode: as "1280x720@30/mjpeg"; None leaves it to the driver.
    """

    live: bool = False
    reconnect_for_s: float | None = None
    open_timeout_s: float = 5.0
    read_timeout_s: float = 3.0
    transport: str = "tcp"
    camera_mode: str | None = None


class Source(Protocol):
    """Frames of one stream, in order.

    Attributes:
        live: True when frames come at their own pace and the newest matters most.
        info: what is known before the first frame.
        decoded: frames handed over so far.
        corrupt: packets or frames that were damaged and skipped.
        claimed: frames the container says it has; None when it does not say.
        damage: one short sentence for each kind of damage met.
    """

    live: bool
    info: SourceInfo

    @property
    def decoded(self) -> int: ...

    @property
    def corrupt(self) -> int: ...

    @property
    def claimed(self) -> int | None: ...

    @property
    def damage(self) -> list[str]: ...

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None:
        """Idempotent, from any thread; ends a waiting read."""


def open_source(
    source: str | Path | Sequence[str | Path],
    *,
    fps: float | None = None,
    stream: int = 0,
    options: LiveOptions | None = None,
    decode: str = "auto",
) -> Source:
    """Open whatever `source` names.

    Args:
        source: a video file, a picture, a folder or glob of pictures, a list of pictures, a camera (0,
            /dev/video0, csi://0), the address of a stream, or "-" for standard input.
        fps: makes pictures a sequence of so many frames a second, instead of each on its own.
        stream: number of this source in a run with several.
        options: of live sources.
        decode: where video files are decoded: "auto", "cpu" or "nvdec"; see `FileSource`.

    Raises:
        InputError: it does not exist or cannot be read; says why and what to do.
        RequestError: a kind of source that is not supported.
    """
    if not isinstance(source, (str, Path)):
        return _pictures([_existing_picture(Path(path)) for path in source], None, fps, stream)
    text = str(source)
    options = options or LiveOptions()
    if isinstance(source, str) and is_live(text):
        return _live(text, fps, stream, options)
    path = Path(text).expanduser()
    if options.live and (path.is_dir() or path.suffix.lower() in PICTURE_SUFFIXES):
        raise RequestError(f"{text}: pictures have no times of their own; --live is for videos")
    if path.is_dir() or (path.exists() and path.suffix.lower() in PICTURE_SUFFIXES):
        return _pictures([path], text, fps, stream)
    if path.exists():
        if fps is not None:
            raise RequestError(f"{text}: fps is for pictures; a video file carries its own times")
        from perception.sources.file import FileSource

        opened = FileSource(path, stream=stream, decode=decode)
        if not options.live:
            return opened
        from perception.sources.replay import ReplaySource

        return ReplaySource(opened)
    if glob.has_magic(text):
        found = [Path(name) for name in glob.glob(str(path), recursive=True)]
        pictures = [
            file for file in found if file.suffix.lower() in PICTURE_SUFFIXES and file.is_file()
        ]
        if not pictures:
            what = (
                f"{len(found)} files match, none of them a picture" if found else "nothing matches"
            )
            raise InputError(
                f"{text}: {what}; a glob is for pictures, videos are given by their own paths"
            )
        return _pictures(pictures, text, fps, stream)
    raise InputError(f"{text}: no such file or folder; check the path")


def is_live(text: str) -> bool:
    """Whether this names a camera, a stream or standard input, and not a file."""
    if text == "-" or "://" in text or text.startswith("/dev/video"):
        return True
    return text.isdigit() and not Path(text).exists()


def is_camera(text: str) -> bool:
    """Whether this names a camera of this machine, or a pipeline of GStreamer."""
    return is_live(text) and (text.isdigit() or text.startswith(("/dev/", "csi://", "gst://")))


def _live(text: str, fps: float | None, stream: int, options: LiveOptions) -> Source:
    if fps is not None:
        raise RequestError(
            "fps is for pictures; a live source has its own pace (--camera-mode @RATE asks for one)"
        )
    if is_camera(text):
        from perception.sources.camera import open_camera

        return open_camera(text, options=options, stream=stream)
    from perception.sources.network import open_stream

    return open_stream(text, options=options, stream=stream)


def _existing_picture(path: Path) -> Path:
    path = path.expanduser()
    if not path.is_file():
        raise InputError(f"{path}: no such file; check the path")
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        raise InputError(f"{path}: is not a picture; only pictures can be given as a list")
    return path


def _pictures(paths: list[Path], name: str | None, fps: float | None, stream: int) -> Source:
    from perception.sources.images import ImagesSource

    return ImagesSource(paths, name=name, fps=fps, stream=stream)
