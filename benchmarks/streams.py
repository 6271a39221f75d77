"""Several cameras on one engine: whether each gets its share, and whether one that dies is noticed by the others.

    python benchmarks/streams.py CLIP [--streams 4] [--fps 10] [--seconds 30] [--config camera] [--json OUT]

Each camera is an RTSP server of its own (GStreamer's, see rtsp_server.py) that plays CLIP at the given rate. All
run for the given time; then the last server is killed, and the others run for as long again. Shares are in
percent of the mean. The exit status is 1 where a share is off by more than 10 %, or a survivor gets less than 90 %
of what it had.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections import defaultdict
from fractions import Fraction
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import av
import numpy as np
from soak import Server, warmed_up

from perception.errors import PerceptionError
from perception.machine import machine
from perception.streams import Streams
from perception.types import FrameResult

SHARE_LIMIT = 0.10
START_S = 30.0


def at_rate(clip: Path, rate: int, seconds: float, out: Path) -> Path:
    """The clip's pictures, as many a second as asked for, again and again."""
    with av.open(str(out), "w") as target:
        stream: Any = None
        number = 0
        while number < seconds * rate:
            with av.open(str(clip)) as source:
                video = source.streams.video[0]
                every = max(1, round(float(video.average_rate or rate) / rate))
                for place, frame in enumerate(source.decode(video)):
                    if place % every:
                        continue
                    if stream is None:
                        stream = target.add_stream("libx264", rate=rate)
                        stream.width, stream.height = frame.width, frame.height
                        stream.pix_fmt = "yuv420p"
                        stream.options = {"preset": "veryfast", "g": str(rate), "bf": "0"}
                    frame.pts, frame.time_base = number, Fraction(1, rate)
                    frame.pict_type = 0
                    target.mux(stream.encode(frame))
                    number += 1
        target.mux(stream.encode(None))
    return out


class Watch:
    """Counts results and keeps their ages, by stream."""

    def __init__(self) -> None:
        self.at: dict[int, list[float]] = defaultdict(list)
        self.ages: dict[int, list[float]] = defaultdict(list)
        self.events: dict[int, list[str]] = defaultdict(list)

    def __call__(self, result: FrameResult) -> None:
        number = result.frame.stream
        self.at[number].append(monotonic())
        self.ages[number].append(result.latency)
        self.events[number] += [event.kind for event in result.events]

    def during(self, start: float, end: float, numbers: list[int]) -> dict[int, dict[str, float]]:
        """Rate and ages of each stream."""
        found = {}
        for number in numbers:
            at = np.array(self.at[number])
            inside = (at >= start) & (at < end)
            ages = np.array(self.ages[number])[: len(at)][inside]
            p50, p99 = np.percentile(ages, [50, 99]) * 1000 if len(ages) else (0.0, 0.0)
            found[number] = {
                "fps": round(int(inside.sum()) / (end - start), 3),
                "age_ms_p50": round(float(p50), 1),
                "age_ms_p99": round(float(p99), 1),
            }
        return found


def measure(options: argparse.Namespace, clip: Path) -> dict[str, Any]:
    """Both halves; returns the figures."""
    servers = [Server(options.python, clip) for _ in range(options.streams)]
    watch = Watch()
    numbers = list(range(options.streams))
    try:
        with Streams(options.config, on_result=watch) as streams:
            for server in servers:
                streams.add(server.url)
            deadline = monotonic() + START_S
            while any(len(watch.at[number]) < options.fps for number in numbers):
                if monotonic() > deadline:
                    raise SystemExit(f"not every stream gives results within {START_S:.0f} s")
                sleep(0.05)
            start = monotonic()
            sleep(options.seconds)
            end = monotonic()
            servers[-1].kill()
            killed = monotonic()
            sleep(options.seconds)
            after = monotonic()
            ledgers = [
                {} if stream.run is None else stream.run.counts() for stream in streams.streams
            ]
    finally:
        for server in servers:
            if server.process.poll() is None:
                server.kill()
    together = watch.during(start, end, numbers)
    survivors = watch.during(killed, after, numbers[:-1])
    mean = float(np.mean([figures["fps"] for figures in together.values()]))
    return {
        "schema": "perception-streams/1",
        "machine": machine(),
        "load_average_1_min": round(os.getloadavg()[0], 2),
        "clip": options.clip.name,
        "config": options.config,
        "engines": warmed_up(options.config),
        "asked_fps": options.fps,
        "seconds": options.seconds,
        "together": together,
        "share_off_percent": round(
            max(abs(figures["fps"] / mean - 1) for figures in together.values()) * 100, 2
        ),
        "one_killed": survivors,
        "kept_percent": round(
            min(survivors[n]["fps"] / together[n]["fps"] for n in survivors) * 100, 2
        ),
        "events_of_survivors": sum(len(watch.events[n]) for n in numbers[:-1]),
        "frames": ledgers,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", type=Path)
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--fps", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--config", default="camera")
    parser.add_argument("--python", default="/usr/bin/python3", help="with GStreamer's bindings")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder:
            seconds = 2 * options.seconds + START_S + 10
            clip = at_rate(options.clip, options.fps, seconds, Path(folder) / "clip.mp4")
            figures = measure(options, clip)
    except PerceptionError as error:
        print(error, file=sys.stderr)
        return 1
    text = json.dumps(figures, indent=1)
    print(text)
    if options.json is not None:
        options.json.write_text(text + "\n")
    unfair = figures["share_off_percent"] > 100 * SHARE_LIMIT
    return 1 if unfair or figures["kept_percent"] < 100 * (1 - SHARE_LIMIT) else 0


if __name__ == "__main__":
    sys.exit(main())
