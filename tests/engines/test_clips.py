"""Truth of rendered clips."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

from engines.clips import MIN_HEIGHT, main, read_truth
from perception.errors import InputError


def test_hidden_objects_are_kept_but_too_low_to_be_asked_for(tmp_path: Path) -> None:
    objects = [
        {"class": "car", "xyxy": [10, 20, 110, 120], "visibility": 1.0},
        {"class": "bus", "xyxy": [50, 20, 110, 120], "visibility": 0.1},
    ]
    content = {
        "width": 1280,
        "height": 720,
        "classes": ["car", "bus"],
        "frames": [{"frame": 5, "objects": objects}],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    truth = read_truth(tmp_path / "a.mp4")[5]
    heights = truth.xyxy[:, 3] - truth.xyxy[:, 1]
    assert heights.tolist() == [100, MIN_HEIGHT - 1]
    assert truth.labels == ("car", "bus") and truth.size == (1280, 720)


def test_a_clip_without_truth_is_refused(
    tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match=r"a\.json: no such file"):
        read_truth(tmp_path / "a.mp4")
    assert main([str(tmp_path / "a.mp4"), "--engine", str(tmp_path / "no.onnx")]) == 2
    assert "no such engine file" in capsys.readouterr().err
