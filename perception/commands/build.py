"""`perception build`: compile an engine with TensorRT for this machine."""

from __future__ import annotations

import argparse
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from perception.backends import Engine, open_engine
from perception.backends.installed import engine_path
from perception.errors import InputError
from perception.models.detector import FAMILIES
from perception.types import U8, Detections, Frame

PARITY_PICTURES = 16
PARITY_STEP = 10
QUIET_S = 30.0  # between lines where there is no terminal

if TYPE_CHECKING:
    from perception.backends.trt_parity import Detect
    from perception.backends.trt_watch import BuildProgress


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add("engine", metavar="ENGINE", help="an installed engine's name, or the path of an ONNX file")
    add(
        "--precision",
        choices=("fp32", "fp16", "int8"),
        help="default: int8 for a quantised file, else fp16",
    )
    add(
        "--size", metavar="WxH", help="input size of a network that takes any (default: its card's)"
    )
    add("--batch", type=int, default=1, help="most pictures in one call (default: %(default)s)")
    add("--workspace", type=int, metavar="MIB", help="most scratch memory of a layer")
    add(
        "--level",
        type=int,
        choices=range(6),
        help="how long TensorRT looks for fast kernels, 0 to 5 (default: TensorRT's own, 3)",
    )
    add(
        "--tactics",
        choices=("all", "own", "ready"),
        help="own: no kernels of cuBLAS and cuDNN, where these are missing; ready: of TensorRT's own only those "
        "that need not be compiled, for a quicker build (default: $PERCEPTION_TACTICS, else all)",
    )
    add("--force", action="store_true", help="build again, and keep a plan outside the tolerances")
    add(
        "--pictures",
        metavar="SOURCE",
        help="video or pictures to compare with ONNX Runtime on (default: drawn ones)",
    )
    add("--no-parity", action="store_true", help="do not compare with ONNX Runtime")
    add("--verbose", action="store_true", help="a line for everything TensorRT is busy with")


def call(options: argparse.Namespace) -> int:
    """Build, with progress, and print the report."""
    from perception.backends.trt_build import build

    path = engine_path(options.engine)

    say = Teller(verbose=options.verbose)
    try:
        report = build(
            path,
            precision=options.precision,
            size=_size(options.size),
            batch=options.batch,
            workspace_mib=options.workspace,
            level=options.level,
            tactics=options.tactics,
            force=options.force,
            parity=not options.no_parity,
            pictures=_pictures(options.pictures),
            detect=detector_of(path),
            progress=say,
        )
    finally:
        say.end()
    print(report.text())
    return 0


class Teller:
    """Says on standard error what a build is doing.

    On a terminal one line that changes; elsewhere a line every half minute, so that a log is not silent.

    Args:
        verbose: a line for each phase instead.
    """

    def __init__(self, *, verbose: bool) -> None:
        self._verbose = verbose
        self._said = ""
        self._next_s = QUIET_S
        self._line = False

    def __call__(self, progress: BuildProgress) -> None:
        if self._verbose:
            if progress.phase != self._said:
                self._said = progress.phase
                print(f"{progress.elapsed_s:8.1f} s  {progress.what}", file=sys.stderr, flush=True)
        elif sys.stderr.isatty():
            self._line = True
            print(f"\r{progress}\x1b[K", end="", file=sys.stderr, flush=True)
        elif progress.elapsed_s >= self._next_s:
            self._next_s = progress.elapsed_s + QUIET_S
            print(f"still building: {progress}", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Take the line that changes off the terminal."""
        if self._line:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _pictures(source: str | None) -> list[U8]:
    """Up to PARITY_PICTURES pictures, PARITY_STEP frames apart where the source is a video."""
    if source is None:
        return []
    from perception.sources import open_source

    opened = open_source(source)
    try:
        step = PARITY_STEP if opened.info.kind == "video" else 1
        frames = islice(opened, 0, step * PARITY_PICTURES, step)
        pictures = [frame.image for frame in frames]
    finally:
        opened.close()
    if not pictures:
        raise InputError(f"{source}: there is no picture to compare on")
    return pictures


def detector_of(path: Path) -> Detect | None:
    """The decoder to compare with, for an engine that detects; None for one of another kind."""
    engine = open_engine(path, backend="onnxruntime", precision="fp32")
    engine.close()
    return detect if engine.card is not None and engine.card.family in FAMILIES else None


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise InputError(f"--size must be WIDTHxHEIGHT, such as 640x384, but is {text!r}") from None
    return width, height


def detect(engine: Engine, picture: U8) -> Detections:
    """What a detector's engine finds on a picture, for the comparison of plans."""
    assert engine.card is not None
    model = FAMILIES[engine.card.family](engine, engine.card, min_score=0.05)
    return model(Frame(picture))
