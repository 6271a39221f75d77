"""The overlay in a window, where there is a display and an OpenCV that can open one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import cv2

from perception.colour import planes_to_bgr
from perception.errors import RequestError
from perception.sources import SourceInfo
from perception.types import FrameResult, Planes

QUIT_KEYS = (ord("q"), 27)
PAGE_INSTEAD = "or use --page 8080 and look at http://127.0.0.1:8080"

Draw = Callable[[FrameResult], Planes]


class WindowSink:
    """Shows every result; q, Escape or closing the window asks the run to stop.

    Args:
        draw: what to show for a result; by default the frame as it is.

    Raises:
        RequestError: no window can be opened here; says why.
    """

    def __init__(self, *, draw: Draw | None = None) -> None:
        check_display()
        self._draw = draw
        self._stop: Callable[[], None] | None = None
        self._title = ""

    def watch(self, counts: Callable[[], dict[str, Any]], stop: Callable[[], None]) -> None:
        """Be told how to stop the run when the window is closed."""
        self._stop = stop

    def open(self, info: SourceInfo) -> None:
        self._title = f"{info.name} - perception"
        cv2.namedWindow(self._title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
        cv2.resizeWindow(self._title, min(info.size[0], 1280), min(info.size[1], 720))

    def write(self, result: FrameResult) -> None:
        """Show one frame."""
        planes = self._draw(result) if self._draw is not None else result.frame.planes
        cv2.imshow(self._title, result.frame.image if planes is None else planes_to_bgr(planes))
        key = cv2.waitKey(1) & 0xFF
        closed = cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1
        if (key in QUIT_KEYS or closed) and self._stop is not None:
            stop, self._stop = self._stop, None
            stop()

    def finish(self, report: dict[str, Any]) -> None:
        """Nothing."""

    def close(self) -> None:
        """Close the window. Idempotent."""
        if self._title:
            cv2.destroyWindow(self._title)
            self._title = ""


def check_display() -> None:
    """Whether a window can be opened.

    Raises:
        RequestError: says what is missing.
    """
    kind = next(
        (
            line.partition(":")[2].strip()
            for line in cv2.getBuildInformation().splitlines()
            if line.strip().startswith("GUI:")
        ),
        "NONE",
    )
    if kind in ("", "NONE"):
        raise RequestError(
            "--show needs an OpenCV that can open windows, but this one was built without: "
            f"install opencv-python in place of opencv-python-headless, {PAGE_INSTEAD}"
        )
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        raise RequestError(
            f"--show needs a display, but there is none here (DISPLAY is not set): log in on the machine, {PAGE_INSTEAD}"
        )
