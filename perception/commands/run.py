"""`perception run`: sources in, overlay videos and records out."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import TextIO

from perception.assemble import open as open_run
from perception.assemble import page_address
from perception.commands.live import configure_live, live_options
from perception.commands.together import open_together, wait_for
from perception.config import DEFAULT
from perception.errors import InputError, PerceptionError, RequestError
from perception.preprocess import one_thread_per_picture
from perception.progress import Progress, clock
from perception.report import Report, quantiles_ms
from perception.runner import Run
from perception.sources import is_camera, is_live
from perception.streams import Streams

VIDEO_SUFFIXES = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .ts .m2ts .mts .mpg .mpeg .flv .wmv .3gp .gif .h264 .hevc".split()
)
STOPPED = 130
ONE_WISH_S = 0.5


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add(
        "source",
        nargs="+",
        metavar="SOURCE",
        help="video files, a folder, glob or list of pictures, a camera (0, /dev/video0, csi://0), "
        "a stream (rtsp:// http:// tcp:// udp://), or - for standard input",
    )
    add(
        "-c",
        "--config",
        default=DEFAULT,
        help="name or path of a configuration (default: %(default)s)",
    )
    add(
        "-o",
        "--output",
        metavar="OUT",
        help="overlay video (.mp4 .mkv .mov); a folder for pictures or several sources",
    )
    add(
        "--jsonl",
        metavar="OUT",
        help='record, one JSON object a line; "-" is standard output; a folder for several sources',
    )
    add(
        "--backend",
        choices=("auto", "tensorrt", "openvino", "onnxruntime"),
        help="runtime of the engines",
    )
    add(
        "--precision",
        choices=("auto", "fp32", "fp16", "bf16", "int8"),
        help="arithmetic of the detectors; auto takes the fastest that costs at most half a point of AP",
    )
    add(
        "--decode",
        choices=("auto", "cpu", "nvdec"),
        default="auto",
        help="where video files are decoded; nvdec is an NVIDIA GPU (default: there where it can be)",
    )
    add("--min-score", type=float, metavar="S", help="score limit of the detectors, 0 to 1")
    add("--no-track", action="store_true", help="detect only")
    add("--engine", metavar="NAME|PATH", help="another engine for the first detector")
    add("--family", help="what an ONNX file without a card is: yolox")
    add("--fps", type=float, help="take a folder of pictures as a sequence at this rate")
    add(
        "--looks",
        type=int,
        metavar="N",
        help="frames of a recording that the networks look at at once; each takes memory and "
        "keeps a core busy (default: one for each core, at most 4)",
    )
    add("--no-progress", action="store_true", help="no progress line")
    configure_live(parser)


def call(options: argparse.Namespace) -> int:
    """Run every source in turn; the worst exit status wins."""
    one_thread_per_picture()
    jobs = _jobs(options.source)
    if options.camera_mode is not None and not any(map(is_camera, options.source)):
        raise RequestError("--camera-mode is for cameras (0, /dev/video0, csi://0); here is none")
    several = len(jobs) > 1
    # With the record on standard output, everything said to people goes to standard error.
    out = sys.stderr if options.jsonl == "-" else sys.stdout
    if several and (options.live or any(isinstance(job, str) for job in jobs)):
        return _run_together(jobs, options, out)
    status = 0
    for source in jobs:
        try:
            status = max(status, _run_one(source, options, several=several, out=out))
        except PerceptionError as error:
            if not several:
                raise
            # One bad recording must not keep the others waiting; it still fails the command.
            print(f"perception: {error}", file=sys.stderr)
            status = max(status, 2 if isinstance(error, RequestError) else 1)
        if status == STOPPED:
            break
    return status


def _run_together(
    jobs: list[Path | str | list[str]], options: argparse.Namespace, out: TextIO
) -> int:
    if any(isinstance(job, list) for job in jobs):
        raise RequestError(
            "pictures do not run beside live sources; give them a command of their own"
        )
    streams = open_together([str(job) for job in jobs], options)
    with streams, stopped_by_signals(streams) as stopped:
        status = wait_for(streams, out)
    return STOPPED if stopped else status


def _run_one(
    source: Path | str | list[str], options: argparse.Namespace, *, several: bool, out: TextIO
) -> int:
    output = _destination(options.output, source, ".mp4", several)
    jsonl = _destination(options.jsonl, source, ".jsonl", several)
    run = open_run(
        source if isinstance(source, list) else str(source),
        config=options.config,
        output=output,
        jsonl=jsonl,
        engine=options.engine,
        family=options.family,
        backend=options.backend,
        precision=options.precision,
        min_score=options.min_score,
        track=not options.no_track,
        fps=options.fps,
        live=live_options(options),
        decode=options.decode,
        max_age_s=options.max_age,
        looks=options.looks,
        segment_s=options.segment,
        page=options.page,
        show=options.show,
    )
    progress = Progress(
        run.info.name, run.info.frames, enabled=False if options.no_progress else None
    )
    if options.page is not None:
        host, port = page_address(options.page)
        print(f"{run.info.name}: look at http://{host}:{port}/", file=sys.stderr)
    try:
        with run, stopped_by_signals(run):
            for _ in run:
                progress.advance()
    finally:
        progress.end()
    print(summary(run, output=output, jsonl=jsonl), file=out)
    if run.report.stopped:
        return STOPPED
    return 0 if run.report.ledger.adds_up else 1


def _jobs(words: list[str]) -> list[Path | str | list[str]]:
    """One entry per run: a path or an address each, but pictures named one by one belong together."""
    jobs: list[Path | str | list[str]] = []
    pictures: list[str] = []
    for word in words:
        path = Path(word)
        if is_live(word):
            jobs.append(word)
        elif path.is_dir():
            videos = sorted(
                p for p in path.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES - {".gif"}
            )
            jobs += videos or [path]
        elif path.is_file() and path.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp", ".bmp"}:
            pictures.append(word)
        else:
            jobs.append(path)
    return [*jobs, *([pictures] if pictures else [])]


def _is_pictures(source: Path) -> bool:
    # Their overlays go into the folder that was named, whatever their number.
    return not source.is_file() or source.suffix.lower() not in VIDEO_SUFFIXES


def _destination(
    wish: str | None, source: Path | str | list[str], suffix: str, several: bool
) -> str | None:
    """Where an output goes: as asked, or inside the folder that was asked for several sources."""
    if wish is None or wish == "-" or not isinstance(source, Path) or _is_pictures(source):
        return wish
    folder = Path(wish)
    if not (several or wish.endswith("/") or folder.is_dir()):
        return wish
    if folder.suffix in (".mp4", ".mkv", ".mov", ".jsonl"):
        raise InputError(
            f"{wish}: several sources need a folder here, not one file; write {folder.stem}/"
        )
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder / f"{source.stem}{suffix}")


@contextmanager
def stopped_by_signals(run: Run | Streams) -> Iterator[list[float]]:
    """SIGINT and SIGTERM end the run after the frame at hand, outputs complete; a second one breaks off.

    Yields:
        A list that is empty as long as nobody asked.
    """
    asked: list[float] = []

    def stop(number: int, _: FrameType | None) -> None:
        asked.append(monotonic())
        if len(asked) > 1:
            # Some senders (`timeout`) signal the process and its group: one wish that comes twice.
            if asked[-1] - asked[0] > ONE_WISH_S:
                raise KeyboardInterrupt
            return
        # A handler runs between two steps of this very thread, which may hold a lock that stop() needs.
        threading.Thread(target=run.stop, daemon=True).start()

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def summary(run: Run, *, output: str | None, jsonl: str | None) -> str:
    """What happened and where the results are, in a few lines."""
    report, ledger, info = run.report, run.report.ledger, run.info
    width, height = info.size
    kind = "pictures" if info.kind == "pictures" else "frames"
    head = f"{info.name}  {width}x{height}"
    if info.duration_s:
        head += f", {clock(info.duration_s)}"
    lines = [head + (", stopped early" if report.stopped else "")]
    counts = (
        f"  {ledger.decoded} {kind} decoded, {ledger.inferred} inferred, {ledger.written} written"
    )
    for name in ("corrupt", "dropped", "stale", "unprocessed"):
        if getattr(ledger, name):
            counts += f", {getattr(ledger, name)} {name}"
    lines.append(
        counts + (": every frame accounted for" if ledger.adds_up else ": DOES NOT ADD UP")
    )
    lines += [f"  damage: {sentence}" for sentence in report.damage]
    lines += [f"  note: {note}" for sink in run.sinks for note in getattr(sink, "notes", ())]
    lines.append(_speed(report))
    if report.tracks:
        lines.append(
            "  tracks: " + ", ".join(f"{n} on {task}" for task, n in report.tracks.items())
        )
    if report.objects:
        each = ", ".join(
            f"{n} {name}" for name, n in sorted(report.objects.items(), key=lambda x: -x[1])
        )
        lines.append(f"  detections: {each}")
    segments = [file for sink in run.sinks for file in getattr(sink, "files", ())]
    if segments:
        several = f" to {segments[-1].name}" if len(segments) > 1 else ""
        lines.append(f"  overlay: {segments[0]}{several}")
        output = None
    for what, path in (("overlay", output), ("record", jsonl)):
        if path is not None and path != "-":
            lines.append(f"  {what}: {path}")
    if output is None and jsonl is None and not run.sinks:
        lines.append(
            "  nothing was written: add -o OUT.mp4 for an overlay, --jsonl OUT.jsonl for a record"
        )
    return "\n".join(lines)


def _speed(report: Report) -> str:
    each = ", ".join(
        f"{name} {quantiles_ms(values)['p50']:.1f}" for name, values in report.stages.items()
    )
    return f"  {report.fps:.1f} frames/s in {report.wall_s:.1f} s; median ms per frame: {each or 'none'}"
