from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from perception import registry
from perception.at_rate import AtRate, measure_at_rate
from perception.config import Config
from perception.errors import InputError, RequestError
from perception.types import FrameResult
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


def test_scores_under_load_stand_beside_those_of_the_unhurried_run(
    tmp_path: Path, bright_engine: Path
) -> None:
    """A bright square that crosses the picture; a slow stage drops most frames."""
    clip, truth = tmp_path / "clip.mp4", tmp_path / "clip.json"
    frames = []
    with av.open(str(clip), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 192, "yuv420p"
        for number in range(40):
            image = np.full((192, 320, 3), 20, np.uint8)
            x = 64 * (number // 10)
            image[64:128, x : x + 64] = 235
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
            box = [x - 32, 32, x + 96, 160]
            row = {"id": 1, "class": "car", "xyxy": box}
            frames.append({"frame": number, "objects": [row]})
        out.mux(stream.encode(None))
    truth.write_text(json.dumps({"classes": ["car", "truck", "bus"], "frames": frames}))
    table = {"type": "detector", "engine": str(bright_engine), "min_score": 0.3}
    found = measure_at_rate(
        clip, Config("test", (table, {"type": "tracker"}, {"type": "slow"})), truth=truth
    )
    unhurried, late = found.unhurried["vehicle"], found.under_load["vehicle"]
    assert found.dropped > 15
    assert unhurried.recall == 100.0
    assert 20 < late.recall < unhurried.recall, "the square has moved on"
    assert late.hota is not None
    assert unhurried.hota is not None
    assert late.hota < unhurried.hota
    text = str(found)
    assert "vehicle         unhurried" in text
    assert "vehicle         at rate" in text
    assert json.loads(json.dumps(found.as_dict()))["unhurried"]["vehicle"]["recall"] == 100.0


class Slow:
    """A stage that takes three frames' time."""

    name = "slow"
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()

    def __call__(self, result: FrameResult) -> None:
        time.sleep(0.12)

    def close(self) -> None: ...


@pytest.fixture(autouse=True)
def slow_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    stages: dict[str, Any] = {**registry.STAGES, "slow": f"{__name__}:Slow"}
    monkeypatch.setattr(registry, "STAGES", stages)


def test_truth_of_another_clip_is_said(tmp_path: Path) -> None:
    clip, truth = tmp_path / "clip.ts", tmp_path / "gt.txt"
    clip.write_bytes(transport_stream())
    truth.write_text("900,1,0,0,50,50\n901,1,0,0,50,50\n")
    with pytest.raises(InputError, match=r"has no box on the 25 frames of clip\.ts"):
        measure_at_rate(clip, Config("nothing", ()), truth=truth)
