"""The sound inside a moving car: a four-cylinder engine, tyres and wind."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .actors import travelled
from .encode import SOUND_RATE


def engine_sound(
    pace: tuple[tuple[float, float], ...], seconds: float, seed: int
) -> NDArray[np.float32]:
    """Return quiet samples, -1 to 1, of a drive at a given pace."""
    count = int(seconds * SOUND_RATE)
    time = np.arange(count) / SOUND_RATE
    coarse = np.arange(0, seconds + 0.1, 0.05)
    speed_coarse = np.array(
        [(travelled(pace, t + 0.02) - travelled(pace, t - 0.02)) / 0.04 for t in coarse]
    )
    speed = np.interp(time, coarse, speed_coarse)
    gear = np.clip(np.round(speed / 6.0), 1, 5)
    gear = np.convolve(gear, np.ones(4000) / 4000, mode="same")
    turns = np.maximum(13.0, speed / np.maximum(gear, 1) * 6.0)
    phase = 2 * np.pi * np.cumsum(turns) / SOUND_RATE
    engine = np.zeros(count)
    for order, strength in ((1, 0.25), (2, 1.0), (3, 0.2), (4, 0.5), (6, 0.25), (8, 0.12)):
        engine += strength * np.sin(order * phase + order)
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(count)
    low = np.convolve(noise, np.hanning(160) / 80, mode="same")
    sound = 0.045 * engine + 0.10 * low * (0.15 + np.minimum(speed / 28, 1.2))
    fade = np.minimum(1, np.minimum(time, seconds - time) / 0.15)
    return np.clip(sound * fade * 0.5, -1, 1).astype(np.float32)
