"""Training pictures of recordings."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from engines import frames
from engines.data.coco import load_coco
from perception.types import ROAD_CLASSES
from tests.clips import clip


def test_frames_at_their_distance_with_nothing_labelled(tmp_path: Path) -> None:
    path = tmp_path / "drive.mp4"
    path.write_bytes(clip(frames=30, rate=10))
    count = frames.make_frames([path], tmp_path, every=0.5, side=64)
    samples = load_coco(tmp_path, ROAD_CLASSES)
    assert len(samples) == count == 6
    assert all(not sample.known.any() and len(sample.xyxy) == 0 for sample in samples)
    assert {sample.source for sample in samples} == {"clips"}
    assert max(samples[0].read().shape[:2]) == 64 == max(samples[0].size)


def test_missing_clip_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert frames.main(["nowhere.mp4", "-o", str(tmp_path)]) == 2
    assert "nowhere.mp4" in capsys.readouterr().err
