"""A network that says what a crop shows: a sign's kind, a light's state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from perception.backends import Engine, open_engine
from perception.backends.installed import engine_path
from perception.crops import as_input, cut_boxes
from perception.errors import ConfigError, EngineError
from perception.types import F32, Frame

# Crops in one call of a network that takes any number.
MOST_TOGETHER = 8


class Classifier:
    """Crops of a frame -> scores by class.

    Args:
        engine: an installed engine's name, the path of an ONNX file, or an open `Engine`.
        backend: see `perception.backends.open_engine`.
        threads: threads inside one operator of a CPU runtime.

    Attributes:
        classes: names by class number.
        size: (width, height) of a crop.
        margin: around a detector's box, a share of its sides.
        margin_of_crops: around what is a crop already; below 0 where the network looks at its middle.
        reject: number of the class that means "none of these", or -1.

    Raises:
        ConfigError: the file is no classifier.
        InputError: no such engine.
        EngineError: the engine cannot be opened, or its outputs are not what its card says.
    """

    def __init__(
        self, engine: str | Path | Engine, *, backend: str = "auto", threads: int = 1
    ) -> None:
        if isinstance(engine, (str, Path)):
            engine = open_engine(engine_path(engine), backend=backend, threads=threads)
        self.engine = engine
        card = engine.card
        if card is None or card.family != "classifier":
            is_what = (
                "says nothing about itself" if card is None else f"is a {card.family!r} engine"
            )
            engine.close()
            raise ConfigError(f"{engine.path} {is_what}, not a classifier of crops")
        self.card = card
        self.classes = card.classes
        spec, out = engine.inputs[0], engine.outputs[0]
        if len(out.shape) != 2 or out.shape[1] not in (len(card.classes), -1):
            raise EngineError(
                f"{engine.path}: output must have shape (N, {len(card.classes)}) for its classes, "
                f"but has {out.shape}"
            )
        self.size = card.input.size
        zoom = float(card.decoder.get("zoom", 1.0))
        margin = float(card.decoder.get("margin", 0.0))
        self.margin = ((1 + 2 * margin) * zoom - 1) / 2
        self.margin_of_crops = (zoom - 1) / 2
        self._activated = bool(card.decoder.get("activated", False))
        most = min(MOST_TOGETHER, getattr(engine, "most_pictures", MOST_TOGETHER))
        self._together = spec.shape[0] if spec.shape[0] > 0 else most
        self._fixed = spec.shape[0] > 0
        name = card.decoder.get("reject")
        self.reject = card.classes.index(name) if name in card.classes else -1

    def __call__(self, frame: Frame, xyxy: F32, *, whole: bool = False) -> F32:
        """Scores (N, classes) that add up to 1, of the frame's boxes (N, 4).

        Args:
            frame: the picture.
            xyxy: boxes in its pixels.
            whole: the boxes are crops already, with their margin.
        """
        crops = cut_boxes(
            frame, xyxy, self.size, margin=self.margin_of_crops if whole else self.margin
        )
        return self.scores(crops)

    def scores(self, crops: npt.NDArray[np.uint8]) -> F32:
        """Scores (N, classes) of crops (N, H, W, 3) uint8 BGR of the network's size."""
        parts: list[F32] = []
        for first in range(0, len(crops), self._together):
            part = as_input(crops[first : first + self._together], self.card.input)
            count = len(part)
            if self._fixed and count < self._together:
                rest = np.zeros((self._together - count, *part.shape[1:]), np.float32)
                part = np.concatenate([part, rest])
            outputs = self.engine.infer({self.engine.inputs[0].name: part})
            raw: npt.NDArray[Any] = outputs[self.engine.outputs[0].name][:count]
            parts.append(raw.astype(np.float32) if self._activated else softmax(raw))
        if not parts:
            return np.zeros((0, len(self.classes)), np.float32)
        return np.concatenate(parts)

    def close(self) -> None:
        self.engine.close()


def softmax(logits: npt.NDArray[Any]) -> F32:
    """Scores (N, C) that add up to 1."""
    values = np.asarray(logits, np.float64)
    raised = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float32)
