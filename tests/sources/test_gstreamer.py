from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import islice, pairwise
from typing import Any

import cv2
import numpy as np
import pytest

from perception.errors import InputError, RequestError
from perception.sources import LiveOptions, gstreamer, live
from perception.sources.camera import open_camera
from perception.sources.connection import Lost
from perception.sources.gstreamer import GStreamerConnection, gstreamer_pipeline, safe_pipeline


class Capture:
    """OpenCV's capture of a pipeline: so many pictures, then the end, or a call that never comes back."""

    pictures = 1000
    opens: Any = True
    stuck = threading.Event()
    pipelines: tuple[str, ...] = ()
    released = 0

    def __init__(self, pipeline: str, api: int) -> None:
        assert api == cv2.CAP_GSTREAMER
        Capture.pipelines = (*Capture.pipelines, pipeline)
        if self.opens is None:
            self.stuck.wait()
        self._given = 0

    def isOpened(self) -> bool:
        return bool(self.opens)

    def get(self, what: int) -> float:
        return 25.0 if what == cv2.CAP_PROP_FPS else 0.0

    def read(self) -> tuple[bool, Any]:
        time.sleep(0.01)
        if self._given == self.pictures:
            if self.stuck.is_set():
                return False, None
            self.stuck.wait()
        self._given += 1
        return True, np.full((48, 64, 3), 10 * self._given % 256, np.uint8)

    def release(self) -> None:
        Capture.released += 1


@pytest.fixture
def capture(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Capture]]:
    monkeypatch.setattr(gstreamer.cv2, "VideoCapture", Capture)
    monkeypatch.setattr(gstreamer.cv2, "getBuildInformation", lambda: "  GStreamer:  YES (1.22)\n")
    monkeypatch.setattr(Capture, "stuck", threading.Event())
    monkeypatch.setattr(Capture, "pipelines", ())
    monkeypatch.setattr(Capture, "released", 0)
    yield Capture
    Capture.stuck.set()
    for thread in threading.enumerate():
        if thread.name == "perception-gstreamer":
            thread.join(5)
            assert not thread.is_alive()


def connection(**times: float) -> GStreamerConnection:
    limits = {"open_timeout_s": 5.0, "read_timeout_s": 5.0} | times
    return GStreamerConnection("videotestsrc ! appsink", "gst://videotestsrc", **limits)


def test_pictures_of_a_pipeline_are_frames(capture: type[Capture]) -> None:
    source = open_camera("gst://videotestsrc")
    frames = list(islice(source, 5))
    assert source.info.size == (64, 48)
    assert source.info.rate == 25
    assert source.info.name == "gst://videotestsrc"
    values = [int(frame.image[0, 0, 0]) for frame in frames]
    assert values == sorted(set(values)), "newer and newer"
    assert all(b.arrived > a.arrived for a, b in pairwise(frames))
    source.close()
    assert capture.released == 1


def test_a_jetsons_camera_is_asked_for_its_mode(capture: type[Capture]) -> None:
    source = open_camera("csi://1", options=LiveOptions(camera_mode="1920x1080@60"))
    source.close()
    assert capture.pipelines[0].startswith("nvarguscamerasrc sensor-id=1 ! ")
    assert "width=1920,height=1080,framerate=60/1" in capture.pipelines[0]


def test_a_pipeline_that_ends_is_a_lost_connection(
    capture: type[Capture], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "FIRST_WAIT_S", 0.05)
    monkeypatch.setattr(capture, "pictures", 3)
    capture.stuck.set()
    source = open_camera("gst://videotestsrc num-buffers=3")
    frames = iter(source)
    while not source.reconnects:
        next(frames)
    assert source.take_events()[0].data["reason"] == "the pipeline ended"
    assert len(capture.pipelines) == 2
    source.close()


