from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from perception.cli import main

COLOURS = {"red": (0, 0, 255), "green": (0, 255, 0), "unknown": (128, 128, 128)}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder per class with two pictures of that colour, of two sizes."""
    for name, colour in COLOURS.items():
        (tmp_path / name).mkdir()
        for number, size in ((2, (20, 30)), (10, (70, 50))):
            image = np.full((*size, 3), colour, np.uint8)
            cv2.imwrite(str(tmp_path / name / f"{name}_{number}.png"), image)
    return tmp_path


def test_one_line_per_picture_in_natural_order(
    pictures: Path, colour_engine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["classify", str(colour_engine), str(pictures), "--backend", "onnxruntime"])
    assert status == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    names = [Path(row[0]).name for row in rows]
    assert names[:2] == ["green_2.png", "green_10.png"] and len(names) == 6
    assert all(Path(row[0]).name.startswith(row[1]) for row in rows)
    assert {row[1]: row[2] for row in rows} == {"red": "0", "green": "1", "unknown": "2"}
    assert all(0.5 < float(row[3]) <= 1 for row in rows)


def test_json_lines(pictures: Path, colour_engine: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    picture = pictures / "red" / "red_2.png"
    assert main(["classify", str(colour_engine), str(picture), "--jsonl", str(out)]) == 0
    (entry,) = map(json.loads, out.read_text(encoding="utf-8").splitlines())
    assert list(entry) == ["path", "class", "class_id", "score"]
    assert (entry["path"], entry["class"], entry["class_id"]) == (str(picture), "red", 0)


def test_json_lines_to_standard_output_are_all_there_is(
    pictures: Path, colour_engine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["classify", str(colour_engine), str(pictures / "red"), "--jsonl", "-"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["class"] for line in lines] == ["red", "red"]


def test_a_broken_picture_is_named_and_the_others_are_classified(
    pictures: Path, colour_engine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pictures / "red" / "red_5.jpg").write_bytes(b"no picture")
    assert main(["classify", str(colour_engine), str(pictures / "red")]) == 1
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 2
    assert "red_5.jpg: is no picture that can be read" in captured.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{engine}", "{folder}/none.png"], "none.png: no such picture or folder"),
        (["{engine}", "{folder}/empty"], "there is no picture in this folder"),
        (["{engine}", "{folder}/broken.png"], "none of 1 pictures can be read"),
        (["sings", "{folder}/red"], "unknown engine 'sings'"),
        (["{bright}", "{folder}/red"], "is a 'anchor_free' engine, not a classifier"),
        (["{engine}", "{folder}/red", "--jsonl", "{folder}/no/x"], "cannot be written"),
    ],
)
def test_a_wrong_request_is_one_sentence_and_status_2(
    arguments: list[str],
    message: str,
    pictures: Path,
    colour_engine: Path,
    bright_engine: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (pictures / "empty").mkdir()
    (pictures / "broken.png").write_bytes(b"x")
    places = {"engine": colour_engine, "bright": bright_engine, "folder": pictures}
    assert main(["classify", *(argument.format(**places) for argument in arguments)]) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


def test_eval_classification_prints_figures_and_writes_the_confusion_table(
    pictures: Path, colour_engine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pictures / "red" / "red_2.png").rename(pictures / "green" / "wrong.png")
    table = tmp_path / "confusion.csv"
    command = ["eval", "classification", "--engine", str(colour_engine), "--gt", str(pictures)]
    assert main([*command, "--confusion", str(table)]) == 0
    text = capsys.readouterr().out
    assert "accuracy 0.7500 of 4 pictures" in text
    assert "rejected 1.0000 of 2 pictures of unknown" in text
    assert "| green | red | 1 | 3 |" in text
    assert table.read_text(encoding="utf-8").splitlines()[2] == "green,1,2,0"
    assert main([*command, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)["colour"]
    assert figures["accuracy"] == 0.75 and figures["classes"]["green"]["pictures"] == 3


def test_eval_classification_does_not_judge_without_a_picture(
    pictures: Path, colour_engine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pictures / "red" / "x.jpg").write_bytes(b"x")
    command = ["eval", "classification", "--engine", str(colour_engine), "--gt", str(pictures)]
    assert main(command) == 1
    assert "x.jpg: is no picture" in capsys.readouterr().err
