from __future__ import annotations

import io

import pytest

from perception.progress import Progress, clock


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_pipe_stays_quiet() -> None:
    stream = io.StringIO()
    progress = Progress("clip", 10, stream=stream)
    for _ in range(10):
        progress.advance()
    progress.end()
    assert stream.getvalue() == ""


def test_the_line_says_share_rate_and_time_left() -> None:
    progress = Progress("clip", 40, stream=Terminal())
    for _ in range(10):
        progress.advance()
    assert "25%" in progress.line(2.0)
    assert "10/40  5.0 fps  0:06 left" in progress.line(2.0)


def test_without_a_total_there_is_no_bar() -> None:
    progress = Progress("camera", None, stream=Terminal())
    progress.advance()
    assert progress.line(1.0) == "camera  1 frames  1.0 fps"


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (75, "1:15"), (3723, "1:02:03")])
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text
