from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perception.cli import main
from perception.errors import InputError
from perception.evaluation.lanes import (
    LaneRecord,
    evaluate,
    filled,
    mask_f1,
    mask_iou,
    read_lanes,
)
from perception.types import Lane, Lanes
from tests.lane_scenes import line

SIZE = (1280, 720)


def lanes(shift: float = 0.0, *, flip: bool = False, only: tuple[int, ...] = (-1, 1)) -> Lanes:
    found = []
    for side in only:
        points = line({-1: 0.2, 1: 0.8, 2: 1.3}[side], SIZE) + np.array([shift, 0])
        found.append(Lane(points.astype(np.float32), -side if flip else side, 1.0))
    return Lanes(tuple(found))


def record(*frames: Lanes, size: tuple[int, int] = SIZE) -> LaneRecord:
    return LaneRecord(size, dict(enumerate(frames)))


def test_a_record_agrees_with_itself() -> None:
    figures = evaluate(record(lanes(), lanes()), record(lanes(), lanes()))
    assert (figures.f1, figures.lateral, figures.sides, figures.found) == (1, 0, 1, 1)
    assert (figures.frames, figures.lines) == (2, 4)
    assert np.isnan(figures.drivable_iou)


def test_the_lateral_error_is_in_pixels_of_a_picture_640_wide() -> None:
    figures = evaluate(record(lanes()), record(lanes(10.0)))
    assert figures.lateral == pytest.approx(5.0, abs=0.01)
    assert figures.f1 == pytest.approx(1.0)


def test_lines_beyond_the_tolerance_are_wrong_but_may_be_pairs() -> None:
    figures = evaluate(record(lanes()), record(lanes(40.0)))
    assert figures.lateral == pytest.approx(20, abs=0.1) and figures.found == 1
    assert figures.f1 < 0.5  # along a slanted line the distance is less than along a row
    far = evaluate(record(lanes()), record(lanes(80.0)))
    assert far.found == 0 and np.isnan(far.lateral)


def test_precision_and_recall() -> None:
    figures = evaluate(record(lanes(only=(-1, 1))), record(lanes(only=(1, 2))))
    assert 0.3 < figures.precision < 0.7 and 0.3 < figures.recall < 0.7
    assert figures.found == 0.5
    nothing = evaluate(record(lanes()), record(Lanes()))
    assert (nothing.precision, nothing.recall, nothing.f1) == (0, 0, 0)


def test_wrong_sides_are_told() -> None:
    figures = evaluate(record(lanes()), record(lanes(flip=True)))
    assert figures.sides == 0 and figures.lateral == 0


def test_outlines_are_filled_and_compared() -> None:
    square = np.array([[320, 180], [960, 180], [960, 540], [320, 540]], np.float32)
    half = square.copy()
    half[2:, 1] = 360
    assert filled([square], SIZE).mean() == pytest.approx(0.25, abs=0.001)
    assert mask_iou(filled([square], SIZE), filled([half], SIZE)) == pytest.approx(0.5, abs=0.01)
    figures = evaluate(record(Lanes((), (square,))), record(Lanes((), (half,))))
    assert figures.drivable_iou == pytest.approx(0.5, abs=0.01)


def test_masks_are_compared_with_a_tolerance() -> None:
    a = np.zeros((40, 60), bool)
    b = a.copy()
    a[:, 20], b[:, 23] = True, True
    assert mask_f1(a, b, tolerance=3) == 1 and mask_f1(a, b, tolerance=2) == 0
    assert (
        mask_f1(a & False, b & False, tolerance=2) == 1 and mask_f1(a, b & False, tolerance=2) == 0
    )


def test_no_frame_in_common_is_an_error() -> None:
    with pytest.raises(InputError, match="no frame in common"):
        evaluate(LaneRecord(SIZE, {0: Lanes()}), LaneRecord(SIZE, {1: Lanes()}))


def write(path: Path, shift: float) -> Path:
    header: dict[str, Any] = {"schema": "perception/1", "width": SIZE[0], "height": SIZE[1]}
    rows = [header]
    for frame in range(3):
        entries: list[dict[str, Any]] = [
            {"side": one.side, "score": 0.9, "points": one.points.tolist()}
            for one in lanes(shift).lines
        ]
        entries.append(
            {
                "side": 0,
                "score": 1.0,
                "kind": "drivable",
                "points": [[0, 720], [640, 400], [1280, 720]],
            }
        )
        rows.append({"frame": frame, "lanes": entries})
    rows.append({"report": {}})
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def test_the_command_compares_a_record_with_a_clips_truth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = tmp_path / "clip.json"
    frames = [
        {
            "frame": frame,
            "lanes": [{"side": one.side, "points": one.points.tolist()} for one in lanes().lines],
        }
        for frame in range(3)
    ]
    truth.write_text(json.dumps({"width": SIZE[0], "height": SIZE[1], "frames": frames}))
    found = write(tmp_path / "found.jsonl", 4.0)
    assert main(["eval", "lanes", "--gt", str(truth), "--lanes", str(found), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["lateral"] == pytest.approx(2.0, abs=0.01) and figures["frames"] == 3
    assert main(["eval", "lanes", "--gt", str(found), "--lanes", str(found)]) == 0
    assert "| found | 3 | 6 | 1.000 |" in capsys.readouterr().out
    assert read_lanes(found).frames[0].drivable[0].shape == (3, 2)


def test_what_is_no_record_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text("{}\n")
    assert main(["eval", "lanes", "--gt", str(broken), "--lanes", str(broken)]) == 2
    assert "must be a record (.jsonl) or a clip's truth" in capsys.readouterr().err
