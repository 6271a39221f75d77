"""Opening a video file, or saying in one sentence why it cannot be opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import av.container
import av.error
import av.video.stream

from perception.errors import InputError
from perception.machine import usable_cores

ATTACHED_PICTURE = 0x400
# A damaged header may claim any size; twice 8192 x 4320 is more than any camera makes.
MOST_PIXELS = 2 * 8192 * 4320
FEW_CORES = 2
FULL_HD = 1920 * 1088


def checked_size(path: Path) -> int:
    """The file's size in bytes.

    Raises:
        InputError: it is missing, unreadable or empty.
    """
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


def opened(path: Path, *, hwaccel: Any = None) -> av.container.InputContainer:
    """The file's container.

    Args:
        hwaccel: PyAV's `HWAccel`, to decode on a GPU.

    Raises:
        InputError: FFmpeg cannot make sense of it; says why as far as can be told.
    """
    try:
        return av.open(
            str(path),
            options={"max_pixels": str(MOST_PIXELS)},
            metadata_errors="replace",
            hwaccel=hwaccel,
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


def _is_attached_picture(stream: Any) -> bool:
    # An enum.Flag in PyAV 16, an enum.IntFlag later: both have the number as their value.
    return bool(stream.disposition.value & ATTACHED_PICTURE)


def video_stream(container: av.container.InputContainer, path: Path) -> av.video.stream.VideoStream:
    """The first video stream that is not a cover picture, ready to decode.

    Raises:
        InputError: there is none, or no decoder for it.
    """
    streams = [s for s in container.streams.video if not _is_attached_picture(s)]
    if not streams:
        what = " and ".join(sorted({stream.type for stream in container.streams}))
        only = f"only {what}" if what else "nothing that can be played"
        raise InputError(
            f"{path}: there is no video track in it, {only}; give a file with pictures"
        )
    playable = [stream for stream in streams if stream.codec_context is not None]
    if not playable:
        raise InputError(
            f"{path}: this build of FFmpeg has no decoder for its video track; convert it first"
        )
    stream = playable[0]
    context = stream.codec_context
    if _one_thread_does(context.width * context.height):
        context.thread_count = 1
    else:
        stream.thread_type = "AUTO"
    context.options = {**(context.options or {}), "max_pixels": str(MOST_PIXELS)}
    return stream


def _one_thread_does(pixels: int) -> bool:
    """Whether one thread decodes such pictures (of so many pixels) fast enough for what follows.

    More threads cost a twentieth to a fifth of the decoder's time, and hold back a picture each. On few cores
    network and encoder keep all of them busy beside one thread that decodes; on many, or with large pictures,
    everything would wait for it.
    """
    return usable_cores() <= FEW_CORES and pixels <= FULL_HD
