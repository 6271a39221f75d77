"""A live run that is treated badly: its RTSP server is killed, restarted and frozen again and again.

    python benchmarks/soak.py [CLIP] [--minutes 10] [--kills 20] [--freezes 5] [--config dashcam] [--json OUT]

The server is GStreamer's (see rtsp_server.py) and plays CLIP, an MP4 in H.264, in a loop; without CLIP a moving
test picture of 640x360 at 25 frames a second. Kills leave the server down for 0.5 to 4 s, freezes (SIGSTOP) last
1 to 6 s. Measured: from the server being there again to the first result; the age of results (arrival to
result); resident memory after the first minute (a tenth of the run if that is shorter) and at the end; threads
and descriptors before and after. The exit status is 1 where a limit of LIMITS is missed.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import av
import numpy as np

import perception
from perception.config import load_config
from perception.errors import PerceptionError
from perception.machine import machine
from perception.sources import LiveOptions

LIMITS = {
    "back_s_max": 2.0,
    "memory_growth_mb": 10.0,
    "age_ms_p99": 150.0,
    "threads_left": 0,
    "descriptors_left": 0,
}
SCRIPT = Path(__file__).with_name("rtsp_server.py")
DOWN_S = 0.5, 4.0
FROZEN_S = 1.0, 6.0


class Server:
    """The RTSP server's process."""

    def __init__(self, python: str, clip: Path | None) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"rtsp://127.0.0.1:{port}/live"
        self._command = [python, str(SCRIPT), "--port", str(port)]
        self._command += ["--size", "640x360"] if clip is None else ["--file", str(clip)]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        if self.process.stdout.readline().strip() != "ready":
            raise SystemExit("the RTSP server does not start; rtsp_server.py says what it needs")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


class Villain(threading.Thread):
    """Kills and freezes the server at random, evenly spread over the run."""

    def __init__(self, server: Server, options: argparse.Namespace) -> None:
        super().__init__(name="villain", daemon=True)
        self.server = server
        self.returns: list[tuple[str, float]] = []
        self.stopping = threading.Event()
        acts = ["kill"] * options.kills + ["freeze"] * options.freezes
        self._random = random.Random(options.seed)
        self._random.shuffle(acts)
        self._acts = acts
        # The first part of the run is left in peace: memory is compared with it.
        self._begin_s = settling_s(options)
        self._each_s = (options.minutes * 60 - self._begin_s) / max(1, len(acts))

    def run(self) -> None:
        start = monotonic()
        for number, act in enumerate(self._acts):
            due = start + self._begin_s + number * self._each_s
            if self.stopping.wait(max(0.0, due - monotonic())):
                return
            if act == "kill":
                self.server.kill()
                self.stopping.wait(self._random.uniform(*DOWN_S))
                self.server.start()
            else:
                self.server.process.send_signal(signal.SIGSTOP)
                self.stopping.wait(self._random.uniform(*FROZEN_S))
                self.server.process.send_signal(signal.SIGCONT)
            self.returns.append((act, monotonic()))


