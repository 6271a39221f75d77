"""`perception eval`: results against truth."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from perception.errors import InputError, SourceError
from perception.types import Detections

if TYPE_CHECKING:
    from perception.evaluation.detection import Figures, Group, Truth


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    kinds = parser.add_subparsers(metavar="WHAT", title="what", required=True, dest="what")
    tracking = kinds.add_parser("tracking", help="tracks in MOTChallenge text: HOTA, MOTA, IDF1")
    tracking.add_argument("--gt", required=True, help="truth: one file, or a folder of sequences")
    tracking.add_argument("--tracks", required=True, help="tracks: one file, or a folder")
    tracking.add_argument("--rule", default="auto", help="which boxes count (default: %(default)s)")
    detection = kinds.add_parser(
        "detection", help="a detector, or results of any, on labelled pictures: AP"
    )
    detection.add_argument(
        "--gt", required=True, help="COCO json beside its pictures, or their folder"
    )
    detection.add_argument(
        "--engine", default="road", help="name or ONNX file (default: %(default)s)"
    )
    detection.add_argument("--family", help="what an ONNX file without a card is: yolox")
    detection.add_argument(
        "--results",
        metavar="FILE",
        help="judge these instead of running an engine: a record (--jsonl) or COCO results",
    )
    detection.add_argument(
        "--plot", metavar="OUT.png", help="also draw precision over recall at IoU 0.5"
    )
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
    lanes = kinds.add_parser(
        "lanes", help="lane lines and drivable area of a record: F1, lateral error, IoU"
    )
    lanes.add_argument(
        "--gt", required=True, help="truth: a sample clip's .json, or another record (.jsonl)"
    )
    lanes.add_argument("--lanes", required=True, help="the record (.jsonl) to judge")
    for kind in (tracking, detection, classification, lanes):
        kind.add_argument("--json", action="store_true", help="print JSON instead of a table")
        kind.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)


def call(options: argparse.Namespace) -> int:
    """Score and print."""
    kinds = {
        "tracking": _tracking,
        "detection": _detection,
        "classification": _classification,
        "lanes": _lanes,
    }
    return kinds[options.what](options)


def _tracking(options: argparse.Namespace) -> int:
    from perception.evaluation.tracking import evaluate

    report = evaluate(options.gt, options.tracks, rule=options.rule)
    print(json.dumps(report.as_dict(), indent=1) if options.json else report.table())
    return 0


def _detection(options: argparse.Namespace) -> int:
    from perception.evaluation.detection import evaluate, groups_of, load_truth, table
    from perception.evaluation.results import read_results

    truths = load_truth(options.gt)
    if options.split is not None:
        splits = sorted({truth.split for truth in truths})
        truths = [truth for truth in truths if truth.split == options.split]
        if not truths:
            raise InputError(
                f"{options.gt}: no picture of split {options.split!r}; it has {splits}"
            )
    if options.results is not None:
        name, found = Path(options.results).stem, read_results(options.results, truths)
        groups = groups_of(truths)
    else:
        name, found = Path(str(options.engine)).stem, _detect(options, truths)
        # What an engine does not look for is not held against it.
        sought = {kind for item in found for kind in item.classes}
        groups = [group for group in groups_of(truths) if sought.intersection(group.classes)]
    figures = evaluate(truths, found, groups)
    if not figures:
        raise InputError(f"{options.gt}: no labelled object, so there is nothing to judge by")
    if options.json:
        plain: dict[str, Any] = {
            group: {"ap": f.ap, "ap50": f.ap50, "recall": f.recall, "objects": f.objects}
            for group, f in figures.items()
        }
        print(json.dumps({name: plain}, indent=1))
    else:
        print(table({name: figures}, by_group=True))
    if options.plot is not None:
        _plot(options.plot, name, truths, found, groups, figures)
    return 0


def _detect(options: argparse.Namespace, truths: Sequence[Truth]) -> list[Detections]:
    """What an engine finds in the pictures of the truth."""
    from perception.models.detector import Detector
    from perception.sources import open_source

    detector = Detector(
        options.engine, family=options.family, min_score=0.01, pixels=options.pixels
    )
    found = []
    try:
        for truth in truths:
            source = open_source(truth.path)
            try:
                frame = next(iter(source), None)
            finally:
                source.close()
            if frame is None:
                raise SourceError(f"{truth.path}: the picture cannot be read")
            found.append(detector.model(frame))
    finally:
        detector.close()
    return found


def _plot(
    output: str,
    name: str,
    truths: Sequence[Truth],
    found: Sequence[Detections],
    groups: Sequence[Group],
    figures: Mapping[str, Figures],
) -> None:
    """Draw precision over recall of every group that was judged."""
    from perception.evaluation.average_precision import RECALLS
    from perception.evaluation.detection import matched
    from perception.render.palette import class_colour
    from perception.render.plot import Line, plot, write_png

    lines = []
    for group in groups:
        if group.name in figures:
            precision = matched(truths, found, group).interpolated()
            reached = precision > 0
            note = f"AP50 {figures[group.name].ap50:.3f}"
            colour = class_colour(group.name)
            lines.append(Line(group.name, RECALLS[reached], precision[reached], colour, note))
    title = f"{name}: precision and recall at IoU 0.5"
    write_png(output, plot(lines, title=title, x_label="recall", y_label="precision"))


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


def _lanes(options: argparse.Namespace) -> int:
    from perception.evaluation.lanes import evaluate, read_lanes, table

    figures = evaluate(read_lanes(options.gt), read_lanes(options.lanes))
    if options.json:
        # JSON has no NaN: what could not be measured is null.
        values = {key: None if value != value else value for key, value in asdict(figures).items()}
        print(json.dumps(values, indent=1))
    else:
        print(table({Path(options.lanes).stem: figures}))
    return 0
