"""Cameras on this machine: V4L2 devices through FFmpeg, others by way of perception.sources.gstreamer.

A size, rate or pixel format that was asked for is what the driver gives, or it is an error: a camera that
quietly gives something else is the commonest reason for a slow pipeline.
"""

from __future__ import annotations

import glob
import os
import re
import select
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import av.error

from perception.errors import InputError, RequestError
from perception.sources import LiveOptions
from perception.sources.connection import Connection
from perception.sources.gstreamer import (
    GStreamerConnection,
    gstreamer_pipeline,
    need_gstreamer,
    safe_pipeline,
)
from perception.sources.live import LiveSource

# Drivers round rates; 29.97 for 30 is what was asked for.
RATE_TOLERANCE = 0.02
LOOK_S = 0.2
MODE = re.compile(r"(?:(\d+)x(\d+))?(?:@(\d+(?:\.\d+)?))?(?:/(\w+))?")


@dataclass(frozen=True, slots=True)
class CameraMode:
    """What is asked of a camera; None leaves it to the driver.

    Attributes:
        size: (width, height).
        rate: frames per second.
        pixel_format: FFmpeg's name of the format: mjpeg, yuyv422, nv12, h264.
    """

    size: tuple[int, int] | None = None
    rate: float | None = None
    pixel_format: str | None = None

    @classmethod
    def parse(cls, text: str | None) -> CameraMode:
        """From "1280x720@30/mjpeg", every part of which may be left out.

        Raises:
            RequestError: it is not written so.
        """
        found = MODE.fullmatch(text or "")
        if found is None:
            raise RequestError(
                f"camera mode {text!r}: must be written as WIDTHxHEIGHT@RATE/FORMAT, such as 1280x720@30/mjpeg"
            )
        width, height, rate, pixel_format = found.groups()
        return cls(
            (int(width), int(height)) if width else None,
            float(rate) if rate else None,
            pixel_format,
        )

    def v4l2(self) -> dict[str, str]:
        """As options of FFmpeg's V4L2 input."""
        options = {}
        if self.size is not None:
            options["video_size"] = f"{self.size[0]}x{self.size[1]}"
        if self.rate is not None:
            options["framerate"] = f"{self.rate:g}"
        if self.pixel_format is not None:
            options["input_format"] = self.pixel_format
        return options

    def check(
        self, name: str, size: tuple[int, int], rate: float | None, pixel_format: str
    ) -> None:
        """Compare with what the driver gives.

        Raises:
            InputError: says what was asked for and what is given.
        """
        given = f"{size[0]}x{size[1]}" + (f"@{rate:g}" if rate else "") + f"/{pixel_format}"
        wrong = (self.size is not None and self.size != size) or (
            self.pixel_format is not None and self.pixel_format != pixel_format
        )
        if self.rate is not None and rate:
            wrong = wrong or abs(rate / self.rate - 1) > RATE_TOLERANCE
        if wrong:
            raise InputError(
                f"{name}: the camera gives {given}, not what --camera-mode asks for; "
                "`v4l2-ctl --list-formats-ext` lists its modes"
            )


def open_camera(source: str, *, options: LiveOptions | None = None, stream: int = 0) -> LiveSource:
    """Open a camera: a number, a /dev path, csi://N, or gst:// followed by a GStreamer pipeline.

    Raises:
        InputError: it is not there, busy, not allowed, or does not give what was asked for.
        RequestError: this machine's OpenCV has no GStreamer, or the mode is badly written.
    """
    options = options or LiveOptions()
    mode = CameraMode.parse(options.camera_mode)
    if "://" in source:
        pipeline = gstreamer_pipeline(source, mode.size, mode.rate)
        need_gstreamer(source)

        def connect(timeout_s: float) -> Any:
            return GStreamerConnection(
                pipeline,
                safe_pipeline(source),
                open_timeout_s=timeout_s,
                read_timeout_s=options.read_timeout_s,
            )

    else:
        device = Path(f"/dev/video{int(source)}" if source.isdigit() else source)

        def connect(timeout_s: float) -> Any:
            return v4l2_connection(device, mode, options.read_timeout_s)

    return LiveSource(
        safe_pipeline(source) if "://" in source else str(device),
        connect,
        reconnect_for_s=options.reconnect_for_s,
        stream=stream,
    )


def v4l2_connection(device: Path, mode: CameraMode, timeout_s: float) -> Connection:
    """Open a V4L2 device.

    Raises:
        InputError: as `open_camera`.
    """
    if not device.exists():
        there = sorted(glob.glob("/dev/video*"))
        others = (
            f"there are {', '.join(there)}"
            if there
            else "there is no camera at all; is it plugged in?"
        )
        raise InputError(f"{device}: there is no such camera; {others}")
    try:
        container = av.open(str(device), format="v4l2", options=mode.v4l2())
    except (av.error.FFmpegError, ValueError) as error:
        raise InputError(f"{device}: {_camera_refusal(error, mode)}") from None
    stream = container.streams.video[0]
    context = stream.codec_context
    raw = context.name == "rawvideo"
    try:
        mode.check(
            str(device),
            (context.width, context.height),
            float(stream.average_rate) if stream.average_rate else None,
            str(context.pix_fmt) if raw else context.name,
        )
    except InputError:
        container.close()
        raise
    waiting = descriptor_of(device)

    def ready() -> bool:
        # The driver's read knows no time-out and cannot be ended, so the waiting is done here.
        if waiting is None:
            return True
        readable, _, _ = select.select([waiting], [], [], LOOK_S)
        return bool(readable)

    return Connection(container, str(device), timeout_s=timeout_s, ready=ready)


def descriptor_of(device: Path) -> int | None:
    """This process's newest descriptor of a device; None when it has none (or the system does not tell)."""
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        return None
    target = os.path.realpath(device)
    found = None
    for entry in sorted(folder.iterdir(), key=lambda entry: int(entry.name)):
        try:
            if os.readlink(entry) == target:
                found = int(entry.name)
        except OSError:
            continue
    return found


def _camera_refusal(error: Any, mode: CameraMode) -> str:
    if isinstance(error, PermissionError):
        return "this user may not open the camera; join its group with `sudo usermod -aG video $USER` and log in again"
    if isinstance(error, OSError) and error.errno == 16:
        return "the camera is in use by another program; close it"
    if mode != CameraMode():
        return (
            f"the camera refuses this mode ({error.strerror}); "
            "`v4l2-ctl --list-formats-ext` lists its modes"
        )
    return f"this is not a camera that can be read ({getattr(error, 'strerror', None) or error}); the number may be another's"
