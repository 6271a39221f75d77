"""Kinds of light and air, and the lens settings that go with them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .effects import Lens
from .scene import Weather

KINDS = ("day", "overcast", "dusk", "night", "fog", "rain", "night_rain", "low_sun")


def _sun(rng: np.random.Generator, low: float, high: float) -> tuple[float, float, float]:
    height = np.radians(rng.uniform(low, high))
    azimuth = rng.uniform(-np.pi, np.pi)
    return (
        float(np.cos(height) * np.sin(azimuth)),
        float(np.sin(height)),
        float(np.cos(height) * np.cos(azimuth)),
    )


def make_weather(kind: str, rng: np.random.Generator) -> Weather:
    """Return a weather of one of `KINDS` with random details."""
    offset = float(rng.random() * 9)
    day = Weather(
        "day",
        _sun(rng, 28, 65),
        clouds=(float(rng.uniform(0.1, 0.8)), 1.5, offset),
        haze_density=float(rng.uniform(0.0006, 0.0025)),
        skyline=float(rng.uniform(0.1, 0.5)),
    )
    jitter = float(rng.uniform(0.85, 1.15))
    day = replace(day, zenith=tuple(c * jitter for c in day.zenith))
    if kind == "day":
        return day
    if kind == "low_sun":
        return replace(
            day,
            name=kind,
            sun_direction=_sun(rng, 9, 22),
            sun=(2.5, 1.95, 1.35),
            zenith=(0.20, 0.33, 0.62),
            horizon=(0.95, 0.82, 0.66),
            ground=(0.24, 0.21, 0.18),
            haze=(0.90, 0.80, 0.68),
            haze_density=0.002,
        )
    if kind == "overcast":
        level = float(rng.uniform(0.75, 1.1))
        return replace(
            day,
            name=kind,
            sun=(0.22, 0.22, 0.22),
            zenith=(0.72 * level, 0.76 * level, 0.82 * level),
            horizon=(0.98, 1.0, 1.02),
            ground=(0.24, 0.24, 0.235),
            haze=(0.85, 0.88, 0.92),
            clouds=(1.0, 1.15, offset),
            haze_density=float(rng.uniform(0.001, 0.004)),
        )
    if kind == "dusk":
        return replace(
            day,
            name=kind,
            sun_direction=_sun(rng, 4, 10),
            sun=(0.35, 0.20, 0.10),
            zenith=(0.10, 0.13, 0.24),
            horizon=(0.46, 0.36, 0.34),
            ground=(0.075, 0.07, 0.075),
            haze=(0.36, 0.31, 0.32),
            haze_density=0.0022,
            clouds=(0.6, 0.9, offset),
            beam=0.35,
            exposure=1.5,
            night=True,
        )
    if kind in ("night", "night_rain"):
        glow = float(rng.uniform(0.5, 1.6))
        night = replace(
            day,
            name=kind,
            sun=(0.0, 0.0, 0.0),
            zenith=(0.008 * glow, 0.009 * glow, 0.015 * glow),
            horizon=(0.030 * glow, 0.027 * glow, 0.030 * glow),
            ground=(0.012 * glow, 0.011 * glow, 0.010 * glow),
            haze=(0.020 * glow, 0.019 * glow, 0.021 * glow),
            haze_density=0.004,
            clouds=(0.7, 0.5, offset),
            night=True,
            beam=float(rng.uniform(1.3, 2.4)),
            exposure=1.7,
        )
        if kind == "night_rain":
            return replace(night, wet=float(rng.uniform(0.7, 1.0)), haze_density=0.007)
        return night
    if kind == "fog":
        density = float(rng.uniform(0.008, 0.028))
        return replace(
            day,
            name=kind,
            sun=(0.10, 0.10, 0.10),
            zenith=(0.66, 0.69, 0.72),
            horizon=(0.74, 0.76, 0.78),
            ground=(0.22, 0.22, 0.22),
            haze=(0.72, 0.74, 0.77),
            haze_density=density,
            clouds=(0.0, 1.0, offset),
        )
    return replace(
        day,
        name="rain",
        sun=(0.06, 0.06, 0.06),
        zenith=(0.44, 0.48, 0.53),
        horizon=(0.66, 0.69, 0.72),
        ground=(0.15, 0.15, 0.15),
        haze=(0.58, 0.61, 0.64),
        haze_density=float(rng.uniform(0.003, 0.010)),
        clouds=(1.0, 1.0, offset),
        wet=float(rng.uniform(0.6, 1.0)),
        exposure=0.95,
    )


def make_lens(weather: Weather, rng: np.random.Generator, width: int) -> Lens:
    """Return random lens settings that suit a weather."""
    dark = weather.name in ("night", "night_rain", "dusk")
    scale = width / 1280
    warm = rng.normal(0, 0.05)
    return Lens(
        exposure=weather.exposure * float(np.exp(rng.normal(0, 0.20))),
        contrast=float(rng.normal(1.14, 0.10)),
        tint=(1 + warm, 1.0 + rng.normal(0, 0.015), 1 - warm),
        saturation=float(np.clip(rng.normal(1.02, 0.2), 0.4, 1.5)),
        bloom=0.05 if dark else 0.025,
        vignette=float(rng.uniform(0.05, 0.4)),
        fringe=float(rng.uniform(0, 1.6)),
        noise=float(rng.uniform(0.5, 4.5) * (1.6 if dark else 1)),
        blur=float(max(0, rng.normal(0.5, 0.5)) * scale),
        zoom=float(max(0, rng.normal(0, 0.004))),
        sharpen=float(rng.uniform(0, 0.6)),
    )
