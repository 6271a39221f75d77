"""`perception track`: who is who in a file of detections."""

from __future__ import annotations

import argparse

from perception.tracking.files import track_file


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add("detections", metavar="DETECTIONS", help="MOTChallenge text, or a folder of sequences")
    add(
        "-o",
        "--output",
        required=True,
        metavar="TRACKS",
        help="file to write; a folder for a folder",
    )
    add("--frame-rate", type=float, default=10.0, help="frames per second (default: %(default)s)")
    add(
        "--neutral-score",
        type=float,
        default=0.96,
        help="score that speaks neither for nor against an object (default: %(default)s, for PointRCNN)",
    )
    add(
        "--size-slope",
        type=float,
        default=2.0,
        help="how much less a small box's score means (default: %(default)s, for PointRCNN)",
    )
    add("--offline", action="store_true", help="look ahead: fill gaps, smooth, judge whole tracks")


def call(options: argparse.Namespace) -> int:
    """Track and say what was done."""
    print(
        track_file(
            options.detections,
            options.output,
            frame_rate=options.frame_rate,
            offline=options.offline,
            neutral_score=options.neutral_score,
            size_slope=options.size_slope,
        )
    )
    return 0
