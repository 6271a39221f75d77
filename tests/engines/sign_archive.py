"""A tiny archive in GTSRB's form."""

from __future__ import annotations

import zipfile
from pathlib import Path

import cv2
import numpy as np


def archive(path: Path, *, tracks: int = 6, extra: str | None = None) -> Path:
    """Two classes of signs, three pictures a track: red and blue squares."""
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as file:
        for label, colour in ((0, (0, 0, 220)), (1, (220, 0, 0))):
            for track in range(tracks):
                for number in range(3):
                    image = rng.integers(90, 140, (24, 24, 3)).astype(np.uint8)
                    image[4:20, 4:20] = colour
                    data = cv2.imencode(".jpg", image)[1].tobytes()
                    # Numbers of tracks have gaps, as where some were held back.
                    file.writestr(f"{label:02d}/{3 * track:05d}_{number:02d}.jpg", data)
        if extra:
            file.writestr(extra, b"no picture")
    return path
