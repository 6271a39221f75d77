"""Training pictures with their boxes, to look at."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from torch import Tensor

from engines.data.faces import Faces
from engines.nets.loss import Target


def draw_targets(
    pictures: Tensor, targets: Sequence[Target], *, most: int = 8
) -> npt.NDArray[np.uint8]:
    """RGB sheet of a batch's first pictures: green boxes are labels, red ones are ignored.

    Args:
        pictures: (B, 3, H, W) BGR 0..255.
    """
    tiles = []
    for picture, target in list(zip(pictures, targets, strict=True))[:most]:
        image = picture.permute(1, 2, 0).cpu().numpy().astype(np.uint8).copy()
        for boxes, colour in ((target.ignore, (0, 0, 255)), (target.xyxy, (0, 255, 0))):
            for x1, y1, x2, y2 in boxes.cpu().numpy().astype(int).tolist():
                cv2.rectangle(image, (x1, y1), (x2, y2), colour, 1)
        tiles.append(image)
    return _sheet(tiles)


def draw_faces(pictures: Tensor, faces: Faces, *, most: int = 8) -> npt.NDArray[np.uint8]:
    """RGB sheet of a batch's first pictures with their faces and landmarks; red places are ignored."""
    tiles = []
    for row, picture in enumerate(pictures[:most]):
        image = picture.permute(1, 2, 0).cpu().numpy().astype(np.uint8).copy()
        real = faces.real[row].cpu()
        for boxes, colour in (
            (faces.ignore[row], (0, 0, 255)),
            (faces.xyxy[row].cpu()[real], (0, 255, 0)),
        ):
            for x1, y1, x2, y2 in boxes.cpu().numpy().astype(int).tolist():
                cv2.rectangle(image, (x1, y1), (x2, y2), colour, 1)
        for x, y in faces.landmarks[row].cpu()[real].reshape(-1, 2).numpy().astype(int).tolist():
            cv2.circle(image, (x, y), 1, (0, 255, 255), -1)
        tiles.append(image)
    return _sheet(tiles)


def _sheet(tiles: list[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    """Tiles in two rows, BGR to RGB."""
    while len(tiles) % 2:
        tiles.append(np.zeros_like(tiles[0]))
    half = len(tiles) // 2
    sheet = np.concatenate([np.concatenate(tiles[:half], 1), np.concatenate(tiles[half:], 1)], 0)
    return np.ascontiguousarray(sheet[..., ::-1])
