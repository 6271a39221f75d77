"""`perception eval`: results against truth."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from perception.errors import InputError, SourceError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    kinds = parser.add_subparsers(metavar="WHAT", title="what", required=True, dest="what")
    tracking = kinds.add_parser("tracking", help="tracks in MOTChallenge text: HOTA, MOTA, IDF1")
    tracking.add_argument("--gt", required=True, help="truth: one file, or a folder of sequences")
    tracking.add_argument("--tracks", required=True, help="tracks: one file, or a folder")
    tracking.add_argument("--rule", default="auto", help="which boxes count (default: %(default)s)")
    detection = kinds.add_parser("detection", help="a detector on labelled pictures: AP")
    detection.add_argument(
        "--gt", required=True, help="COCO json beside its pictures, or their folder"
    )
    detection.add_argument(
        "--engine", default="road", help="name or ONNX file (default: %(default)s)"
    )
    detection.add_argument("--family", help="what an ONNX file without a card is: yolox")
    detection.add_argument("--split", help="only pictures of this split")
    detection.add_argument("--pixels", type=int, help="most pixels of the network's input")
    classification = kinds.add_parser(
        "classification",
        help="a classifier on labelled crops: accuracy, who is taken for whom, ECE",
    )
    classification.add_argument(
        "--gt",
        required=True,
        help="a folder with a folder per class, or JSON lines: path and class",
    )
    classification.add_argument(
        "--engine", default="signs", help="name or ONNX file (default: %(default)s)"
    )
    classification.add_argument("--backend", default="auto", help=argparse.SUPPRESS)
    classification.add_argument(
        "--confusion", metavar="OUT", help="also write the whole confusion table, as CSV"
    )
    for kind in (tracking, detection, classification):
        kind.add_argument("--json", action="store_true", help="print JSON instead of a table")
        kind.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)


def call(options: argparse.Namespace) -> int:
    """Score and print."""
    kinds = {"tracking": _tracking, "detection": _detection, "classification": _classification}
    return kinds[options.what](options)


def _tracking(options: argparse.Namespace) -> int:
    from perception.evaluation.tracking import evaluate

    report = evaluate(options.gt, options.tracks, rule=options.rule)
    print(json.dumps(report.as_dict(), indent=1) if options.json else report.table())
    return 0


def _detection(options: argparse.Namespace) -> int:
    from perception.evaluation.detection import evaluate, load_truth, table
    from perception.models.detector import Detector
    from perception.sources import open_source

    truths = load_truth(options.gt)
    if options.split is not None:
        splits = sorted({truth.split for truth in truths})
        truths = [truth for truth in truths if truth.split == options.split]
        if not truths:
            raise InputError(
                f"{options.gt}: no picture of split {options.split!r}; it has {splits}"
            )
    detector = Detector(
        options.engine, family=options.family, min_score=0.01, pixels=options.pixels
    )
    found = []
    for truth in truths:
        source = open_source(truth.path)
        try:
            frame = next(iter(source), None)
        finally:
            source.close()
        if frame is None:
            raise SourceError(f"{truth.path}: the picture cannot be read")
        found.append(detector.model(frame))
    detector.close()
    figures = evaluate(truths, found)
    name = Path(str(options.engine)).stem
    if options.json:
        plain: dict[str, Any] = {
            group: {"ap": f.ap, "ap50": f.ap50, "recall": f.recall, "objects": f.objects}
            for group, f in figures.items()
        }
        print(json.dumps({name: plain}, indent=1))
    else:
        print(table({name: figures}))
    return 0


def _classification(options: argparse.Namespace) -> int:
    from perception.commands.classify import classify
    from perception.evaluation.classification import evaluate, load_truth
    from perception.models.classifier import Classifier
    from perception.sources import PICTURE_SUFFIXES

    classifier = Classifier(options.engine, backend=options.backend)
    broken: list[str] = []
    try:
        truth = load_truth(options.gt, classifier.classes, sorted(PICTURE_SUFFIXES))
        labels = [label for _, label in truth]
        scores = [row for _, row in classify(classifier, [path for path, _ in truth], broken)]
    finally:
        classifier.close()
    if broken:
        raise SourceError("; ".join(broken[:5]))
    reject = classifier.classes[classifier.reject] if classifier.reject >= 0 else None
    report = evaluate(np.array(labels), np.stack(scores), classifier.classes, reject=reject)
    if options.confusion is not None:
        try:
            Path(options.confusion).write_text(report.to_csv(), encoding="utf-8")
        except OSError as error:
            raise InputError(
                f"{options.confusion}: cannot be written ({error.strerror})"
            ) from error
    if options.json:
        print(json.dumps({Path(str(options.engine)).stem: report.as_dict()}, indent=1))
    else:
        print(f"{report.summary()}\n\n{report.table()}\n\n{report.confusions()}")
    return 0
