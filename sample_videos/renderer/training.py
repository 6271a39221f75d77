"""Makes independent random pictures with boxes in COCO form, for training."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .camera import Camera
from .context import create_context
from .draw import Renderer
from .effects import Windscreen, photograph, rain_streaks
from .scene import CLASSES, Scene, Weather
from .truth import masks, objects
from .weather import make_lens, make_weather
from .worlds import WORLDS

logger = logging.getLogger(__name__)

WORLD_SHARE = {"highway": 0.36, "city": 0.42, "rural": 0.22}
WEATHER_SHARE = {
    "day": 0.34,
    "overcast": 0.16,
    "low_sun": 0.10,
    "dusk": 0.07,
    "night": 0.10,
    "fog": 0.05,
    "rain": 0.09,
    "night_rain": 0.09,
}


def random_camera(rng: np.random.Generator, size: tuple[int, int]) -> Camera:
    """Return a dashcam as it might be mounted, from a low car to a truck."""
    height = (
        float(np.clip(rng.normal(1.35, 0.18), 1.05, 1.8))
        if rng.random() < 0.9
        else float(rng.uniform(1.8, 2.6))
    )
    return Camera(
        0.0,
        height,
        float(rng.uniform(0, 4000)),
        float(rng.normal(0, 0.03)),
        float(rng.normal(-0.02, 0.035)),
        float(rng.normal(0, 0.012)),
        float(np.clip(rng.normal(62, 12), 38, 95)),
        size,
    )


def random_scene(renderer: Renderer, rng: np.random.Generator) -> tuple[Scene, str]:
    """Return a random scene and the name of its world."""
    world = str(rng.choice(list(WORLD_SHARE), p=list(WORLD_SHARE.values())))
    kind = str(rng.choice(list(WEATHER_SHARE), p=list(WEATHER_SHARE.values())))
    camera = random_camera(rng, renderer.size)
    builder = WORLDS[world](camera, make_weather(kind, rng), renderer.bank.models, rng)
    return builder.scene, world


def take_picture(
    renderer: Renderer, scene: Scene, light: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return the BGR picture of a drawn scene, with rain on and before the lens."""
    weather: Weather = scene.weather
    lens = make_lens(weather, rng, renderer.size[0])
    if weather.wet > 0.3:
        if rng.random() < 0.7:
            light = rain_streaks(
                light,
                rng,
                count=int(rng.uniform(60, 350)),
                brightness=0.01 if weather.night else 0.4,
            )
        if rng.random() < 0.6:
            light = Windscreen.random(rng, int(rng.uniform(15, 160))).seen_through(light)
    return photograph(light, renderer.size, lens, rng)


def make_pictures(
    folder: Path,
    count: int,
    *,
    seed: int,
    size: tuple[int, int] = (640, 384),
    quality: int = 90,
    with_masks: bool = False,
    first: int = 0,
) -> dict[str, Any]:
    """Write `count` pictures and annotations.json into a folder.

    Args:
        folder: is made if it is missing.
        count: how many pictures.
        seed: each picture's chance is drawn from (seed, number of the picture).
        size: (width, height) of the pictures.
        quality: of the JPEG files, varied a little from picture to picture.
        with_masks: also write NAME.lanes.png and NAME.drivable.png.
        first: number of the first picture, so that several runs can share one seed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    renderer = Renderer(create_context(), size, samples=0, scale=1.4)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    result: dict[str, Any] = {
        "info": {"description": f"rendered driving scenes, seed {seed}"},
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(CLASSES)],
        "images": images,
        "annotations": annotations,
    }
    began = time.monotonic()
    for number in range(first, first + count):
        rng = np.random.default_rng([seed, number])
        scene, world = random_scene(renderer, rng)
        drawing = renderer.draw(scene)
        picture = take_picture(renderer, scene, drawing.light, rng)
        name = f"{seed}_{number:06d}.jpg"
        cv2.imwrite(
            str(folder / name),
            picture,
            [cv2.IMWRITE_JPEG_QUALITY, int(np.clip(rng.normal(quality, 6), 60, 97))],
        )
        if with_masks:
            drivable, paint = masks(scene, drawing)
            cv2.imwrite(str(folder / name.replace(".jpg", ".drivable.png")), drivable)
            cv2.imwrite(str(folder / name.replace(".jpg", ".lanes.png")), paint)
        images.append(
            {
                "id": number + 1,
                "file_name": name,
                "width": size[0],
                "height": size[1],
                "source": "rendered",
                "split": "train",
                "labelled": list(CLASSES),
                "group": f"rendered_{seed}_{number}",
                "world": world,
                "weather": scene.weather.name,
                "lanes": scene.road.lanes(scene.camera),
            }
        )
        for entry in objects(scene, drawing):
            x1, y1, x2, y2 = entry["xyxy"]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number + 1,
                    "category_id": CLASSES.index(entry["class"]) + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": 0,
                    "visibility": entry["visibility"],
                    "truncated": entry["truncated"],
                    "attributes": entry["attributes"],
                }
            )
        if (number - first + 1) % 100 == 0:
            rate = (number - first + 1) / (time.monotonic() - began)
            logger.info("%d of %d pictures, %.1f per second", number - first + 1, count, rate)
            _write(folder, result)
    _write(folder, result)
    return result


def _write(folder: Path, result: dict[str, Any]) -> None:
    """Write the annotations so that a reader never sees half a file."""
    part = folder / "annotations.json.part"
    part.write_text(json.dumps(result, separators=(",", ":")))
    part.replace(folder / "annotations.json")
