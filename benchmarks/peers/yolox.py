"""What the peers share: YOLOX as its own demo prepares and decodes it, boxes by OpenCV, the record, the drawn frames.

No file of this project is imported: the programs beside this one run in an environment of their own.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass

import cv2
import numpy as np

SIZE = 416
MIN_SCORE, MAX_IOU = 0.3, 0.45
WARM_UP = 10  # frames that do not count
COLOURS = np.random.default_rng(3).integers(60, 255, (80, 3)).tolist()


@dataclass
class Job:
    """What a program was asked for, and where what it did is kept."""

    clip: str
    weights: str
    out: str
    drawn: str | None
    frames: int | None

    def __post_init__(self) -> None:
        self.kept: list[np.ndarray] = []
        self.record = open(self.out + ".jsonl", "w")  # noqa: SIM115
        self.count = 0
        self.began: tuple[float, float] | None = None

    def keep(self, bgr: np.ndarray) -> None:
        """A drawn frame, for the comparison with what the video shows of it (an untimed run)."""
        if self.drawn is not None:
            self.kept.append(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY))

    def write(
        self, xyxy: np.ndarray, score: np.ndarray, kind: np.ndarray, ids: np.ndarray | None = None
    ) -> None:
        """One line of the record."""
        rows = [
            {
                "class": int(k),
                "score": round(float(s), 4),
                "xyxy": [round(float(v), 1) for v in box],
                "track": None if ids is None else int(ids[i]),
            }
            for i, (box, s, k) in enumerate(zip(xyxy, score, kind, strict=True))
        ]
        self.record.write(json.dumps({"frame": self.count, "objects": rows}) + "\n")
        self.count += 1
        if self.count == WARM_UP:
            self.began = time.monotonic(), time.process_time()

    @property
    def enough(self) -> bool:
        return self.frames is not None and self.count >= self.frames

    def finish(self) -> None:
        self.record.close()
        assert self.began is not None, "the clip is too short"
        wall, cpu = time.monotonic() - self.began[0], time.process_time() - self.began[1]
        if self.drawn is not None:
            np.save(self.drawn, np.stack(self.kept))
        counted = self.count - WARM_UP
        print(
            json.dumps(
                {"frames": self.count, "fps": counted / wall, "cpu_ms": 1000 * cpu / counted}
            )
        )


def job() -> Job:
    parser = argparse.ArgumentParser()
    parser.add_argument("clip")
    parser.add_argument("weights")
    parser.add_argument("out")
    parser.add_argument("--drawn")
    parser.add_argument("--frames", type=int)
    return Job(**vars(parser.parse_args()))


def session(weights: str):
    """ONNX Runtime as it comes."""
    import onnxruntime

    return onnxruntime.InferenceSession(weights, providers=["CPUExecutionProvider"])


def prepare(image: np.ndarray) -> tuple[np.ndarray, float]:
    """(1, 3, 416, 416) float32 and the scale, as YOLOX's demo `preproc`."""
    padded = np.full((SIZE, SIZE, 3), 114, np.uint8)
    scale = min(SIZE / image.shape[0], SIZE / image.shape[1])
    size = int(image.shape[1] * scale), int(image.shape[0] * scale)
    padded[: size[1], : size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(padded.transpose(2, 0, 1), np.float32)[None], scale


def _grid() -> tuple[np.ndarray, np.ndarray]:
    cells, strides = [], []
    for stride in (8, 16, 32):
        x, y = np.meshgrid(np.arange(SIZE // stride), np.arange(SIZE // stride))
        cells.append(np.stack((x, y), 2).reshape(-1, 2))
        strides.append(np.full((cells[-1].shape[0], 1), stride))
    return np.concatenate(cells), np.concatenate(strides)


GRID, STRIDES = _grid()


def decode(output: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes xyxy in source pixels, scores and classes, after suppression."""
    raw = output.reshape(-1, 85)
    centre = (raw[:, :2] + GRID) * STRIDES
    size = np.exp(raw[:, 2:4]) * STRIDES
    scores = raw[:, 4:5] * raw[:, 5:]
    kind = scores.argmax(1)
    score = scores[np.arange(len(scores)), kind]
    keep = score >= MIN_SCORE
    xywh = np.concatenate([centre - size / 2, size], 1)[keep] / scale
    score, kind = score[keep], kind[keep]
    if len(score) == 0:
        return np.zeros((0, 4)), score, kind
    rows = np.asarray(cv2.dnn.NMSBoxes(xywh.tolist(), score.tolist(), MIN_SCORE, MAX_IOU)).ravel()
    xywh = xywh[rows]
    return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], 1), score[rows], kind[rows]


def draw(image: np.ndarray, xyxy: np.ndarray, score: np.ndarray, kind: np.ndarray) -> None:
    """Boxes with a label, by OpenCV."""
    for box, s, k in zip(xyxy.astype(int).tolist(), score, kind, strict=True):
        x1, y1, x2, y2 = box
        cv2.rectangle(image, (x1, y1), (x2, y2), COLOURS[k], 2)
        cv2.putText(
            image, f"{k} {s:.2f}", (x1, max(12, y1 - 4)), 0, 0.5, COLOURS[k], 1, cv2.LINE_AA
        )
