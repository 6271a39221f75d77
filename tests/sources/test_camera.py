from __future__ import annotations

import os
import pty
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from perception.errors import InputError, RequestError
from perception.sources import LiveOptions, camera, is_live, open_source
from perception.sources.camera import CameraMode, descriptor_of, open_camera


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


class Device:
    """FFmpeg's V4L2 input, played by a test picture of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, path: Path, mode: str) -> None:
        self.asked: list[dict[str, str]] = []
        self.opened: list[Any] = []
        really = av.open

        def fake(file: str, *, format: str, options: dict[str, str]) -> Any:
            assert (file, format) == (str(path), "v4l2")
            self.asked.append(options)
            self.opened.append(really(f"testsrc={mode},format=yuv420p", format="lavfi"))
            return self.opened[-1]

        path.touch()
        monkeypatch.setattr(camera.av, "open", fake)


def test_a_camera_is_asked_for_its_mode_and_gives_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = Device(monkeypatch, tmp_path / "video0", "size=320x240:rate=20:duration=1")
    source = open_camera(
        str(tmp_path / "video0"), options=LiveOptions(camera_mode="320x240@20", reconnect_for_s=0)
    )
    assert device.asked == [{"video_size": "320x240", "framerate": "20"}]
    assert source.info.size == (320, 240)
    assert source.info.rate == 20
    frames = list(islice(source, 15))
    assert [b.pts - a.pts for a, b in pairwise(frames)] == [4500] * 14, "90 kHz over 20 Hz"
    source.close()


@pytest.mark.parametrize("wish", ["640x480", "320x240@30", "/mjpeg"])
def test_a_camera_that_gives_something_else_is_refused_and_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wish: str
) -> None:
    device = Device(monkeypatch, tmp_path / "video0", "size=320x240:rate=20")
    with pytest.raises(InputError, match=r"the camera gives 320x240@20/.*not what --camera-mode"):
        open_camera(str(tmp_path / "video0"), options=LiveOptions(camera_mode=wish))
    with pytest.raises(AssertionError, match="not open"):
        next(device.opened[0].demux())


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
