"""The road detector's batches, a function of (seed, number): the same after a resume, whatever ran before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from engines.data.augment import U8, Settings, make_picture
from engines.data.coco import Sample
from engines.data.paste import Patches
from engines.nets.loss import Target
from perception.errors import ConfigError, unknown

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
        have = sorted({sample.source for sample in samples})
        for name in weights:
            if name not in have:
                raise ConfigError(f"data.weights: {unknown('data source', name, have)}")
        self.samples = [s for s in samples if weights.get(s.source, 0) > 0]
        if not self.samples:
            raise ConfigError("data.weights leaves no picture to train on; give a source a weight")
        counts: dict[str, int] = {}
        for sample in self.samples:
            counts[sample.source] = counts.get(sample.source, 0) + 1
        chance = np.array([weights[s.source] / counts[s.source] for s in self.samples])
        self._cumulative = np.cumsum(chance / chance.sum())
        self._one_sided = tuple(c for c, name in enumerate(classes) if name in ONE_SIDED)
        self._slots = range(share[0], batch, share[1])
        self._sizes, self._settings = list(sizes), settings
        self._seed, self._cache_side = seed, cache_side
        self._cache: dict[int, U8] = {}
        self._patches: Patches | None = None
        if settings.paste:
            self._patches = Patches(self.samples, classes, self._read, settings.stretched or {})

    def _draw(self, rng: np.random.Generator) -> tuple[Sample, U8]:
        number = min(int(np.searchsorted(self._cumulative, rng.random())), len(self.samples) - 1)
        return self.samples[number], self._read(number)

    def _read(self, number: int) -> U8:
        image = self._cache.get(number)
        if image is None:
            image = self.samples[number].read()
            longest = max(image.shape[:2])
            if longest > self._cache_side:
                factor = self._cache_side / longest
                image = np.asarray(
                    cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA),
                    np.uint8,
                )
            self._cache[number] = image
        return image

    def batch(self, number: int) -> Batch:
        """This process's share of batch `number`."""
        size_rng = np.random.default_rng((self._seed, number))
        size = self._sizes[int(size_rng.integers(len(self._sizes)))]
        images, targets = [], []
        for slot in self._slots:
            rng = np.random.default_rng((self._seed, number, slot + 1))
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
