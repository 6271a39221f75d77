"""Several sources in one `perception run`, side by side, because at least one of them is live."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TextIO

from perception.assemble import page_address
from perception.commands.live import live_options
from perception.config import load_config
from perception.errors import InputError, RequestError
from perception.streams import Stream, Streams

LOOK_S = 0.2


def open_together(sources: list[str], options: argparse.Namespace) -> Streams:
    """Begin all of them; outputs are named by the streams' numbers.

    Raises:
        RequestError: an option that is for one source only.
        PerceptionError: the configuration or an engine cannot be used.
    """
    if options.show:
        raise RequestError(
            "--show is for one source; use --page PORT: each stream gets a port, from there on"
        )
    if options.fps is not None:
        raise RequestError("--fps is for pictures, which do not run beside live sources")
    config = load_config(options.config).changed(
        backend=options.backend,
        precision=options.precision,
        min_score=options.min_score,
        engine=options.engine,
        family=options.family,
        track=not options.no_track,
    )
    places = [
        {
            "output": _place(options.output, number, ".mp4"),
            "jsonl": _place(options.jsonl, number, ".jsonl"),
            "page": _page(options.page, number),
        }
        for number in range(len(sources))
    ]
    streams = Streams(config)
    try:
        for number, (source, outputs) in enumerate(zip(sources, places, strict=True)):
            if outputs["page"] is not None:
                print(f"stream {number}: look at http://{outputs['page']}/", file=sys.stderr)
            streams.add(
                source,
                live=live_options(options),
                max_age_s=options.max_age,
                segment_s=options.segment,
                **outputs,
            )
    except BaseException:
        streams.close()
        raise
    return streams


def wait_for(streams: Streams, out: TextIO) -> int:
    """Until all have ended; says of each what it did. Returns the exit status, a stop aside."""
    status = 0
    while not streams.wait(LOOK_S):
        pass
    for stream in streams.streams:
        status = max(status, _told(stream, out))
    return status


def _told(stream: Stream, out: TextIO) -> int:
    from perception.commands.run import summary

    if stream.run is not None:
        print(f"stream {stream.number}: {summary(stream.run, output=None, jsonl=None)}", file=out)
    if stream.failure is not None:
        # It was said when it happened.
        return 2 if isinstance(stream.failure, RequestError) else 1
    return 0 if stream.report is None or stream.report.ledger.adds_up else 1


def _place(wish: str | None, number: int, suffix: str) -> str | None:
    if wish is None or wish == "-":
        return wish
    folder = Path(wish)
    if folder.suffix in (".mp4", ".mkv", ".mov", ".jsonl"):
        raise InputError(
            f"{wish}: several sources need a folder here, not one file; write {folder.stem}/"
        )
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder / f"stream_{number}{suffix}")


def _page(wish: str | None, number: int) -> str | None:
    if wish is None:
        return None
    host, port = page_address(wish)
    return f"{host}:{port + number}"
