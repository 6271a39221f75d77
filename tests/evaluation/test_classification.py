from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError, RequestError
from perception.evaluation.classification import calibration_error, evaluate, load_truth

CLASSES = ("stop", "yield", "none")


def scores_of(answers: list[int], score: float = 0.9) -> np.ndarray:
    found = np.full((len(answers), 3), (1 - score) / 2)
    found[np.arange(len(answers)), answers] = score
    return found


def test_figures_of_a_small_case_counted_by_hand() -> None:
    truth = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    report = evaluate(truth, scores_of([0, 0, 0, 1, 1, 2, 2, 0]), CLASSES, reject="none")
    assert report.accuracy == pytest.approx(4 / 6) and report.objects == 6
    assert report.rejected == pytest.approx(1 / 2) and report.others == 2
    stop, give_way, none = report.each
    assert (stop.recall, stop.precision) == (0.75, 0.75) and stop.f1 == 0.75
    assert (give_way.recall, give_way.precision) == (0.5, 0.5)
    assert (none.recall, none.precision) == (0.5, 0.5)
    assert report.confusion.tolist() == [[3, 1, 0], [0, 1, 1], [1, 0, 1]]
    # All answers score 0.9, and 5 of 8 are right.
    assert report.calibration_error == pytest.approx(0.9 - 5 / 8)


def test_perfectly_calibrated_scores_have_no_error() -> None:
    score = np.repeat([0.55, 0.75, 0.95], 20)
    right = np.concatenate([np.arange(20) < 20 * s for s in (0.55, 0.75, 0.95)])
    assert calibration_error(score, right) == pytest.approx(0, abs=1e-9)
    assert calibration_error(np.full(10, 0.9), np.zeros(10, bool)) == pytest.approx(0.9)
    assert calibration_error(np.ones(4), np.ones(4, bool)) == 0


def test_classes_that_do_not_occur_are_left_out_and_json_has_no_nan() -> None:
    report = evaluate(np.array([0, 0]), scores_of([0, 0]), CLASSES, reject="none")
    assert [figures.name for figures in report.each] == ["stop"]
    text = json.dumps(report.as_dict(), allow_nan=False)
    assert json.loads(text)["rejected"] is None
    assert "rejected" not in report.summary() and report.confusions() == "no mistake"


def test_confusion_table_as_csv_and_the_worst_mistakes() -> None:
    truth = np.array([0, 0, 0, 1])
    report = evaluate(truth, scores_of([1, 1, 2, 0]), CLASSES)
    rows = list(csv.reader(io.StringIO(report.to_csv())))
    assert rows[0] == ["is / called", *CLASSES]
    assert rows[1] == ["stop", "0", "2", "1"] and rows[2] == ["yield", "1", "0", "0"]
    assert report.confusions().splitlines()[2] == "| stop | yield | 2 | 3 |"


@pytest.mark.parametrize(
    ("truth", "shape", "message"),
    [
        ([0, 1], (2, 2), r"scores must have shape \(2, 3\), but have shape \(2, 2\)"),
        ([0, 3], (2, 3), r"class numbers must be in 0\.\.2, but go from 0 to 3"),
        ([], (0, 3), "there is no picture to judge"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    truth: list[int], shape: tuple[int, int], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        evaluate(np.array(truth), np.full(shape, 1 / 3), CLASSES)


def test_truth_is_a_folder_per_class_by_name_or_number(tmp_path: Path) -> None:
    for name in ("stop/a.jpg", "01/x/b.PNG", "01/notes.txt"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    found = load_truth(tmp_path, CLASSES, (".jpg", ".png"))
    assert [(path.name, label) for path, label in found] == [("b.PNG", 1), ("a.jpg", 0)]


def test_truth_is_json_lines_with_paths_beside_them(tmp_path: Path) -> None:
    lines = [{"path": "a.jpg", "class": "yield"}, {"path": "b.jpg", "class_id": 0}]
    file = tmp_path / "truth.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)) + "\n\n", encoding="utf-8")
    assert load_truth(file, CLASSES, ()) == [(tmp_path / "a.jpg", 1), (tmp_path / "b.jpg", 0)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"path": "a.jpg", "class": "yeild"}', "line 1: unknown class 'yeild': did you mean 'yie"),
        ('{"path": "a.jpg", "class_id": 3}', "line 1: unknown class '3'"),
        ("\n{path}", 'line 2: must be a JSON object with "path" and "class"'),
        ('{"path": "a.jpg"}', 'line 1: must be a JSON object with "path" and "class"'),
        ("[1]", "line 1: must be a JSON object"),
        ("", "has no line"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "truth.jsonl"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        load_truth(file, CLASSES, ())


def test_a_folder_without_classes_and_a_missing_one_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must have a folder of pictures for each class"):
        load_truth(tmp_path, CLASSES, (".jpg",))
    with pytest.raises(InputError, match="no such file"):
        load_truth(tmp_path / "x", CLASSES, (".jpg",))
