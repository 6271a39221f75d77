"""`perception eval detection`: tables and the plot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from perception.cli import main


@pytest.fixture
def truth_file(tmp_path: Path) -> Path:
    content = {
        "images": [
            {"id": 1, "file_name": "a.png", "width": 200, "height": 100, "split": "eval"},
            {"id": 2, "file_name": "b.png", "width": 200, "height": 100, "split": "train"},
        ],
        "categories": [{"id": 1, "name": "car"}],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1, "bbox": [10, 10, 40, 30]} for n in (1, 2)
        ],
    }
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def results(tmp_path: Path) -> Path:
    path = tmp_path / "mine.json"
    rows = [{"image_id": 1, "category_id": 1, "bbox": [10, 10, 40, 30], "score": 0.5}]
    path.write_text(json.dumps(rows))
    return path


def test_table_of_results(
    truth_file: Path, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", "detection", "--gt", str(truth_file), "--results", str(results)]) == 0
    assert "| mine | car | 0.505 | 0.505 | 0.500 | 2 | 2 |" in capsys.readouterr().out


def test_one_split_as_json_with_a_plot(
    truth_file: Path, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plot = tmp_path / "plot.png"
    command = ["eval", "detection", "--gt", str(truth_file), "--results", str(results)]
    assert main([*command, "--split", "eval", "--json", "--plot", str(plot)]) == 0
    figures = json.loads(capsys.readouterr().out)["mine"]["car"]
    assert figures["ap50"] == pytest.approx(1.0) and figures["objects"] == 1
    assert plot.stat().st_size > 1000


def test_what_an_engine_does_not_seek_is_not_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import cv2
    import numpy as np

    cv2.imwrite(str(tmp_path / "a.png"), np.full((96, 160, 3), 120, np.uint8))
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 160, "height": 96}],
        "categories": [{"id": 1, "name": "car"}, {"id": 2, "name": "zebra"}],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": n, "bbox": [10, 10, 40, 30]} for n in (1, 2)
        ],
    }
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    assert main(["eval", "detection", "--gt", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "| road | car | 0.000" in out and "zebra" not in out


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--split", "nope"], "no picture of split 'nope'"),
        (["--results", "nowhere.jsonl"], "nowhere.jsonl: no such file"),
    ],
)
def test_mistakes_are_one_sentence(
    truth_file: Path, capsys: pytest.CaptureFixture[str], extra: list[str], message: str
) -> None:
    assert main(["eval", "detection", "--gt", str(truth_file), *extra]) == 2
    assert message in capsys.readouterr().err
