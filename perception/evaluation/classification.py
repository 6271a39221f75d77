"""How well a classifier does: accuracy, each class, who is taken for whom, and whether its scores can be trusted.

Calibration is measured as in Guo et al., "On Calibration of Modern Neural Networks" (arXiv:1706.04599,
section 2): over 15 bins of the score, the mean distance between mean score and accuracy (ECE).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from perception.errors import InputError, RequestError, unknown

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
BINS = 15


@dataclass(frozen=True)
class ClassFigures:
    """What was measured for one class; nan where there is nothing to divide by.

    Attributes:
        pictures: of this class in the truth.
        recall: share of them that were called so.
        precision: share of those called so that are.
    """

    name: str
    pictures: int
    recall: float
    precision: float

    @property
    def f1(self) -> float:
        total = self.recall + self.precision
        return 2 * self.recall * self.precision / total if total > 0 else 0.0


@dataclass(frozen=True)
class Report:
    """Figures of one classifier on labelled pictures.

    Attributes:
        classes: names by class number.
        reject: the class that stands for "none of these", or None.
        accuracy: over the pictures of real classes.
        rejected: share of the pictures of the reject class that were rejected; nan without any.
        calibration_error: ECE over all pictures.
        each: by class; classes without a picture and never called are left out.
        confusion: (C, C) counts, row is the truth.
        objects, others: how many pictures of real classes, and of the reject class.
    """

    classes: tuple[str, ...]
    reject: str | None
    accuracy: float
    rejected: float
    calibration_error: float
    each: tuple[ClassFigures, ...]
    confusion: I64
    objects: int
    others: int

    def as_dict(self) -> dict[str, Any]:
        """As plain values for JSON; what is not defined is null."""
        return {
            "pictures": self.objects + self.others,
            "accuracy": _plain(self.accuracy),
            "rejected": _plain(self.rejected),
            "calibration_error": _plain(self.calibration_error),
            "classes": {
                figures.name: {
                    "pictures": figures.pictures,
                    "recall": _plain(figures.recall),
                    "precision": _plain(figures.precision),
                }
                for figures in self.each
            },
        }

    def summary(self) -> str:
        """The figures as a few lines."""
        lines = []
        if self.objects:
            lines.append(f"accuracy {self.accuracy:.4f} of {self.objects} pictures")
        if self.others:
            lines.append(f"rejected {self.rejected:.4f} of {self.others} pictures of {self.reject}")
        lines.append(f"calibration error (ECE) {self.calibration_error:.4f}")
        return "\n".join(lines)

    def table(self) -> str:
        """Markdown: one line per class."""
        lines = ["| class | pictures | recall | precision |", "| --- | --- | --- | --- |"]
        for figures in self.each:
            lines.append(
                f"| {figures.name} | {figures.pictures} | {_cell(figures.recall)} "
                f"| {_cell(figures.precision)} |"
            )
        return "\n".join(lines)

    def confusions(self, most: int = 12) -> str:
        """Markdown: the most frequent mistakes."""
        wrong = self.confusion.copy()
        np.fill_diagonal(wrong, 0)
        order = np.argsort(-wrong, axis=None, kind="stable")[:most]
        lines = ["| is | called | times | of |", "| --- | --- | --- | --- |"]
        for cell in order:
            row, column = divmod(int(cell), len(self.classes))
            if wrong[row, column]:
                lines.append(
                    f"| {self.classes[row]} | {self.classes[column]} | {wrong[row, column]} "
                    f"| {int(self.confusion[row].sum())} |"
                )
        return "\n".join(lines) if len(lines) > 2 else "no mistake"

    def to_csv(self) -> str:
        """The confusion table as CSV: a line per true class, a column per answer."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["is / called", *self.classes])
        for name, row in zip(self.classes, self.confusion, strict=True):
            writer.writerow([name, *row.tolist()])
        return out.getvalue()


