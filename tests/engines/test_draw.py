"""Which pictures are drawn, how large they are kept, and that a batch's numbers hang on seed and number only."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from engines.data.draw import Chances, Pool, Turns
from perception.errors import ConfigError


@dataclass
class Sample:
    source: str
    width: int = 64
    reads: list[int] = field(default_factory=list)

    def read(self) -> np.ndarray:
        self.reads.append(1)
        return np.full((self.width // 2, self.width, 3), 7, np.uint8)


def test_sources_come_as_often_as_their_weights_say_and_pictures_within_alike() -> None:
    chances = Chances(["few", "many", "many", "many"], {"few": 3.0, "many": 1.0})
    rng = np.random.default_rng(0)
    drawn = np.bincount([chances.number(rng) for _ in range(8000)], minlength=4) / 8000
    assert drawn == pytest.approx([0.75, 1 / 12, 1 / 12, 1 / 12], abs=0.02)


def test_nothing_to_draw_from_is_an_error_when_something_is_drawn() -> None:
    with pytest.raises(ConfigError, match="leaves no picture to train on"):
        Chances([], {}).number(np.random.default_rng(0))


def test_a_picture_is_read_once_and_kept_small() -> None:
    sample = Sample("a", width=200)
    pool = Pool([sample, Sample("off")], {"a": 1.0, "off": 0.0}, cache_side=100)
    for _ in range(3):
        image, factor = pool.picture(0)
        assert image.shape == (50, 100, 3) and factor == 0.5
    assert len(sample.reads) == 1 and pool.samples == [sample]
    image, factor = Pool([Sample("a")], {"a": 1.0}, cache_side=100).picture(0)
    assert image.shape == (32, 64, 3) and factor == 1.0, "nothing is enlarged"


def test_weights_must_name_sources_that_are_there_and_leave_one() -> None:
    with pytest.raises(ConfigError, match=r"unknown data source 'b'"):
        Pool([Sample("a")], {"b": 1.0}, cache_side=100)
    with pytest.raises(ConfigError, match="leaves no picture"):
        Pool([Sample("a")], {"a": 0.0}, cache_side=100)


def test_processes_that_share_a_batch_make_it_together() -> None:
    sizes = [(64, 32), (32, 64)]
    alone = Turns(3, 4, sizes, (0, 1))
    whole = [rng.random() for rng in alone.pictures(5)]
    halves = [Turns(3, 4, sizes, (rank, 2)) for rank in range(2)]
    assert [[rng.random() for rng in half.pictures(5)] for half in halves] == [
        whole[::2],
        whole[1::2],
    ]
    assert {half.size(5) for half in halves} == {alone.size(5)}
    assert {alone.size(number) for number in range(20)} == set(sizes)
