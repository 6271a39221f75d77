"""Frames through an engine: input size, preparation, and the mapping back, for every family of detectors and lane networks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy.typing as npt

from perception.backends import Engine, FrameEngine
from perception.card import EngineCard
from perception.preprocess import Mapping, Preprocessor, fitting_size
from perception.types import Frame

Outputs = dict[str, npt.NDArray[Any]]


class PictureEngine:
    """An engine that is given frames; for as many threads at once as the engine.

    Args:
        engine: the engine.
        card: how it wants its pictures.
        pixels: for a network that takes any input size: most pixels of the input. None: as many as the
            card's default size has. The input gets the source's shape.
        trims: the network sees each place for itself, so a file made for one size, whose runtime can compile it
            for others, gets its pictures without the empty rows or columns of a letterbox.
    """

    def __init__(
        self, engine: Engine, card: EngineCard, *, pixels: int | None = None, trims: bool = False
    ) -> None:
        self.engine, self.card = engine, card
        self._frame_engine = engine if isinstance(engine, FrameEngine) else None
        spec = engine.inputs[0]
        self._fixed = None if min(spec.shape[2:]) < 0 else (spec.shape[3], spec.shape[2])
        self._trims = trims and card.input.fit != "stretch" and hasattr(engine, "takes")
        self._pixels = pixels or card.input.size[0] * card.input.size[1]
        # Preprocessors keep buffers, so every thread has its own.
        self._own = threading.local()

    def input_size(self, source: tuple[int, int]) -> tuple[int, int]:
        """(width, height) of the network's input for a source of (width, height)."""
        if self._fixed is not None:
            return self._trimmed(source, self._fixed) if self._trims else self._fixed
        return fitting_size(source, pixels=self._pixels, multiple=self.card.input.multiple)

    def _trimmed(self, source: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
        """`size` without the rows or columns that a source of this size would leave empty."""
        scale = min(size[0] / source[0], size[1] / source[1])
        multiple = self.card.input.multiple
        width, height = (
            min(whole, -(-int(side * scale + 1e-6) // multiple) * multiple)
            for side, whole in zip(source, size, strict=True)
        )
        takes: Callable[[tuple[int, int]], bool] = self.engine.takes  # type: ignore[attr-defined]
        return (width, height) if takes((width, height)) else size

    def preprocessor(self, source: tuple[int, int]) -> Preprocessor:
        """This thread's preprocessor for sources of this (width, height)."""
        mine: dict[tuple[int, int], Preprocessor] = self._own.__dict__.setdefault("by_size", {})
        found = mine.get(source)
        if found is None:
            found = mine[source] = Preprocessor(self.card.input, size=self.input_size(source))
        return found

    def __call__(self, frame: Frame) -> tuple[Outputs, tuple[int, int], Mapping]:
        """The engine's outputs (borrowed), the input's (width, height), and where source pixels lie in it."""
        if self._fixed is not None and self._frame_engine is not None:
            outputs, (mapping,) = self._frame_engine.infer_frames([frame], self.card.input)
            return outputs, self._fixed, mapping
        tensor, mapping = self.preprocessor(frame.size)(frame)
        outputs = self.engine.infer({self.engine.inputs[0].name: tensor})
        height, width = tensor.shape[2:]
        return outputs, (width, height), mapping