def load_truth(
    path: str | Path, classes: Sequence[str], suffixes: Sequence[str]
) -> list[tuple[Path, int]]:
    """(picture, class number) pairs.

    Args:
        path: a folder with one folder per class, named as the class or by its number ("07"); or a file of
            JSON lines, each with "path" (relative to the file) and "class" or "class_id".
        classes: names by class number.
        suffixes: endings of pictures (".jpg"); other files of a folder are passed over.

    Raises:
        InputError: nothing there, a class that is not known, or a broken line; the message says where.
    """
    path = Path(path)
    if path.is_dir():
        folders = sorted(folder for folder in path.iterdir() if folder.is_dir())
        pairs = [
            (file, _class_number(folder.name, classes, str(folder)))
            for folder in folders
            for file in sorted(folder.rglob("*"))
            if file.suffix.lower() in suffixes
        ]
        if not pairs:
            raise InputError(f"{path}: must have a folder of pictures for each class, but has none")
        return pairs
    if not path.is_file():
        raise InputError(
            f"{path}: no such file; give a folder with a folder per class, or JSON lines"
        )
    return _lines(path, classes)


def _lines(path: Path, classes: Sequence[str]) -> list[tuple[Path, int]]:
    pairs = []
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error})") from error
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{path}: line {number}"
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            name = path.parent / str(entry["path"])
            label = str(entry["class"] if "class" in entry else entry["class_id"])
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f'{where}: must be a JSON object with "path" and "class" or "class_id" ({error!r})'
            ) from error
        pairs.append((name, _class_number(label, classes, where)))
    if not pairs:
        raise InputError(f"{path}: has no line; there is nothing to judge")
    return pairs


def _class_number(label: str, classes: Sequence[str], where: str) -> int:
    """The number of a class given by name or number."""
    if label in classes:
        return list(classes).index(label)
    if label.isdecimal() and int(label) < len(classes):
        return int(label)
    raise InputError(f"{where}: {unknown('class', label, classes)}")


def evaluate(
    truth: npt.NDArray[Any], scores: F64, classes: Sequence[str], *, reject: str | None = None
) -> Report:
    """Figures of `scores` (N, C), which add up to 1 per picture, against class numbers `truth` (N,).

    Raises:
        RequestError: there is no picture, or the arrays do not fit each other.
    """
    truth = np.asarray(truth, np.int64)
    if scores.ndim != 2 or scores.shape != (len(truth), len(classes)):
        raise RequestError(
            f"scores must have shape {(len(truth), len(classes))}, but have shape {scores.shape}"
        )
    if not len(truth):
        raise RequestError("there is no picture to judge")
    if truth.min() < 0 or truth.max() >= len(classes):
        raise RequestError(
            f"class numbers must be in 0..{len(classes) - 1}, but go from {truth.min()} to {truth.max()}"
        )
    found = scores.argmax(axis=1)
    confusion = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(confusion, (truth, found), 1)
    right = found == truth
    real = np.ones(len(truth), bool)
    if reject is not None and reject in classes:
        real = truth != list(classes).index(reject)
    each = []
    for number, name in enumerate(classes):
        pictures, called = int(confusion[number].sum()), int(confusion[:, number].sum())
        if pictures or called:
            hits = confusion[number, number]
            each.append(ClassFigures(name, pictures, _share(hits, pictures), _share(hits, called)))
    return Report(
        classes=tuple(classes),
        reject=reject,
        accuracy=_share(right[real].sum(), int(real.sum())),
        rejected=_share(right[~real].sum(), int((~real).sum())),
        calibration_error=calibration_error(scores.max(axis=1), right),
        each=tuple(each),
        confusion=confusion,
        objects=int(real.sum()),
        others=int((~real).sum()),
    )


def calibration_error(score: F64, right: npt.NDArray[np.bool_], *, bins: int = BINS) -> float:
    """Expected calibration error of scores (N,) 0..1 of answers that were `right` (N,)."""
    number = np.minimum((score * bins).astype(int), bins - 1)
    gaps = [
        abs(score[number == b].mean() - right[number == b].mean()) * (number == b).mean()
        for b in range(bins)
        if (number == b).any()
    ]
    return float(sum(gaps))


def _share(part: Any, of: int) -> float:
    return float(part) / of if of else float("nan")


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 4)


def _cell(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.4f}"
