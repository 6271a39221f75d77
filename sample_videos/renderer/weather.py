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
    return (float(np.cos(height) * np.sin(azimuth)), float(np.sin(height)),
            float(np.cos(height) * np.cos(azimuth)))


def make_weather(kind: str, rng: np.random.Generator) -> Weather:
    """Return a weather of one of `KINDS` with random details."""
    offset = float(rng.random() * 9)
    day = Weather("day", _sun(rng, 28, 65), clouds=(float(rng.uniform(.1, .8)), 1.5, offset),
                  haze_density=float(rng.uniform(.0006, .0025)),
                  skyline=float(rng.uniform(.1, .5)))
    jitter = float(rng.uniform(.85, 1.15))
    day = replace(day, zenith=tuple(c * jitter for c in day.zenith))
    if kind == "day":
        return day
    if kind == "low_sun":
        return replace(day, name=kind, sun_direction=_sun(rng, 9, 22), sun=(2.5, 1.95, 1.35),
                       zenith=(.20, .33, .62), horizon=(.95, .82, .66), ground=(.24, .21, .18),
                       haze=(.90, .80, .68), haze_density=.002)
    if kind == "overcast":
        level = float(rng.uniform(.75, 1.1))
        return replace(day, name=kind, sun=(.22, .22, .22), zenith=(.72 * level, .76 * level, .82 * level),
                       horizon=(.98, 1.0, 1.02), ground=(.24, .24, .235), haze=(.85, .88, .92),
                       clouds=(1.0, 1.15, offset), haze_density=float(rng.uniform(.001, .004)))
    if kind == "dusk":
        return replace(day, name=kind, sun_direction=_sun(rng, 4, 10), sun=(.35, .20, .10),
                       zenith=(.10, .13, .24), horizon=(.46, .36, .34), ground=(.075, .07, .075),
                       haze=(.36, .31, .32), haze_density=.0022, clouds=(.6, .9, offset),
                       beam=.35, exposure=1.5, night=True)
    if kind in ("night", "night_rain"):
        glow = float(rng.uniform(.5, 1.6))
        night = replace(day, name=kind, sun=(.0, .0, .0), zenith=(.008 * glow, .009 * glow, .015 * glow),
                        horizon=(.030 * glow, .027 * glow, .030 * glow),
                        ground=(.012 * glow, .011 * glow, .010 * glow),
                        haze=(.020 * glow, .019 * glow, .021 * glow), haze_density=.004,
                        clouds=(.7, .5, offset), night=True, beam=float(rng.uniform(1.3, 2.4)),
                        exposure=1.7)
        if kind == "night_rain":
            return replace(night, wet=float(rng.uniform(.7, 1.0)), haze_density=.007)
        return night
    if kind == "fog":
        density = float(rng.uniform(.008, .028))
        return replace(day, name=kind, sun=(.10, .10, .10), zenith=(.66, .69, .72),
                       horizon=(.74, .76, .78), ground=(.22, .22, .22), haze=(.72, .74, .77),
                       haze_density=density, clouds=(.0, 1.0, offset))
    return replace(day, name="rain", sun=(.06, .06, .06), zenith=(.44, .48, .53),
                   horizon=(.66, .69, .72), ground=(.15, .15, .15), haze=(.58, .61, .64),
                   haze_density=float(rng.uniform(.003, .010)), clouds=(1.0, 1.0, offset),
                   wet=float(rng.uniform(.6, 1.0)), exposure=.95)


def make_lens(weather: Weather, rng: np.random.Generator, width: int) -> Lens:
    """Return random lens settings that suit a weather."""
    dark = weather.name in ("night", "night_rain", "dusk")
    scale = width / 1280
    warm = rng.normal(0, .05)
    return Lens(
        exposure=weather.exposure * float(np.exp(rng.normal(0, .20))),
        contrast=float(rng.normal(1.08, .08)),
        tint=(1 + warm, 1.0 + rng.normal(0, .015), 1 - warm),
        saturation=float(np.clip(rng.normal(.92, .15), .4, 1.3)),
        bloom=.05 if dark else .025, vignette=float(rng.uniform(.05, .4)),
        fringe=float(rng.uniform(0, 1.6)), noise=float(rng.uniform(.5, 4.5) * (1.6 if dark else 1)),
        blur=float(max(0, rng.normal(.5, .5)) * scale), zoom=float(max(0, rng.normal(0, .004))),
        sharpen=float(rng.uniform(0, .6)))
