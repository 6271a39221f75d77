"""Pictures with masks of the drivable area and of lane paint, moved and spoilt for training.

Reads what `python -m engines.label_lanes` wrote. A picture is a function of (seed, batch, place in it).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from engines.data.augment import PAD, Settings, spoil
from engines.data.draw import Chances, Turns, check_sources
from engines.nets.lanes import STRIDE
from perception.errors import InputError
from perception.types import U8


@dataclass(frozen=True)
class LaneBatch:
    """Pictures (B, 3, H, W) uint8 RGB and probabilities (B, 2, H/2, W/2) uint8: drivable, lane."""

    pictures: Tensor
    masks: Tensor


@dataclass(frozen=True)
class Moves:
    """How a picture is moved; the rest of the recipe's [augment] is `engines.data.augment.Settings`.

    Attributes:
        zoom: (least, most) size relative to filling the input.
        aspect: spread of the logarithm of the change of shape.
        turn: spread of the roll in degrees.
        shift: most shift of the middle, of the picture's size.
        flip: probability of mirroring.
    """

    zoom: tuple[float, float] = (0.75, 1.6)
    aspect: float = 0.08
    turn: float = 1.5
    shift: float = 0.15
    flip: float = 0.5


class LaneData:
    """The pictures of a folder, drawn by source.

    Args:
        folder: with index.json, NAME.webp and NAME.png.
        weights: by source: how often, relative to the others. Within a source all are equal. Sources
            not named are not drawn.

    Raises:
        InputError: no index, or a picture is missing or broken.
        ConfigError: a source that is not there.
    """

    def __init__(self, folder: str | Path, weights: Mapping[str, float]) -> None:
        self.folder = Path(folder)
        path = self.folder / "index.json"
        if not path.is_file():
            raise InputError(f"{path}: no such file; make it with: python -m engines.label_lanes")
        self.index: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
        check_sources(weights, sorted(set(self.index.values())))
        self.names = sorted(n for n, source in self.index.items() if weights.get(source, 0) > 0)
        self._chances = Chances([self.index[name] for name in self.names], weights)
        self._cache: dict[int, tuple[U8, U8]] = {}

    def draw(self, rng: np.random.Generator) -> tuple[U8, U8]:
        """A picture (H, W, 3) BGR and its masks (h, w, 2)."""
        number = self._chances.number(rng)
        if number not in self._cache:
            self._cache[number] = self.read(self.names[number])
        return self._cache[number]

    def pick(self, rng: np.random.Generator, count: int) -> list[U8]:
        """Different pictures, drawn as `draw` does; fewer where there are not so many."""
        numbers: list[int] = []
        for _ in range(20 * count):
            number = self._chances.number(rng)
            if number not in numbers and len(numbers) < count:
                numbers.append(number)
        return [self.read(self.names[number])[0] for number in numbers]

    def read(self, name: str) -> tuple[U8, U8]:
        """As `draw`, by name."""
        image = cv2.imread(str(self.folder / f"{name}.webp"), cv2.IMREAD_COLOR)
        stacked = cv2.imread(str(self.folder / f"{name}.png"), cv2.IMREAD_GRAYSCALE)
        if image is None or stacked is None or len(stacked) % 2:
            raise InputError(
                f"{self.folder / name}: the picture or its masks are missing or broken; label again"
            )
        half = len(stacked) // 2
        masks = np.stack([stacked[:half], stacked[half:]], axis=2)
        return np.asarray(image, np.uint8), np.asarray(masks, np.uint8)


def move(
    image: U8, masks: U8, size: tuple[int, int], rng: np.random.Generator, moves: Moves
) -> tuple[U8, U8]:
    """Mirror, zoom, turn and shift a picture and its masks into an input of `size` (width, height).

    Returns:
        (H, W, 3) and (H/2, W/2, 2); outside the picture grey, and nothing in the masks.
    """
    width, height = size
    if rng.random() < moves.flip:
        image, masks = image[:, ::-1], masks[:, ::-1]
    zoom = np.exp(rng.uniform(np.log(moves.zoom[0]), np.log(moves.zoom[1])))
    aspect = np.exp(rng.normal(0, moves.aspect) / 2)
    turn = np.deg2rad(rng.normal(0, moves.turn))
    scale = max(width / image.shape[1], height / image.shape[0]) * zoom
    spread = np.diag([scale * aspect, scale / aspect])
    roll = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    linear = roll @ spread
    middle = np.array([image.shape[1], image.shape[0]]) / 2
    target = np.array(size) * (0.5 + rng.uniform(-moves.shift, moves.shift, 2))
    offset = target - linear @ middle
    if scale < 0.7:
        # Averaging first keeps thin lines from falling between the sampled pixels.
        image = np.asarray(cv2.blur(image, (2, 2)), np.uint8)
    moved = _warp(image, linear, offset, size, (1.0, 1.0), PAD)
    to_masks = image.shape[1] / masks.shape[1], image.shape[0] / masks.shape[0]
    shown = _warp(masks, linear, offset, (width // STRIDE, height // STRIDE), to_masks, 0, STRIDE)
    return moved, shown


def _warp(
    array: U8,
    linear: np.ndarray,  # type: ignore[type-arg]
    offset: np.ndarray,  # type: ignore[type-arg]
    size: tuple[int, int],
    coarse: tuple[float, float],
    outside: int,
    stride: int = 1,
) -> U8:
    """Warp an array whose pixels are `coarse` picture pixels wide onto a grid of `stride` input pixels."""
    # Pixel centres are at integer + 0.5 in our coordinates and at integers in OpenCV's.
    matrix = linear * np.array(coarse)[None] / stride
    shift = offset / stride + matrix.sum(axis=1) / 2 - 0.5
    both = np.concatenate([matrix, shift[:, None]], axis=1)
    moved = cv2.warpAffine(
        np.ascontiguousarray(array), both, size, flags=cv2.INTER_LINEAR, borderValue=(outside,) * 3
    )
    return np.asarray(moved, np.uint8)


class LaneLoader:
    """Batches as a function of (seed, number).

    Args:
        sizes: (width, height) of the input, one is drawn per batch.
        share: (number, of): this process makes every `of`-th picture of each batch.
    """

    def __init__(
        self,
        data: LaneData,
        *,
        batch: int,
        sizes: Sequence[tuple[int, int]],
        moves: Moves,
        settings: Settings,
        seed: int,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.data, self.moves, self.settings = data, moves, settings
        self._turns = Turns(seed, batch, sizes, share)

    def batch(self, number: int) -> LaneBatch:
        """This process's share of batch `number`."""
        size = self._turns.size(number)
        pictures, masks = [], []
        for rng in self._turns.pictures(number):
            image, mask = self.data.draw(rng)
            image, mask = move(image, mask, size, rng, self.moves)
            pictures.append(spoil(image, rng, self.settings)[..., ::-1])
            masks.append(mask)
        return LaneBatch(
            torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2),
            torch.from_numpy(np.stack(masks)).permute(0, 3, 1, 2),
        )
