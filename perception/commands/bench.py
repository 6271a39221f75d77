"""`perception bench`: how fast, and what limits it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from perception.bench import measure
from perception.config import DEFAULT, load_config
from perception.errors import InputError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add("source", metavar="SOURCE", help="a video file")
    add(
        "-c",
        "--config",
        default=DEFAULT,
        help="name or path of a configuration (default: %(default)s)",
    )
    add("--engine", metavar="NAME|PATH", help="another engine for the first detector")
    add("--family", help="what an ONNX file without a card is: yolox")
    add(
        "--backend",
        choices=("auto", "tensorrt", "openvino", "onnxruntime"),
        help="runtime of the engines",
    )
    add(
        "--rounds",
        type=int,
        default=3,
        help="how often everything is measured (default: %(default)s)",
    )
    add("--frames", type=int, default=300, help="most frames a round (default: %(default)s)")
    add("--json", metavar="OUT", help='the figures as JSON; "-" is standard output')


def call(options: argparse.Namespace) -> int:
    """Measure and print."""
    for name in ("rounds", "frames"):
        if getattr(options, name) < 1:
            raise InputError(f"--{name} must be at least 1, but is {getattr(options, name)}")
    config = load_config(options.config).changed(
        engine=options.engine, family=options.family, backend=options.backend
    )

    def say(what: str) -> None:
        if sys.stderr.isatty():
            print(f"\r{what}\x1b[K", end="", file=sys.stderr, flush=True)

    result = measure(
        options.source, config, rounds=options.rounds, frames=options.frames, progress=say
    )
    say("")
    text = json.dumps(result.as_dict(), indent=1)
    if options.json == "-":
        print(text)
        return 0
    if options.json is not None:
        try:
            Path(options.json).write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise InputError(f"{options.json}: cannot be written: {error.strerror}") from error
    print(result.table())
    return 0
