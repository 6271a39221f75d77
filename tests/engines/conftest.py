"""A tiny labelled data set: bright rectangles (cars) and dark ones (people) on grey noise."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest


def write_data(folder: Path, pictures: int = 16) -> Path:
    """Pictures of 96x64 with one or two rectangles each; every fourth is for judging."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for number in range(pictures):
        image = rng.integers(90, 130, (64, 96, 3), np.uint8)
        for kind, colour in ((1, 240), (2, 10)):
            if kind == 2 and number % 2:
                continue
            width, height = (40, 24) if kind == 1 else (16, 40)
            x, y = int(rng.integers(96 - width)), int(rng.integers(64 - height))
            image[y : y + height, x : x + width] = colour
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": kind,
                    "bbox": [x, y, width, height],
                }
            )
        cv2.imwrite(str(folder / f"{number}.png"), image)
        images.append(
            {
                "id": number,
                "file_name": f"{number}.png",
                "width": 96,
                "height": 64,
                "source": "rectangles",
                "split": "eval" if number % 4 == 0 else "train",
                "labelled": ["car", "person"],
            }
        )
    content = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "car"}, {"id": 2, "name": "person"}],
    }
    (folder / "annotations.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Networks this small are slower on several threads."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def rectangles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny data set's folder."""
    return write_data(tmp_path_factory.mktemp("data") / "rectangles")
