"""Whatever GStreamer can play, by way of an OpenCV that was built with it: a Jetson's CSI cameras, pipelines of one's own.

OpenCV's calls into GStreamer cannot be ended, and most versions know no time-out, so they are made in a thread: who
waits for a picture waits for that thread, and no longer than told. A thread that is stuck is left behind, and
lets its pipeline go should the call ever come back.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from fractions import Fraction
from time import monotonic
from typing import Any

import av
import cv2
import numpy as np

from perception.errors import InputError, RequestError
from perception.sources import SourceInfo
from perception.sources.connection import Lost
from perception.types import U8

CSI = (
    "nvarguscamerasrc sensor-id={sensor} ! video/x-raw(memory:NVMM),width={width},height={height},"
    "framerate={rate}/1,format=NV12 ! nvvidconv ! video/x-raw,format=BGRx ! videoconvert ! "
    "video/x-raw,format=BGR ! appsink drop=true max-buffers=1 sync=false"
)
# For a pipeline that does not say itself where its pictures go.
END = "videoconvert ! video/x-raw,format=BGR ! appsink drop=true max-buffers=1"
# How long the thread may take to end once it was asked.
LEAVE_S = 1.0
SECRETS = re.compile(r"(?<=://)[^/\s@]*(?:@[^/\s@]*)*@|(?<=-pw=)\S+|(?<=-id=)\S+|(?<=password=)\S+")


def gstreamer_pipeline(source: str, size: tuple[int, int] | None, rate: float | None) -> str:
    """The pipeline for csi://N (a Jetson's camera port), or the one that gst:// spells out.

    Raises:
        RequestError: csi:// without a number, gst:// without a pipeline, or a mode for a pipeline of one's own.
    """
    kind, _, rest = source.partition("://")
    rest = rest.strip()
    if kind == "gst":
        if not rest:
            raise RequestError(
                "gst://: there is no pipeline in it, as in 'gst://v4l2src ! jpegdec'"
            )
        if size is not None or rate is not None:
            raise RequestError(
                f"{safe_pipeline(source)}: --camera-mode is for cameras; write size and rate into the pipeline, "
                "as in ... ! video/x-raw,width=1280,height=720,framerate=30/1"
            )
        return rest if "appsink" in rest else f"{rest} ! {END}"
    if not rest.isdigit():
        raise RequestError(f"{source}: a CSI camera is named by its number, as in csi://0")
    width, height = size or (1280, 720)
    return CSI.format(sensor=int(rest), width=width, height=height, rate=round(rate or 30))


def safe_pipeline(source: str) -> str:
    """The pipeline as it may be shown: without users and passwords.

    >>> safe_pipeline("gst://rtspsrc location=rtsp://me:secret@cam/live user-pw=secret ! decodebin")
    'gst://rtspsrc location=rtsp://cam/live user-pw= ! decodebin'
    """
    return SECRETS.sub("", source)


def need_gstreamer(source: str) -> None:
    """Check that this OpenCV has GStreamer.

    Raises:
        RequestError: it was built without.
    """
    lines = cv2.getBuildInformation().splitlines()
    if not any(line.strip().startswith("GStreamer:") and "YES" in line for line in lines):
        raise RequestError(
            f"{safe_pipeline(source)}: this OpenCV was built without GStreamer; use the system's OpenCV (on a Jetson the "
            "one of JetPack, in a virtual environment made with --system-site-packages)"
        )


class GStreamerConnection:
    """Pictures of a pipeline that ends in an appsink giving BGR; see `perception.sources.connection.Connection`.

    Only the newest picture is kept, as in the pipeline's own sink.

    Args:
        open_timeout_s: for the pipeline to play.
        read_timeout_s: so long without a picture is a lost connection.

    Raises:
        InputError: GStreamer cannot play it, or it does not play in time.
    """

    corrupt = skipped = 0
    stamps_mean_nothing = True

    def __init__(
        self, pipeline: str, name: str, *, open_timeout_s: float, read_timeout_s: float
    ) -> None:
        self._name = name
        self._timeout_s = read_timeout_s
        self._changed = threading.Condition()
        self._opened: bool | None = None
        self._rate = 0.0
        self._picture: tuple[U8, float] | None = None
        self._ended = self._stopped = False
        self._thread = threading.Thread(
            target=self._play, args=(pipeline,), name="perception-gstreamer", daemon=True
        )
        self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._opened is not None, open_timeout_s)
            opened = self._opened
        if not opened:
            self.close()
            if opened is None:
                raise InputError(
                    f"{name}: the pipeline did not begin to play within {open_timeout_s:g} s; does its source send?"
                )
            raise InputError(
                f"{name}: GStreamer cannot play this pipeline; try it with gst-launch-1.0 to see why"
            )

    def __iter__(self) -> Iterator[tuple[av.VideoFrame, float]]:
        return self

    def __next__(self) -> tuple[av.VideoFrame, float]:
        """The newest picture.

        Raises:
            Lost: the pipeline ended or was silent for too long.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._picture is not None or self._ended or self._stopped, self._timeout_s
            )
            taken, self._picture = self._picture, None
            if self._stopped:
                raise Lost("closed")
            if taken is None:
                silent = f"no picture for {self._timeout_s:g} s"
                raise Lost("the pipeline ended" if self._ended else silent)
        pixels, arrived = taken
        return av.VideoFrame.from_ndarray(pixels, format="bgr24"), arrived

    def describe(self, name: str, transposed: bool) -> SourceInfo:
        """What OpenCV says of the pipeline."""
        rate = Fraction(self._rate).limit_denominator(1001) if self._rate > 0 else None
        return SourceInfo(name=name, size=(0, 0), time_base=Fraction(1, 1000), rate=rate)

    def interrupt(self) -> None:
        """End a waiting read at once; from any thread."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def close(self) -> None:
        """From the reading thread, or when nobody reads."""
        self.interrupt()
        self._thread.join(LEAVE_S)

    def _play(self, pipeline: str) -> None:
        """All that touches GStreamer."""
        capture: Any = cv2.VideoCapture(pipeline, cv2.CAP_GSTREAMER)
        opened = bool(capture.isOpened())
        self._rate = float(capture.get(cv2.CAP_PROP_FPS)) if opened else 0.0
        with self._changed:
            self._opened = opened
            self._changed.notify_all()
        while opened and not self._stopped:
            good, picture = capture.read()
            with self._changed:
                if good:
                    self._picture = np.asarray(picture, np.uint8), monotonic()
                else:
                    self._ended, opened = True, False
                self._changed.notify_all()
        capture.release()
