"""`perception classify`: what pictures of single things show."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from perception.crops import cut, whole
from perception.errors import InputError
from perception.models.classifier import MOST_TOGETHER, Classifier
from perception.sources import PICTURE_SUFFIXES
from perception.sources.images import natural_order, read_picture
from perception.types import F32


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add("engine", metavar="ENGINE", help="an installed engine's name, or the path of an ONNX file")
    add(
        "pictures",
        metavar="PICTURES",
        nargs="+",
        help="pictures, or folders: their pictures and those of folders within",
    )
    add("--jsonl", metavar="OUT", help='write JSON lines to this file ("-": standard output)')
    add("--backend", default="auto", help="auto, tensorrt, openvino or onnxruntime")
    add("--threads", type=int, default=1, help="threads of a CPU runtime (default: %(default)s)")


def call(options: argparse.Namespace) -> int:
    """One line per picture; a picture that cannot be read is named and makes the exit status 1."""
    paths = pictures_of(options.pictures)
    classifier = Classifier(options.engine, backend=options.backend, threads=options.threads)
    broken: list[str] = []
    out = _open(options.jsonl)
    try:
        for path, scores in classify(classifier, paths, broken):
            best = int(scores.argmax())
            name, score = classifier.classes[best], float(scores[best])
            if out is not None:
                values = {
                    "path": str(path),
                    "class": name,
                    "class_id": best,
                    "score": round(score, 4),
                }
                out.write(json.dumps(values, ensure_ascii=False) + "\n")
            if out is not sys.stdout:
                print(f"{path}\t{name}\t{best}\t{score:.4f}")
    finally:
        classifier.close()
        if out is not None and out is not sys.stdout:
            out.close()
    for sentence in broken:
        print(f"perception: {sentence}", file=sys.stderr)
    if len(broken) == len(paths):
        raise InputError(f"none of {len(paths)} pictures can be read")
    return 1 if broken else 0


def pictures_of(names: Sequence[str | Path]) -> list[Path]:
    """The pictures that names stand for, folders in natural order.

    Raises:
        InputError: there is no such file, or a folder without pictures.
    """
    found: list[Path] = []
    for name in names:
        path = Path(name).expanduser()
        if path.is_dir():
            inside = [file for file in path.rglob("*") if file.suffix.lower() in PICTURE_SUFFIXES]
            if not inside:
                raise InputError(
                    f"{path}: there is no picture in this folder; known: "
                    f"{', '.join(sorted(PICTURE_SUFFIXES))}"
                )
            found += sorted(inside, key=natural_order)
        elif path.is_file():
            found.append(path)
        else:
            raise InputError(f"{path}: no such picture or folder")
    return found


def classify(
    classifier: Classifier, paths: Sequence[Path], broken: list[str]
) -> Iterator[tuple[Path, F32]]:
    """Scores (C,) of every picture that can be read, in batches; of the others a sentence each goes to `broken`."""
    batch: list[tuple[Path, Any]] = []
    for path in paths:
        try:
            image = read_picture(path)
        except InputError as error:
            broken.append(str(error))
            continue
        crop = cut(image, whole(image), classifier.size, margin=classifier.margin_of_crops)
        batch.append((path, crop))
        if len(batch) == MOST_TOGETHER:
            yield from _scored(classifier, batch)
            batch = []
    yield from _scored(classifier, batch)


def _scored(classifier: Classifier, batch: list[tuple[Path, Any]]) -> Iterator[tuple[Path, F32]]:
    if batch:
        scores = classifier.scores(np.stack([crop for _, crop in batch]))
        for (path, _), row in zip(batch, scores, strict=True):
            yield path, row


def _open(name: str | None) -> IO[str] | None:
    if name is None:
        return None
    if name == "-":
        return sys.stdout
    try:
        return Path(name).expanduser().open("w", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{name}: cannot be written ({error.strerror})") from error
