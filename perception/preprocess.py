"""From a frame to a network's input, and the way back for boxes.

The mapping and its inverse are made together and travel together, so they cannot drift apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from perception.card import InputSpec
from perception.colour import planes_to_bgr_resized
from perception.types import F32, U8, Frame


def one_thread_per_picture() -> None:
    """Keep OpenCV from spreading small pictures over its own threads, for the whole process.

    Decoder, network and encoder keep the cores busy; OpenCV's threads only wait beside them, spinning. For
    commands, which own their process; a library does not decide this for its caller.
    """
    cv2.setNumThreads(1)


@dataclass(frozen=True, slots=True)
class Mapping:
    """Where source pixels lie in the network's input: ``input = source * scale + offset``."""

    scale: tuple[float, float]
    offset: tuple[float, float]

    def to_source(self, xyxy: F32) -> F32:
        """Boxes (N, 4) in input pixels -> source pixels."""
        scale = np.array(self.scale * 2, np.float32)
        offset = np.array(self.offset * 2, np.float32)
        return np.asarray((xyxy - offset) / scale, np.float32)

    def points_to_source(self, points: F32) -> F32:
        """Points (..., 2) in input pixels -> source pixels."""
        return np.asarray(
            (points - np.array(self.offset, np.float32)) / np.array(self.scale, np.float32),
            np.float32,
        )


def fitting_size(source: tuple[int, int], *, pixels: int, multiple: int) -> tuple[int, int]:
    """The input size that shows a source largest without spending more than `pixels`.

    A wide picture in a square input wastes half of the network's work on padding; a network that takes any
    size does better with one of the source's own shape.

    Args:
        source: (width, height) of the source.
        pixels: most pixels the input may have.
        multiple: width and height must be multiples of this.

    Returns:
        (width, height); at least one `multiple` each.
    """
    best, best_key = (multiple, multiple), (0.0, 0)
    for width in range(multiple, pixels // multiple + 1, multiple):
        needed = -(-width * source[1] // (source[0] * multiple)) * multiple
        affordable = pixels // width // multiple * multiple
        height = max(multiple, min(needed, affordable))
        scale = min(width / source[0], height / source[1])
        key = (round(scale, 6), -width * height)
        if key > best_key and width * height <= pixels:
            best, best_key = (width, height), key
    return best


class Preprocessor:
    """Turns frames into (1, 3, H, W) float32 for an `InputSpec`; buffers are kept between frames.

    The returned tensor is borrowed: valid until the next call.
    """

    def __init__(self, spec: InputSpec, *, size: tuple[int, int] | None = None) -> None:
        self.spec = spec
        self.size = size or spec.size
        width, height = self.size
        self._picture: U8 = np.empty((height, width, 3), np.uint8)
        self._planes: U8 = np.empty((3, height, width), np.uint8)
        self._buffer: F32 = np.empty((1, 3, height, width), np.float32)
        self._filled: tuple[int, int, int, int] | None = None
        self._mean = np.array(spec.mean, np.float32).reshape(3, 1, 1)
        self._inverse_std = (1 / np.array(spec.std, np.float32)).reshape(3, 1, 1)
        self._shifts = bool(self._mean.any())
        self._scales = bool((self._inverse_std != 1).any())

    def __call__(self, frame: Frame) -> tuple[F32, Mapping]:
        source = frame.size
        mapping, (x, y, width, height) = self.place(source)
        picture = self._picture[:height, :width]
        if frame.planes is not None:
            planes_to_bgr_resized(frame.planes, (width, height), out=picture)
        elif source == (width, height):
            picture = frame.image
        else:
            # Bilinear aliases below half size: a small sign may fall between the sampled pixels.
            shrink = min(width / source[0], height / source[1])
            method = cv2.INTER_AREA if shrink < 0.5 else cv2.INTER_LINEAR
            cv2.resize(frame.image, (width, height), dst=picture, interpolation=method)
        if (x, y, width, height) != self._filled:
            self._fill(np.full((3, 1, 1), self.spec.pad, np.uint8), self._buffer[0])
            self._filled = (x, y, width, height)
        parts = self._planes[:, :height, :width]
        cv2.split(picture, mv=list(parts if self.spec.colour == "bgr" else parts[::-1]))
        self._fill(parts, self._buffer[0, :, y : y + height, x : x + width])
        return self._buffer, mapping

    def _fill(self, values: U8, target: F32) -> None:
        """Channels (3, h, w) in the network's order, as it wants them, into `target`; the only pass over floats."""
        if self._shifts:
            np.subtract(values, self._mean, out=target)
        else:
            target[:] = values
        if self._scales:
            target *= self._inverse_std

    def place(self, source: tuple[int, int]) -> tuple[Mapping, tuple[int, int, int, int]]:
        """The mapping, and the rectangle (x, y, width, height) of the input that the picture fills."""
        width, height = self.size
        if self.spec.fit == "stretch":
            mapping = Mapping((width / source[0], height / source[1]), (0.0, 0.0))
            return mapping, (0, 0, width, height)
        scale = min(width / source[0], height / source[1])
        inner = max(1, int(source[0] * scale + 1e-6)), max(1, int(source[1] * scale + 1e-6))
        x = y = 0
        if self.spec.fit == "letterbox":
            x, y = (width - inner[0]) // 2, (height - inner[1]) // 2
        exact = inner[0] / source[0], inner[1] / source[1]
        return Mapping(exact, (float(x), float(y))), (x, y, *inner)
