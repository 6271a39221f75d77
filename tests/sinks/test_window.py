from __future__ import annotations

import pytest

from perception.errors import RequestError
from perception.sinks import window
from perception.sinks.window import WindowSink
from tests.sinks.live_results import INFO, result


class Screen:
    """What OpenCV's windows would do."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, gui: str = "GTK3") -> None:
        self.shown: list[tuple[int, ...]] = []
        self.open = ""
        self.key = -1
        self.visible = 1.0
        cv2 = window.cv2
        monkeypatch.setattr(cv2, "getBuildInformation", lambda: f"\n  GUI:      {gui}\n")
        monkeypatch.setattr(cv2, "namedWindow", self._named)
        monkeypatch.setattr(cv2, "resizeWindow", lambda *_: None)
        monkeypatch.setattr(cv2, "imshow", lambda _, image: self.shown.append(image.shape))
        monkeypatch.setattr(cv2, "waitKey", lambda _: self.key)
        monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: self.visible)
        monkeypatch.setattr(cv2, "destroyWindow", self._destroyed)

    def _named(self, title: str, _: int) -> None:
        self.open = title

    def _destroyed(self, title: str) -> None:
        assert title == self.open
        self.open = ""


def test_without_windows_in_opencv_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    Screen(monkeypatch, gui="NONE")
    with pytest.raises(RequestError, match=r"install opencv-python .*or use --page 8080"):
        WindowSink()


def test_without_a_display_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    Screen(monkeypatch)
    monkeypatch.setattr(window.sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(RequestError, match="needs a display"):
        WindowSink()


@pytest.mark.parametrize(("key", "visible"), [(ord("q"), 1.0), (27, 1.0), (-1, 0.0)])
def test_a_key_or_closing_the_window_stops_the_run_once(
    monkeypatch: pytest.MonkeyPatch, key: int, visible: float
) -> None:
    screen = Screen(monkeypatch)
    monkeypatch.setenv("DISPLAY", ":0")
    stopped = []
    sink = WindowSink()
    sink.watch(dict, lambda: stopped.append(1))
    sink.open(INFO)
    sink.write(result(0))
    assert not stopped
    screen.key, screen.visible = key, visible
    sink.write(result(1))
    sink.write(result(2))
    assert stopped == [1]
    assert screen.shown == [(120, 160, 3)] * 3
    sink.close()
    sink.close()
    assert not screen.open
