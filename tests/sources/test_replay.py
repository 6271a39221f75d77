from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from perception.errors import RequestError
from perception.pipeline import Pipeline
from perception.runner import Run, run
from perception.sources import LiveOptions, SourceInfo, open_source
from perception.sources.replay import ReplaySource
from perception.types import Frame, FrameResult
from tests.sources.senders import transport_stream

PICTURE = np.zeros((8, 8, 3), np.uint8)


class Slow:
    """A stage that needs `pause_s` for a frame."""

    name = "slow"
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()

    def __init__(self, pause_s: float) -> None:
        self._pause_s = pause_s

    def __call__(self, result: FrameResult) -> None:
        time.sleep(self._pause_s)

    def close(self) -> None: ...


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "drive.ts"
    path.write_bytes(transport_stream(frames=25))
    return path


def replay(path: Path) -> ReplaySource:
    source = open_source(path, options=LiveOptions(live=True))
    assert isinstance(source, ReplaySource)
    return source


def test_frames_come_when_a_camera_would_give_them(recording: Path) -> None:
    source = replay(recording)
    start = time.monotonic()
    frames = list(source)
    source.close()
    assert len(frames) == 25
    assert time.monotonic() - start >= 0.95
    late = [frame.arrived - frame.time for frame in frames]
    assert max(late) - min(late) < 1e-6, "arrived is when the frame was due"
    assert all(frame.wall is not None for frame in frames)


def test_a_slow_pipeline_drops_frames_and_every_one_is_accounted_for(recording: Path) -> None:
    report = run(replay(recording), Pipeline([Slow(0.15)]))
    ledger = report.ledger
    assert ledger.adds_up
    assert ledger.decoded == 25 == ledger.inferred + ledger.dropped
    assert 4 <= ledger.inferred <= 12
    assert max(report.latency) < 0.15 * 2 + 0.5, "the delay does not grow"


class Aged:
    """A source of ten frames, every other of which arrived a minute ago."""

    live = False
    claimed = None
    decoded = 0
    corrupt = 0

    def __init__(self) -> None:
        self.info = SourceInfo(name="aged", size=(8, 8), time_base=Fraction(1, 10))
        self.damage: list[str] = []

    def __iter__(self) -> Iterator[Frame]:
        for index in range(10):
            self.decoded += 1
            yield Frame(PICTURE, index=index, arrived=time.monotonic() - 60 * (index % 2))

    def close(self) -> None: ...


def test_frames_older_than_the_limit_are_skipped_and_counted() -> None:
    with Run(Aged(), Pipeline([]), max_age_s=30) as going:
        assert [result.frame.index for result in going] == [0, 2, 4, 6, 8]
    ledger = going.report.ledger
    assert (ledger.decoded, ledger.inferred, ledger.stale) == (10, 5, 5)
    assert ledger.adds_up
    assert ledger.as_dict()["stale"] == 5


def test_closing_ends_the_wait_for_a_frames_time(recording: Path) -> None:
    source = replay(recording)
    threading.Timer(0.1, source.close).start()
    assert len(list(source)) < 25


def test_pictures_have_no_pace(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), PICTURE)
    with pytest.raises(RequestError, match="--live is for videos"):
        open_source(tmp_path / "a.png", options=LiveOptions(live=True))
