"""`perception bench`: how fast, and what limits it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from perception.at_rate import measure_at_rate
from perception.bench import compare, measure
from perception.config import DEFAULT, Config, load_config
from perception.errors import InputError, RequestError
from perception.preprocess import one_thread_per_picture


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add(
        "source",
        metavar="SOURCE",
        nargs="+",
        help='a video file; or "compare A.json B.json": two results side by side',
    )
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
    add("--precision", choices=("auto", "fp32", "bf16", "int8"), help="arithmetic of the detectors")
    add(
        "--decode",
        choices=("auto", "cpu", "nvdec"),
        default="auto",
        help="where the file is decoded; nvdec is an NVIDIA GPU (default: there where it can be)",
    )
    add(
        "--rounds",
        type=int,
        default=3,
        help="how often everything is measured (default: %(default)s)",
    )
    add("--frames", type=int, default=300, help="most frames a round (default: %(default)s)")
    add(
        "--at-rate",
        action="store_true",
        help="play it once at its own rate, as a camera would: frames dropped, age of results",
    )
    add(
        "--gt",
        metavar="TRUTH",
        help="with --at-rate: truth of the clip (JSON as in sample_videos/, or MOTChallenge text); scores "
        "under load beside those of a run with all the time it wants",
    )
    add(
        "--scaling",
        action="store_true",
        help="also the engine over threads and batches of 1 to 16, and 1 to 8 streams side by side",
    )
    add("--plot", metavar="OUT.png", help="the figures as a picture")
    add("--json", metavar="OUT", help='the figures as JSON; "-" is standard output')


def call(options: argparse.Namespace) -> int:
    """Measure and print."""
    one_thread_per_picture()
    for name in ("rounds", "frames"):
        if getattr(options, name) < 1:
            raise InputError(f"--{name} must be at least 1, but is {getattr(options, name)}")
    if options.gt is not None and not options.at_rate:
        raise RequestError("--gt is for --at-rate; `perception eval` scores what is there already")
    if options.source[0] == "compare":
        if len(options.source) != 3:
            raise RequestError("compare takes two results: perception bench compare A.json B.json")
        print(compare(*options.source[1:]))
        return 0
    if len(options.source) > 1:
        raise RequestError(
            f"bench takes one video, but {len(options.source)} were given; "
            "`perception bench compare A.json B.json` compares two results"
        )
    source = options.source[0]
    if options.plot is not None and not options.plot.lower().endswith(".png"):
        raise InputError(f"{options.plot}: the plot is a PNG; give it a name that ends in .png")
    config = load_config(options.config).changed(
        engine=options.engine,
        family=options.family,
        backend=options.backend,
        precision=options.precision,
    )

    if options.at_rate:
        return _at_rate(source, options, config)

    def say(what: str) -> None:
        if sys.stderr.isatty():
            print(f"\r{what}\x1b[K", end="", file=sys.stderr, flush=True)

    result = measure(
        source,
        config,
        rounds=options.rounds,
        frames=options.frames,
        decode=options.decode,
        scaling=options.scaling,
        progress=say,
    )
    say("")
    if options.plot is not None:
        # Imported here: drawing needs OpenCV, and most runs need no picture.
        from perception.bench.plot import plot

        plot(result, options.plot)
    _tell(options.json, result.as_dict(), result.table())
    return 0


def _at_rate(source: str, options: argparse.Namespace, config: Config) -> int:
    found = measure_at_rate(source, config, truth=options.gt)
    _tell(options.json, found.as_dict(), str(found))
    return 0


def _tell(wish: str | None, figures: dict[str, Any], table: str) -> None:
    """The table for people, the figures where they were asked for."""
    text = json.dumps(figures, indent=1)
    if wish == "-":
        print(text)
        return
    if wish is not None:
        try:
            Path(wish).write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise InputError(f"{wish}: cannot be written: {error.strerror}") from error
    print(table)