def test_a_silent_pipeline_is_lost_in_time(
    capture: type[Capture], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "pictures", 1)
    made = connection(read_timeout_s=0.2)
    next(made)
    start = time.monotonic()
    with pytest.raises(Lost, match=r"no picture for 0\.2 s"):
        next(made)
    assert time.monotonic() - start < 1
    monkeypatch.setattr(gstreamer, "LEAVE_S", 0.1)
    made.close()
    assert time.monotonic() - start < 2, "a call that is stuck is left behind"


def test_closing_ends_a_waiting_read(
    capture: type[Capture], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "pictures", 1)
    made = connection()
    next(made)
    timer = threading.Timer(0.1, made.interrupt)
    timer.start()
    start = time.monotonic()
    with pytest.raises(Lost, match="closed"):
        next(made)
    assert time.monotonic() - start < 1
    timer.join()


def test_a_pipeline_that_cannot_be_played_is_said(
    capture: type[Capture], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "opens", False)
    with pytest.raises(InputError, match="GStreamer cannot play this pipeline; try it with gst"):
        open_camera("gst://nosuch")


def test_a_pipeline_that_does_not_begin_is_said_in_time(
    capture: type[Capture], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "opens", None)
    monkeypatch.setattr(gstreamer, "LEAVE_S", 0.1)
    start = time.monotonic()
    with pytest.raises(InputError, match=r"did not begin to play within 0\.2 s; does its source"):
        connection(open_timeout_s=0.2)
    assert time.monotonic() - start < 2


def test_csi_becomes_a_pipeline_for_the_jetson() -> None:
    made = gstreamer_pipeline("csi://0", None, None)
    assert made.startswith("nvarguscamerasrc sensor-id=0 ! ")
    assert "width=1280,height=720,framerate=30/1" in made
    assert made.endswith("appsink drop=true max-buffers=1 sync=false")


def test_a_pipeline_of_ones_own_gets_an_end_where_it_has_none() -> None:
    made = gstreamer_pipeline("gst://videotestsrc", None, None)
    assert made.startswith("videotestsrc ! videoconvert ! ")
    assert "appsink drop=true" in made
    own = "videotestsrc ! appsink name=mine"
    assert gstreamer_pipeline(f"gst://{own}", None, None) == own


@pytest.mark.parametrize(
    ("source", "size", "sentence"),
    [
        ("csi://front", None, "named by its number, as in csi://0"),
        ("csi://", None, "named by its number"),
        ("gst://", None, "there is no pipeline in it"),
        ("gst://videotestsrc", (640, 480), "write size and rate into the pipeline"),
    ],
)
def test_what_is_no_pipeline_is_refused(
    source: str, size: tuple[int, int] | None, sentence: str
) -> None:
    with pytest.raises(RequestError, match=sentence):
        gstreamer_pipeline(source, size, None)


def test_without_gstreamer_a_csi_camera_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gstreamer.cv2, "getBuildInformation", lambda: "  GStreamer:   NO\n")
    with pytest.raises(RequestError, match="built without GStreamer; use the system's OpenCV"):
        open_camera("csi://0")


@pytest.mark.parametrize(
    "pipeline",
    [
        "gst://rtspsrc location=rtsp://me:hunter2@cam:554/live ! decodebin",
        "gst://rtspsrc location=rtsp://cam/live user-id=hunter2 user-pw=hunter2 ! decodebin",
        "gst://souphttpsrc location=http://me:hun@hunter2@cam/a ! decodebin",
    ],
)
def test_names_of_pipelines_show_no_secrets(pipeline: str) -> None:
    shown = safe_pipeline(pipeline)
    assert "hunter2" not in shown
    assert "decodebin" in shown
    assert "/cam" in shown


def test_this_machines_gstreamer_plays() -> None:
    if "GStreamer:                   YES" not in cv2.getBuildInformation():
        pytest.skip("needs an OpenCV with GStreamer, such as the system's")
    source = open_camera("gst://videotestsrc is-live=true ! video/x-raw,width=160,height=120")
    frames = list(islice(source, 5))
    source.close()
    assert frames[-1].size == (160, 120)
