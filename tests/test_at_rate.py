from __future__ import annotations

from pathlib import Path

import pytest

from perception.at_rate import AtRate, measure_at_rate
from perception.config import Config
from perception.errors import RequestError
from tests.sources.senders import transport_stream


def test_a_recording_is_played_once_at_its_rate(tmp_path: Path) -> None:
    clip = tmp_path / "clip.ts"
    clip.write_bytes(transport_stream())
    found = measure_at_rate(clip, Config("nothing", ()))
    assert found.frames == 25 == found.inferred + found.dropped
    assert found.rate == 25
    assert set(found.age_ms) == {"p50", "p95", "p99", "max"}
    assert found.as_dict()["source"] == "clip.ts"


def test_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no times"):
        measure_at_rate(tmp_path, Config("nothing", ()))


def test_it_says_what_was_dropped() -> None:
    text = str(AtRate("a.mp4", 25.0, 200, 150, 50, {"p50": 40.0, "p95": 61.25}))
    assert "200 frames, 150 inferred, 50 dropped (25.0 %)" in text
    assert "p50 40.0, p95 61.2" in text
