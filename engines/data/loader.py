"""The road detector's batches: see `engines.data.draw`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from engines.data.augment import U8, Settings, make_picture
from engines.data.coco import Sample
from engines.data.draw import Pool, Turns
from engines.data.paste import Patches
from engines.nets.loss import Target

# Pictures (B, 3, H, W) uint8, their targets, (width, height).
Batch = tuple[Tensor, list[Target], tuple[int, int]]

# Mirrored text is no text, and a mirrored sign is another sign.
ONE_SIDED = ("traffic_sign", "plate")


class Loader:
    """Draws, caches and augments.

    Args:
        samples: to draw from.
        weights: by source: how often, relative to the others. Within a source all are equal.
        sizes: (width, height), one is drawn per step.
        cache_side: longest side of pictures kept in memory.
        share: (number, of): this process makes every `of`-th picture of each batch.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        *,
        weights: Mapping[str, float],
        classes: Sequence[str],
        batch: int,
        sizes: Sequence[tuple[int, int]],
        settings: Settings,
        seed: int,
        cache_side: int = 960,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self._pool = Pool(samples, weights, cache_side=cache_side)
        self._turns = Turns(seed, batch, sizes, share)
        self._settings = settings
        self._one_sided = tuple(c for c, name in enumerate(classes) if name in ONE_SIDED)
        self._patches: Patches | None = None
        if settings.paste:
            samples = self._pool.samples
            self._patches = Patches(samples, classes, self._read, settings.stretched or {})

    def _draw(self, rng: np.random.Generator) -> tuple[Sample, U8]:
        number = self._pool.number(rng)
        return self._pool.samples[number], self._read(number)

    def _read(self, number: int) -> U8:
        return self._pool.picture(number)[0]

    def batch(self, number: int) -> Batch:
        """This process's share of batch `number`."""
        size = self._turns.size(number)
        images, targets = [], []
        for rng in self._turns.pictures(number):
            image, target = make_picture(
                self._draw,
                rng,
                size,
                self._settings,
                one_sided=self._one_sided,
                patches=self._patches,
            )
            images.append(image)
            targets.append(target)
        stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
        return stacked, targets, size
