"""Pictures with labelled faces: from `engines.label_faces`, split, augmented, in batches.

A face has a box and five landmarks. Faces that the teacher saw unsurely are regions in which nothing is
learnt. What is held back judges: every picture of a `faces` folder, a fifth of the drivers (by person or
recording), the last third of every clip, and the eval split of the road pictures.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from engines.data.draw import Pool, Turns
from engines.data.face_pictures import FacePicture, Settings, make_picture
from perception.errors import InputError, unknown
from perception.types import F32, U8

LANDMARKS = 5
CLIP_TRAINS = 0.6  # share of a clip's frames, from its start
# A second opinion from which a face is a label; below which it is none, unless the teacher is this sure:
# the second net misses faces in profile and out of focus.
AGREES, DENIES, INSISTS = 0.6, 0.2, 0.6


@dataclass(frozen=True, slots=True)
class FaceSample:
    """One picture.

    Attributes:
        path: of the picture; `folder` is the name of its data folder, sampling weights are by `source`.
        held: judges and is not trained on.
        xyxy: (M, 4) faces in pixels, with `landmarks` (M, 5, 2).
        ignore: (K, 4) places where a face may be.
    """

    path: Path
    folder: str
    source: str
    held: bool
    xyxy: F32
    landmarks: F32
    ignore: F32

    def read(self) -> U8:
        """The picture, (H, W, 3) BGR."""
        image = cv2.imread(str(self.path), cv2.IMREAD_COLOR)
        if image is None:
            problem = "cannot be decoded" if self.path.is_file() else "does not exist"
            raise InputError(f"{self.path}: the picture {problem}; check the data folder")
        return np.asarray(image, np.uint8)


@dataclass(frozen=True)
class Faces:
    """The faces of a batch, padded.

    Attributes:
        xyxy: (B, M, 4) with landmarks (B, M, 5, 2); `real` (B, M) says which are no padding.
        ignore: (B, K, 4); padding is empty boxes.
    """

    xyxy: Tensor
    landmarks: Tensor
    real: Tensor
    ignore: Tensor


# Pictures (B, 3, H, W) uint8, what is known about them, (width, height).
FaceBatch = tuple[Tensor, Faces, tuple[int, int]]


def load_labels(
    path: str | Path, folders: Sequence[str], *, sure: float, unsure: float
) -> list[FaceSample]:
    """The pictures of these folders that are in a file of `engines.label_faces`.

    Args:
        folders: where the pictures are now; the last part of the name tells which is which.
        sure: least score of a label; faces from `unsure` to it are ignored, others are none. A second
            opinion, where the file has one, must agree with a label, and may deny a face.

    Raises:
        InputError: no such file, it is broken, or it knows nothing of a folder.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"{path}: no face labels; make them with: python -m engines.label_faces "
            f"{' '.join(folders)} --teacher yunet_n_dynamic.onnx -o {path}"
        )
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["images"]
        places = {Path(folder).name: Path(folder) for folder in folders}
        known = {entry["folder"] for entry in entries}
        for name in places:
            if name not in known:
                raise InputError(f"{path}: {unknown('data folder', name, sorted(known))}")
        return [
            _sample(entry, places[entry["folder"]], sure, unsure, _held(entries))
            for entry in entries
            if entry["folder"] in places
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: is no file of engines.label_faces ({error!r})") from error


def _sample(
    entry: Mapping[str, Any], place: Path, sure: float, unsure: float, held: Mapping[str, bool]
) -> FaceSample:
    faces = [
        face
        for face in entry["faces"]
        if face["score"] >= unsure
        and (face.get("checked", 1.0) >= DENIES or face["score"] >= INSISTS)
    ]
    score = np.array([face["score"] for face in faces], np.float32)
    checked = np.array([face.get("checked", 1.0) for face in faces], np.float32)
    xyxy = np.array([face["xyxy"] for face in faces], np.float32).reshape(-1, 4)
    points = np.array([face["landmarks"] for face in faces], np.float32)
    good = (score >= sure) & (checked >= AGREES)
    return FaceSample(
        path=place / entry["file_name"],
        folder=entry["folder"],
        source=entry["source"],
        held=held[f"{entry['folder']}/{entry['file_name']}"],
        xyxy=xyxy[good],
        landmarks=points.reshape(-1, LANDMARKS, 2)[good],
        ignore=xyxy[~good],
    )


def _held(entries: Sequence[Mapping[str, Any]]) -> dict[str, bool]:
    """By "folder/name": whether a picture judges."""
    clips: dict[str, list[str]] = {}
    held = {}
    for entry in entries:
        key = f"{entry['folder']}/{entry['file_name']}"
        if entry["source"] == "clips":
            clips.setdefault(entry["group"], []).append(key)
        else:
            held[key] = held_back(entry["folder"], entry["group"], entry["split"])
    for keys in clips.values():
        for number, key in enumerate(sorted(keys)):
            held[key] = number >= CLIP_TRAINS * len(keys)
    return held


def held_back(folder: str, group: str, split: str) -> bool:
    """Whether a picture that is no frame of a clip judges."""
    if folder == "driver":
        person = re.split(r"[_.]", group)[0]
        return zlib.crc32(person.encode()) % 5 == 0
    return folder == "faces" or split == "eval"


class FaceLoader:
    """Draws, caches and augments; a batch is a function of (seed, number).

    Args:
        samples: to draw from; those held back are left out.
        weights: by source: how often, relative to the others. Within a source all are equal.
        sizes: (width, height), one is drawn per batch.
        share: (number, of): this process makes every `of`-th picture of each batch.
    """

    def __init__(
        self,
        samples: Sequence[FaceSample],
        *,
        weights: Mapping[str, float],
        batch: int,
        sizes: Sequence[tuple[int, int]],
        settings: Settings,
        seed: int,
        cache_side: int = 960,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        free = [sample for sample in samples if not sample.held]
        self._pool = Pool(free, weights, cache_side=cache_side)
        self._turns = Turns(seed, batch, sizes, share)
        self._settings = settings

    def _draw(self, rng: np.random.Generator) -> FacePicture:
        number = self._pool.number(rng)
        sample = self._pool.samples[number]
        image, factor = self._pool.picture(number)
        return FacePicture(
            image, sample.xyxy * factor, sample.landmarks * factor, sample.ignore * factor
        )

    def batch(self, number: int) -> FaceBatch:
        """This process's share of batch `number`."""
        size = self._turns.size(number)
        made = [
            make_picture(self._draw, rng, size, self._settings)
            for rng in self._turns.pictures(number)
        ]
        pictures = torch.from_numpy(np.stack([one.image for one in made])).permute(0, 3, 1, 2)
        faces = Faces(
            xyxy=_padded([one.xyxy for one in made]),
            landmarks=_padded([one.landmarks for one in made]),
            real=_padded([np.ones(len(one.xyxy), bool) for one in made]),
            ignore=_padded([one.ignore for one in made]),
        )
        return pictures, faces, size


def _padded(parts: Sequence[npt.NDArray[Any]]) -> Tensor:
    most = max(len(part) for part in parts)
    full = np.zeros((len(parts), most, *parts[0].shape[1:]), parts[0].dtype)
    for row, part in zip(full, parts, strict=True):
        row[: len(part)] = part
    return torch.from_numpy(full)
