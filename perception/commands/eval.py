"""`perception eval`: results against truth."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

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
    for kind in (tracking, detection):
        kind.add_argument("--json", action="store_true", help="print JSON instead of a table")
        kind.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)


def call(options: argparse.Namespace) -> int:
    """Score and print."""
    return _tracking(options) if options.what == "tracking" else _detection(options)


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
