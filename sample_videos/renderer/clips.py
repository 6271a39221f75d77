"""The three sample clips: what happens in each, and how they are drawn and written."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .actors import travelled
from .builder import Builder
from .camera import Camera
from .context import create_context
from .draw import Drawing, Renderer
from .drive_city import CITY_PACE, city_street
from .drive_highway import day_highway
from .drive_night import NIGHT_PACE, night_rain
from .effects import Lens, Windscreen, photograph, rain_streaks
from .encode import write_clip
from .scene import CLASSES
from .sound import engine_sound
from .truth import objects

logger = logging.getLogger(__name__)

SIZE, RATE = (1280, 720), 25
MAX_BYTES = 2_900_000


@dataclass(frozen=True, slots=True)
class Clip:
    """A scripted drive.

    Attributes:
        build: makes the scene of a moment: (camera, models, seed, time) to builder.
        pace: (time, speed) of our own car.
        sideways: our place on the road.
        seconds: how long it lasts.
        lens: how the camera renders light.
        sound: with an engine to hear.
        bounce: how hard the road shakes the camera.
    """

    build: Callable[[Camera, dict[str, Any], int, float], Builder]
    pace: tuple[tuple[float, float], ...]
    sideways: float
    seconds: float
    lens: Lens
    sound: bool = True
    bounce: float = 1.0


DAYLIGHT = Lens(
    exposure=0.93,
    contrast=1.32,
    saturation=1.18,
    tint=(1.03, 1.0, 0.96),
    noise=0.9,
    fringe=0.7,
    vignette=0.2,
    blur=0.45,
)
CLIPS: dict[str, Clip] = {
    "day_highway": Clip(
        day_highway,
        ((0, 27.0), (7, 28.0), (12, 27.0)),
        5.75,
        12.0,
        lens=DAYLIGHT,
    ),
    "city_street": Clip(
        city_street,
        CITY_PACE,
        1.7,
        15.0,
        lens=DAYLIGHT,
    ),
    "night_rain": Clip(
        night_rain,
        NIGHT_PACE,
        1.8,
        12.0,
        bounce=0.8,
        lens=Lens(
            exposure=1.7,
            contrast=1.12,
            noise=1.8,
            fringe=0.9,
            vignette=0.3,
            blur=0.6,
            bloom=0.05,
            zoom=0.004,
            tint=(1.03, 1.0, 0.97),
        ),
        sound=False,
    ),
}


def shaken(camera: Camera, time: float, speed: float, amount: float, seed: int) -> Camera:
    """Return the camera as the road shakes it: slow pitching on the springs, small jolts."""
    rng = np.random.default_rng(seed)
    share = amount * min(1.0, speed / 12)
    pitch = roll = height = 0.0
    for frequency, strength in ((1.2, 0.0020), (1.7, 0.0013), (3.9, 0.0006), (7.3, 0.0004)):
        p, q, h = rng.uniform(0, 2 * np.pi, 3)
        wave = 2 * np.pi * frequency * time
        pitch += strength * np.sin(wave + p)
        roll += strength * 0.9 * np.sin(wave * 0.83 + q)
        height += strength * 4 * np.sin(wave * 0.91 + h)
    return replace(
        camera,
        pitch=camera.pitch + share * float(pitch),
        roll=camera.roll + share * float(roll),
        y=camera.y + share * float(height),
    )


def scene_at(
    clip: Clip, models: dict[str, Any], seed: int, time: float, size: tuple[int, int] = SIZE
) -> Builder:
    """Return the scene of a clip at a time."""
    pace = clip.pace
    z = travelled(pace, time)
    speed = (travelled(pace, time + 0.02) - travelled(pace, time - 0.02)) / 0.04
    later = (travelled(pace, time + 0.3) - travelled(pace, time + 0.26)) / 0.04
    # Braking presses the nose down.
    dive = 0.0022 * (later - speed) / 0.28
    camera = Camera(clip.sideways, 1.32, z, 0.0, -0.028 + dive, 0.0, 58.0, size)
    camera = shaken(camera, time, speed, clip.bounce, seed)
    return clip.build(camera, models, seed, time)


def frame_truth(builder: Builder, drawing: Drawing, number: int) -> dict[str, Any]:
    """Return the entry of one frame in the truth."""
    entries = objects(builder.scene, drawing, min_pixels=24)
    return {
        "frame": number,
        "time": round(number / RATE, 3),
        "objects": entries,
        "lanes": builder.scene.road.lanes(builder.scene.camera),
    }


def windscreen_at(seed: int, time: float, *, period: float = 1.5) -> Windscreen:
    """Return the drops on the glass; a wiper clears it from left to right once a period."""
    rng = np.random.default_rng([seed, 77])
    count = 340
    drops = np.column_stack(
        [
            rng.random(count),
            rng.random(count),
            rng.gamma(2.0, 0.0015, count) + 0.0010,
            np.zeros(count),
        ]
    )
    cycle = np.floor(time / period)
    since = time - cycle * period
    born = rng.random(count) * period
    # In the first 0.35 s the blade passes: to its right the drops of the last cycle remain.
    blade = since / 0.35
    old = (drops[:, 0] > blade) & (since < 0.35)
    new = (born < since) & (drops[:, 0] < blade)
    moved = np.random.default_rng([seed, int(cycle) + 1]).random((count, 2))
    before = np.random.default_rng([seed, int(cycle)]).random((count, 2))
    drops[:, :2] = np.where(old[:, None], before, moved)
    return Windscreen(drops[old | new])


def compact(record: dict[str, Any]) -> str:
    """Return the truth as short JSON: whole numbers without a fraction, no empty attributes."""
    for frame in record["frames"]:
        for entry in frame["objects"]:
            if not entry.get("attributes", True):
                del entry["attributes"]
    text = json.dumps(record, separators=(",", ":"))
    return re.sub(r"(\d)\.0(?=[,\]}])", r"\1", text)


def make_clip(name: str, folder: Path, *, seed: int) -> None:
    """Draw one clip and write NAME.mp4 and NAME.json into a folder."""
    clip = CLIPS[name]
    renderer = Renderer(create_context(), SIZE, samples=0, scale=1.4, shadow_size=2048)
    frames: list[Any] = []
    truth: list[dict[str, Any]] = []
    count = round(clip.seconds * RATE)
    for number in range(count):
        time = number / RATE
        builder = scene_at(clip, renderer.bank.models, seed, time)
        drawing = renderer.draw(builder.scene)
        rng = np.random.default_rng([seed, number])
        light = drawing.light
        if builder.scene.weather.wet > 0.3:
            light = rain_streaks(light, rng, count=260, brightness=0.05)
            light = windscreen_at(seed, time).seen_through(light)
        picture = photograph(light, SIZE, clip.lens, rng)
        # Kept compressed: 300 raw frames would take 800 MB.
        frames.append(cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1])
        truth.append(frame_truth(builder, drawing, number))
        if (number + 1) % 25 == 0:
            logger.info("%s: %d of %d frames", name, number + 1, count)
    sound = engine_sound(clip.pace, clip.seconds, seed) if clip.sound else None
    size = write_clip(folder / f"{name}.mp4", frames, rate=RATE, sound=sound, max_bytes=MAX_BYTES)
    used = {entry["class"] for frame in truth for entry in frame["objects"]}
    record = {
        "clip": f"{name}.mp4",
        "width": SIZE[0],
        "height": SIZE[1],
        "fps": RATE,
        "classes": [c for c in CLASSES if c in used],
        "frames": truth,
    }
    text = compact(record)
    (folder / f"{name}.json").write_text(text)
    logger.info("%s: %.2f MB of video, %.2f MB of truth", name, size / 1e6, len(text) / 1e6)
