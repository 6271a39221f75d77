"""Which pictures a batch has, a function of (seed, number): the same after a resume, whatever ran before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from perception.errors import ConfigError, unknown
from perception.types import U8

NOTHING = "data.weights leaves no picture to train on; give a source a weight"


class Drawn(Protocol):
    """A picture that can be drawn."""

    @property
    def source(self) -> str:
        """The name that weights are given to."""

    def read(self) -> U8:
        """(H, W, 3) BGR."""


S = TypeVar("S", bound=Drawn)


def check_sources(weights: Mapping[str, float], have: Sequence[str]) -> None:
    """Every source that has a weight exists.

    Raises:
        ConfigError: names one that does not.
    """
    for name in weights:
        if name not in have:
            raise ConfigError(f"data.weights: {unknown('data source', name, have)}")


class Chances:
    """Draws pictures by their sources' weights; within a source all are equal.

    Args:
        sources: of each picture.
        weights: by source, relative to each other.
    """

    def __init__(self, sources: Sequence[str], weights: Mapping[str, float]) -> None:
        counts: dict[str, int] = {}
        for source in sources:
            counts[source] = counts.get(source, 0) + 1
        chance = np.array([weights[source] / counts[source] for source in sources])
        self._cumulative: npt.NDArray[np.float64] = np.cumsum(chance / chance.sum())

    def number(self, rng: np.random.Generator) -> int:
        """Number of a picture.

        Raises:
            ConfigError: there is none.
        """
        if not len(self._cumulative):
            raise ConfigError(NOTHING)
        last = len(self._cumulative) - 1
        return min(int(np.searchsorted(self._cumulative, rng.random())), last)


class Pool(Generic[S]):
    """Samples that train, and their pictures, each read once and kept small.

    Args:
        samples: to draw from.
        weights: by source: how often, relative to the others.
        cache_side: longest side of the pictures kept in memory.

    Raises:
        ConfigError: a source that is not there, or nothing to train on.
    """

    def __init__(
        self, samples: Sequence[S], weights: Mapping[str, float], *, cache_side: int
    ) -> None:
        check_sources(weights, sorted({sample.source for sample in samples}))
        self.samples = [s for s in samples if weights.get(s.source, 0) > 0]
        if not self.samples:
            raise ConfigError(NOTHING)
        self._chances = Chances([s.source for s in self.samples], weights)
        self._side = cache_side
        self._cache: dict[int, tuple[U8, float]] = {}

    def number(self, rng: np.random.Generator) -> int:
        """Number of a sample."""
        return self._chances.number(rng)

    def picture(self, number: int) -> tuple[U8, float]:
        """A sample's picture, and its size as a share of the file's."""
        found = self._cache.get(number)
        if found is None:
            image = self.samples[number].read()
            factor = min(1.0, self._side / max(image.shape[:2]))
            if factor < 1:
                image = np.asarray(
                    cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA),
                    np.uint8,
                )
            found = self._cache[number] = image, factor
        return found


class Turns:
    """The random numbers of batches.

    Args:
        seed: of the run.
        batch: pictures in a batch.
        sizes: (width, height) of the input, one is drawn per batch.
        share: (number, of): this process makes every `of`-th picture of each batch.
    """

    def __init__(
        self, seed: int, batch: int, sizes: Sequence[tuple[int, int]], share: tuple[int, int]
    ) -> None:
        self._seed, self._sizes = seed, list(sizes)
        self._slots = range(share[0], batch, share[1])

    def size(self, number: int) -> tuple[int, int]:
        """(width, height) of batch `number`."""
        rng = np.random.default_rng((self._seed, number))
        return self._sizes[int(rng.integers(len(self._sizes)))]

    def pictures(self, number: int) -> Iterator[np.random.Generator]:
        """A generator for each picture of this process's share of batch `number`."""
        for slot in self._slots:
            yield np.random.default_rng((self._seed, number, slot + 1))
