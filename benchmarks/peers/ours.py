"""This project's pipeline, with the settings of a configuration file given as WEIGHTS."""

from __future__ import annotations

import argparse
import json
import time
from itertools import islice
from typing import Any

import numpy as np

import perception
from perception.preprocess import one_thread_per_picture

WARM_UP = 10  # frames that do not count


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("clip")
    parser.add_argument("config")
    parser.add_argument("out")
    parser.add_argument("--drawn")
    parser.add_argument("--frames", type=int)
    options = parser.parse_args()
    one_thread_per_picture()
    kept: list[np.ndarray] = []
    run = perception.open(
        options.clip, config=options.config, output=options.out, jsonl=options.out + ".jsonl"
    )
    if options.drawn is not None:
        video: Any = run.sinks[0]
        draw = video._draw

        def keeping(result: Any) -> Any:
            planes = draw(result)
            kept.append(planes.y.copy())
            return planes

        video._draw = keeping
    with run:
        results = islice(run, options.frames)
        for _ in islice(results, WARM_UP):
            pass
        wall, cpu = time.monotonic(), time.process_time()
        count = sum(1 for _ in results)
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    if options.drawn is not None:
        np.save(options.drawn, np.stack(kept))
    figures = {"frames": count + WARM_UP, "fps": count / wall, "cpu_ms": 1000 * cpu / count}
    print(json.dumps(figures))


main()
