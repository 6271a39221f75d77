"""Cameras on this machine: V4L2 devices through FFmpeg, and whatever GStreamer can play through OpenCV.

A size, rate or pixel format that was asked for is what the driver gives, or it is an error: a camera that
quietly gives something else is the commonest reason for a slow pipeline.
"""

from __future__ import annotations

import glob
import os
import re
import select
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from time import monotonic
from typing import Any

import av
import av.error
import cv2
import numpy as np

from perception.errors import InputError, RequestError
from perception.sources import LiveOptions, SourceInfo
from perception.sources.connection import Connection, Lost
from perception.sources.live import LiveSource
from perception.types import U8

# Drivers round rates; 29.97 for 30 is what was asked for.
RATE_TOLERANCE = 0.02
LOOK_S = 0.2
MODE = re.compile(r"(?:(\d+)x(\d+))?(?:@(\d+(?:\.\d+)?))?(?:/(\w+))?")
JETSON_CSI = (
    "nvarguscamerasrc sensor-id={sensor} ! video/x-raw(memory:NVMM),width={width},height={height},"
    "framerate={rate}/1,format=NV12 ! nvvidconv ! video/x-raw,format=BGRx ! videoconvert ! "
    "video/x-raw,format=BGR ! appsink drop=true max-buffers=1 sync=false"
)


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
        pipeline = gstreamer_pipeline(source, mode)
        _need_gstreamer(source)

        def connect(timeout_s: float) -> Any:
            return GStreamerConnection(pipeline, source, options.read_timeout_s)

    else:
        device = Path(f"/dev/video{int(source)}" if source.isdigit() else source)

        def connect(timeout_s: float) -> Any:
            return v4l2_connection(device, mode, options.read_timeout_s)

    return LiveSource(
        source if "://" in source else str(device),
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


def gstreamer_pipeline(source: str, mode: CameraMode) -> str:
    """The pipeline for csi://N (a Jetson's camera port), or the one that gst:// spells out.

    Raises:
        RequestError: csi:// without a number.
    """
    kind, _, rest = source.partition("://")
    if kind == "gst":
        return (
            rest
            if "appsink" in rest
            else f"{rest} ! videoconvert ! video/x-raw,format=BGR ! appsink drop=true max-buffers=1"
        )
    if not rest.isdigit():
        raise RequestError(f"{source}: a CSI camera is named by its number, as in csi://0")
    width, height = mode.size or (1280, 720)
    return JETSON_CSI.format(
        sensor=int(rest), width=width, height=height, rate=round(mode.rate or 30)
    )


def _need_gstreamer(source: str) -> None:
    lines = cv2.getBuildInformation().splitlines()
    if not any(line.strip().startswith("GStreamer:") and "YES" in line for line in lines):
        raise RequestError(
            f"{source}: this OpenCV was built without GStreamer; use the system's OpenCV (on a Jetson the "
            "one of JetPack, in a virtual environment made with --system-site-packages)"
        )


class GStreamerConnection:
    """Pictures of a GStreamer pipeline that ends in an appsink giving BGR, by way of OpenCV."""

    corrupt = skipped = 0
    stamps_mean_nothing = True

    def __init__(self, pipeline: str, name: str, timeout_s: float) -> None:
        settings = [cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(timeout_s * 1000)]
        self._capture = cv2.VideoCapture(pipeline, cv2.CAP_GSTREAMER, settings)
        self._name = name
        self._stopped = False
        if not self._capture.isOpened():
            raise InputError(
                f"{name}: GStreamer cannot play this pipeline; try it with gst-launch-1.0 to see why"
            )

    def __iter__(self) -> Iterator[tuple[av.VideoFrame, float]]:
        return self

    def __next__(self) -> tuple[av.VideoFrame, float]:
        good, picture = self._capture.read()
        if self._stopped or not good:
            raise Lost("the pipeline ended or was silent")
        pixels: U8 = np.asarray(picture, np.uint8)
        return av.VideoFrame.from_ndarray(pixels, format="bgr24"), monotonic()

    def describe(self, name: str, transposed: bool) -> SourceInfo:
        """What OpenCV says of the pipeline."""
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        return SourceInfo(
            name=name,
            size=(0, 0),
            time_base=Fraction(1, 1000),
            rate=Fraction(rate).limit_denominator(1001) if rate > 0 else None,
        )

    def interrupt(self) -> None:
        """A waiting read ends with the picture at hand or its time-out."""
        self._stopped = True

    def close(self) -> None:
        self.interrupt()
        self._capture.release()