def settling_s(options: argparse.Namespace) -> float:
    return min(60.0, options.minutes * 6)


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def descriptors() -> set[str]:
    """What is open, by what it leads to."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.add(os.readlink(entry))
        except OSError:
            continue
    return found


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def warmed_up(config: str) -> dict[str, str]:
    """Runtime and file of the engines, by stage; what a runtime opens once for the whole process is then open."""
    pipeline = load_config(config).pipeline()
    engines = {
        stage.name: f"{stage.engine.backend} {stage.engine.path.name}"
        for stage in pipeline.stages
        if hasattr(stage, "engine")
    }
    pipeline.close()
    return engines


def loop(clip: Path, seconds: float, out: Path) -> Path:
    """The pictures of a clip again and again, without encoding them again."""
    with av.open(str(out), "w") as target:
        stream = None
        shift = 0
        while stream is None or float(shift * stream.time_base) < seconds:
            with av.open(str(clip)) as source:
                video = source.streams.video[0]
                if stream is None:
                    stream = target.add_stream_from_template(video)
                    stream.time_base = video.time_base
                end, first = shift, None
                for packet in source.demux(video):
                    if packet.dts is None:
                        continue
                    # A clip may begin before 0, with pictures that are only there to decode others.
                    first = packet.dts if first is None else first
                    packet.dts += shift - first
                    packet.pts += shift - first
                    end = max(end, packet.pts + (packet.duration or 1))
                    packet.stream = stream
                    target.mux(packet)
                shift = end
    return out


@contextmanager
def played(options: argparse.Namespace) -> Iterator[Path | None]:
    with tempfile.TemporaryDirectory() as folder:
        if options.clip is None:
            yield None
        else:
            yield loop(options.clip, options.minutes * 60 + 30, Path(folder) / "loop.mp4")


def soak(options: argparse.Namespace, clip: Path | None) -> dict[str, Any]:
    """One run; returns its figures."""
    server = Server(options.python, clip)
    villain = Villain(server, options)
    # 8 bytes a number: what is kept here must not be mistaken for the pipeline's own growth.
    at, ages = array("d"), array("d")
    memory: list[float] = []
    settled_mb: float | None = None
    events: dict[str, int] = {}
    engines = warmed_up(options.config)
    before_threads, before_open = threads(), descriptors()
    try:
        run = perception.open(
            server.url, config=options.config, live=LiveOptions(reconnect_for_s=60)
        )
        first_picture_s = None
        start = monotonic()
        villain.start()
        with run:
            for result in run:
                now = monotonic()
                if first_picture_s is None:
                    first_picture_s = now - start
                at.append(now)
                ages.append(result.latency)
                for event in result.events:
                    events[event.kind] = events.get(event.kind, 0) + 1
                if not memory or now - start > len(memory):
                    memory.append(resident_mb())
                if settled_mb is None and now - start > settling_s(options):
                    settled_mb = memory[-1]
                if now - start > options.minutes * 60:
                    break
            stop_at = monotonic()
        stop_s = monotonic() - stop_at
        end_mb = resident_mb()
    finally:
        villain.stopping.set()
        if villain.ident is not None:
            villain.join()
        server.kill()
    report = run.report
    del run, result
    gc.collect()
    left = threads() - before_threads
    opened = descriptors() - before_open
    times = np.array(at)
    back = [
        (act, float(after[0] - there))
        for act, there in villain.returns
        if len(after := times[times > there])
    ]
    p50, p95, p99 = np.percentile(ages, [50, 95, 99]) * 1000
    return {
        "minutes": options.minutes,
        "machine": machine(),
        # What else ran on the machine: a soak is best run alone, or at a priority above everything else's.
        "load_average_5_min": round(os.getloadavg()[1], 2),
        "config": options.config,
        "engines": engines,
        "clip": None if options.clip is None else options.clip.name,
        "results": len(at),
        "fps": round(len(at) / (options.minutes * 60), 2),
        "ledger": report.ledger.as_dict(),
        "kills": sum(act == "kill" for act, _ in villain.returns),
        "freezes": sum(act == "freeze" for act, _ in villain.returns),
        "not_back": len(villain.returns) - len(back),
        "back_s": [[act, round(seconds, 2)] for act, seconds in back],
        "back_s_max": round(max((seconds for _, seconds in back), default=0.0), 3),
        "events": events,
        "age_ms_p50": round(p50, 1),
        "age_ms_p95": round(p95, 1),
        "age_ms_p99": round(p99, 1),
        "memory_settled_mb": None if settled_mb is None else round(settled_mb, 1),
        "memory_end_mb": round(end_mb, 1),
        "memory_growth_mb": None if settled_mb is None else round(end_mb - settled_mb, 1),
        "memory_mb_every_10_s": [round(value, 1) for value in memory[::10]],
        "stop_s": round(stop_s, 3),
        "threads_left": len(left),
        "descriptors_left": len(opened),
        "left": sorted(left) + sorted(opened),
        "damage": report.damage,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", nargs="?", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--freezes", type=int, default=5)
    parser.add_argument("--config", default="dashcam")
    parser.add_argument("--python", default="/usr/bin/python3", help="with GStreamer's bindings")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    try:
        with played(options) as clip:
            figures = soak(options, clip)
    except PerceptionError as error:
        print(error, file=sys.stderr)
        return 1
    missed = [
        f"{name}: {figures[name]} (limit {limit})"
        for name, limit in LIMITS.items()
        if figures[name] is None or figures[name] > limit
    ]
    if figures["not_back"]:
        missed.append(f"not back: {figures['not_back']}")
    for name, value in figures.items():
        print(f"{name:20} {value}")
    print("missed: " + ("; ".join(missed) or "nothing"))
    if options.json is not None:
        options.json.write_text(json.dumps({**figures, "missed": missed}, indent=1) + "\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
