"""What no pipeline can do without, each alone: decoding, the network, encoding. CPU milliseconds a frame.

    python bare_parts.py CLIP WEIGHTS OUT [--frames N]

The network runs in one thread, the encoder is x264 veryfast, crf 23, on the decoded pictures. Their sum over the
cores is the highest frame rate that any pipeline with these parts can reach.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from itertools import islice
from time import process_time

import av
import numpy as np
import onnxruntime

WARM_UP = 10  # frames that do not count
CALLS = 60
KEPT = 150  # decoded pictures that are encoded, at most


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("clip")
    parser.add_argument("weights")
    parser.add_argument("out")
    parser.add_argument("--frames", type=int)
    options = parser.parse_args()
    parts = {
        "decode": cpu_ms(decoding(options.clip, options.frames)),
        "network": cpu_ms(inferring(options.weights)),
        "encode": cpu_ms(encoding(options.clip, options.out)),
    }
    print(json.dumps(parts))


def cpu_ms(steps: Iterator[None]) -> float:
    """Of one step, without the first ones; what ends the work counts too."""
    count = 0
    start = process_time()
    for _ in steps:
        count += 1
        if count == WARM_UP:
            start = process_time()
    return 1000 * (process_time() - start) / (count - WARM_UP)


def decoding(clip: str, frames: int | None) -> Iterator[None]:
    with av.open(clip) as container:
        container.streams.video[0].thread_type = "AUTO"
        for _ in islice(container.decode(video=0), frames):
            yield


def inferring(weights: str) -> Iterator[None]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
    tensor = np.random.default_rng(0).uniform(0, 255, (1, 3, 416, 416)).astype(np.float32)
    for _ in range(CALLS):
        session.run(None, {session.get_inputs()[0].name: tensor})
        yield


def encoding(clip: str, out: str) -> Iterator[None]:
    with av.open(clip) as container:
        stream = container.streams.video[0]
        rate, size = stream.average_rate, (stream.width, stream.height)
        planes = [frame.to_ndarray() for frame in islice(container.decode(video=0), KEPT)]
    with av.open(out, "w") as container:
        encoded = container.add_stream("libx264", rate=rate)
        encoded.width, encoded.height = size
        encoded.pix_fmt = "yuv420p"
        encoded.options = {"preset": "veryfast", "crf": "23"}
        for picture in planes:
            container.mux(encoded.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p")))
            yield
        container.mux(encoded.encode(None))


main()
