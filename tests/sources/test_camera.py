from __future__ import annotations

import os
import pty
from itertools import islice
from pathlib import Path

import pytest

from perception.errors import InputError, RequestError
from perception.sources import LiveOptions, camera, is_live, open_source
from perception.sources.camera import CameraMode, descriptor_of, gstreamer_pipeline, open_camera


@pytest.mark.parametrize(
    ("text", "mode", "options"),
    [
        (None, CameraMode(), {}),
        ("640x480", CameraMode((640, 480)), {"video_size": "640x480"}),
        ("@29.97", CameraMode(rate=29.97), {"framerate": "29.97"}),
        ("/yuyv422", CameraMode(pixel_format="yuyv422"), {"input_format": "yuyv422"}),
        (
            "1280x720@30/mjpeg",
            CameraMode((1280, 720), 30.0, "mjpeg"),
            {"video_size": "1280x720", "framerate": "30", "input_format": "mjpeg"},
        ),
    ],
)
def test_a_mode_is_read_part_by_part(
    text: str | None, mode: CameraMode, options: dict[str, str]
) -> None:
    assert CameraMode.parse(text) == mode
    assert mode.v4l2() == options


@pytest.mark.parametrize("text", ["720p", "1280x", "x720", "1280x720@", "1280x720 30", "@fast"])
def test_a_badly_written_mode_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="must be written as WIDTHxHEIGHT@RATE/FORMAT"):
        CameraMode.parse(text)


@pytest.mark.parametrize("given", [((1280, 720), 30.0, "mjpeg"), ((1280, 720), 29.97, "mjpeg")])
def test_what_was_asked_for_is_accepted(given: tuple[tuple[int, int], float, str]) -> None:
    CameraMode.parse("1280x720@30/mjpeg").check("cam", *given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (((640, 480), 30.0, "mjpeg"), "640x480@30/mjpeg"),
        (((1280, 720), 10.0, "mjpeg"), "1280x720@10/mjpeg"),
        (((1280, 720), 30.0, "yuyv422"), "1280x720@30/yuyv422"),
    ],
)
def test_what_was_not_asked_for_is_refused(
    given: tuple[tuple[int, int], float, str], words: str
) -> None:
    with pytest.raises(InputError, match=f"the camera gives {words}, not what"):
        CameraMode.parse("1280x720@30/mjpeg").check("cam", *given)


def test_a_missing_camera_is_said_with_those_that_are_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(camera.glob, "glob", lambda _: ["/dev/video2", "/dev/video0"])
    with pytest.raises(
        InputError,
        match="/dev/video99: there is no such camera; there are /dev/video0, /dev/video2",
    ):
        open_source("99")


def test_a_device_that_is_no_camera_is_said() -> None:
    with pytest.raises(InputError, match="/dev/null: this is not a camera"):
        open_camera("/dev/null")
    with pytest.raises(InputError, match="/dev/null: the camera refuses this mode"):
        open_camera("/dev/null", options=LiveOptions(camera_mode="640x480"))


def test_the_descriptor_of_a_device_is_found() -> None:
    master, slave = pty.openpty()
    try:
        name = Path(os.ttyname(slave))
        assert descriptor_of(name) == slave
    finally:
        os.close(master)
        os.close(slave)
    assert descriptor_of(name) is None


def test_csi_becomes_a_pipeline_for_the_jetson() -> None:
    made = gstreamer_pipeline("csi://1", CameraMode((1920, 1080), 60.0))
    assert made.startswith("nvarguscamerasrc sensor-id=1 ! ")
    assert "width=1920,height=1080,framerate=60/1" in made
    assert made.endswith("appsink drop=true max-buffers=1 sync=false")


def test_a_pipeline_of_ones_own_gets_an_end_where_it_has_none() -> None:
    assert gstreamer_pipeline("gst://videotestsrc", CameraMode()).startswith("videotestsrc ! ")
    assert "appsink drop=true" in gstreamer_pipeline("gst://videotestsrc", CameraMode())
    own = "videotestsrc ! appsink name=mine"
    assert gstreamer_pipeline(f"gst://{own}", CameraMode()) == own


def test_a_csi_camera_is_named_by_number() -> None:
    with pytest.raises(RequestError, match="csi://0"):
        open_camera("csi://front")


def test_without_gstreamer_a_csi_camera_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera.cv2, "getBuildInformation", lambda: "  GStreamer:   NO\n")
    with pytest.raises(RequestError, match="built without GStreamer; use the system's OpenCV"):
        open_camera("csi://0")


@pytest.mark.parametrize("text", ["0", "/dev/video0", "csi://0", "gst://x", "rtsp://a/b", "-"])
def test_live_sources_are_told_from_files(text: str) -> None:
    assert is_live(text)
    assert not is_live(f"{text}.mp4") or "://" in text or text.startswith("/dev")


def test_a_file_named_by_a_number_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("7").write_bytes(b"")
    assert not is_live("7")


@pytest.mark.camera
def test_a_real_camera_gives_pictures() -> None:
    if not Path("/dev/video0").exists():
        pytest.skip("needs a camera at /dev/video0")
    source = open_camera("0")
    frames = list(islice(source, 10))
    source.close()
    assert len(frames) == 10
    assert frames[-1].image.std() > 0
