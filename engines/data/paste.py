"""Small things pasted into other pictures: signs and traffic lights in streets they never stood in.

Few pictures label signs, so each sign would be learnt with the one street behind it (Dwibedi et al., "Cut,
Paste and Learn", arXiv:1708.01642; Ghiasi et al., "Simple Copy-Paste", arXiv:2012.07177). Patches of plain
background are pasted the same way without a label, so that an edge of a patch says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from engines.data.coco import Sample
from perception.geometry import intersection

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

PASTED = ("traffic_sign", "traffic_light")
LEAST = 12.0  # pixels; smaller things are not copied
MARGIN = 0.15  # of the thing's side, around it, in which the patch fades out
SIDES = (7.0, 56.0)  # pixels of a pasted thing's longer side
ENLARGED = 1.5  # at most
MOST = 3  # things a picture
DRAWN = ("rendered",)  # sources whose things are no photographs
BACKGROUND = 0.4  # share of patches without a thing


@dataclass(frozen=True, slots=True)
class _Thing:
    number: int
    box: F32
    allowed: Bools


class Patches:
    """The things that can be copied from these samples, and background.

    Args:
        samples: whose own labels are copied, not a teacher's.
        classes: in the network's order.
        read: the picture of sample `number`, of any size.
        stretched: see `engines.data.augment.Settings`; things are pasted as they were before.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        classes: Sequence[str],
        read: Callable[[int], U8],
        stretched: Mapping[str, float],
    ) -> None:
        self._samples, self._read = samples, read
        self._aspect = [stretched.get(sample.source, 1.0) for sample in samples]
        columns = [list(classes).index(name) for name in PASTED if name in classes]
        self._by_class: list[list[_Thing]] = [[] for _ in columns]
        signs = columns[:1]
        self._empty = [n for n, s in enumerate(samples) if signs and s.known[signs].all()]
        for number, sample in enumerate(samples):
            if sample.source in DRAWN:
                continue
            for box, allowed, label in zip(sample.xyxy, sample.allowed, sample.labels, strict=True):
                for place, column in enumerate(columns):
                    long = float((box[2:] - box[:2]).max())
                    if allowed[column] and long >= LEAST and not label.startswith("teacher:"):
                        self._by_class[place].append(_Thing(number, box, allowed))
        self._by_class = [things for things in self._by_class if things]

    def __len__(self) -> int:
        return sum(map(len, self._by_class))

    def paste(self, image: U8, boxes: F32, rng: np.random.Generator) -> tuple[F32, Bools]:
        """Paste a few into `image`, away from `boxes` (M, 4); returns the boxes and classes added."""
        height, width = image.shape[:2]
        taken = boxes
        added: list[F32] = []
        kinds: list[Bools] = []
        for _ in range(int(rng.integers(1, MOST + 1))):
            things = self._by_class[int(rng.integers(len(self._by_class)))]
            thing = things[int(rng.integers(len(things)))]
            plain = bool(self._empty) and rng.random() < BACKGROUND
            number = self._empty[int(rng.integers(len(self._empty)))] if plain else thing.number
            picture = self._read(number)
            box = self._background(number, thing, rng) if plain else thing.box
            box = (box * self._by(number)).astype(np.float32)
            wide = self._aspect[number]
            long = float(((box[2:] - box[:2]) * (wide, 1)).max())
            wanted = float(np.exp(rng.uniform(*np.log(SIDES))))
            factor = min(wanted / long, ENLARGED)
            cut = _cut(picture, box)
            if cut is None:
                continue
            patch, inner = cut
            size = [
                max(3, round(side * factor)) for side in np.array(patch.shape[1::-1]) * (wide, 1)
            ]
            if size[0] >= width // 2 or size[1] >= height // 2:
                continue
            way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
            patch = np.asarray(cv2.resize(patch, (size[0], size[1]), interpolation=way), np.uint8)
            x = int(rng.integers(0, width - size[0]))
            y = int(rng.uniform(0.03, 0.7) * (height - size[1]))
            place = np.array([[x, y, x + size[0], y + size[1]]], np.float32)
            if len(taken) and (intersection(place, taken) > 0).any():
                continue
            taken = np.concatenate([taken, place])
            _blend(image[y : y + size[1], x : x + size[0]], patch, rng)
            if not plain:
                scale = np.array([size[0], size[1]] * 2, np.float32)
                added.append(place[0, [0, 1, 0, 1]] + inner * scale)
                kinds.append(thing.allowed)
        classes = self._samples[0].known.shape[0]
        return (
            np.array(added, np.float32).reshape(-1, 4),
            np.array(kinds, bool).reshape(-1, classes),
        )

    def _by(self, number: int) -> F32:
        """(4,) what a sample's boxes are to be multiplied with for the picture as it is read."""
        image = self._read(number)
        return np.array(image.shape[1::-1] * 2, np.float32) / np.array(
            self._samples[number].size * 2, np.float32
        )

    def _background(self, number: int, thing: _Thing, rng: np.random.Generator) -> F32:
        """A place of the thing's size in a picture in which every sign is labelled, on none of its boxes."""
        sample = self._samples[number]
        known = np.concatenate([sample.xyxy, sample.ignore])
        sides = thing.box[2:] - thing.box[:2]
        room = np.maximum(np.array(sample.size) - sides, 1)
        box = np.zeros(4, np.float32)
        for _ in range(5):
            corner = rng.uniform(0, room)
            box = np.concatenate([corner, corner + sides]).astype(np.float32)
            if not (intersection(box[None], known) > 0).any():
                break
        return box


def _cut(image: U8, box: F32) -> tuple[U8, F32] | None:
    """A box with its margin, and where in the patch (0..1) the box lies; None at the picture's edge."""
    margin = MARGIN * float((box[2:] - box[:2]).max()) + 1
    x1, y1 = np.floor(box[:2] - margin).astype(int)
    x2, y2 = np.ceil(box[2:] + margin).astype(int)
    if x1 < 0 or y1 < 0 or x2 > image.shape[1] or y2 > image.shape[0]:
        return None
    corner, sides = np.array([x1, y1] * 2), np.array([x2 - x1, y2 - y1] * 2)
    return image[y1:y2, x1:x2], ((box - corner) / sides).astype(np.float32)


def _blend(place: U8, patch: U8, rng: np.random.Generator) -> None:
    """Lay `patch` over `place`, fading out at its edge and half way to the place's brightness."""
    height, width = patch.shape[:2]
    edge = MARGIN / (1 + 2 * MARGIN)
    rise_x = np.minimum(np.arange(1, width + 1), np.arange(width, 0, -1)) / (edge * width + 0.5)
    rise_y = np.minimum(np.arange(1, height + 1), np.arange(height, 0, -1)) / (edge * height + 0.5)
    mask = np.minimum(rise_x[None], rise_y[:, None]).clip(0, 1)[..., None].astype(np.float32)
    there, here = float(place.mean()) + 8, float(patch.mean()) + 8
    gain = float(np.clip((there / here) ** rng.uniform(0.2, 0.7), 0.5, 1.6))
    mixed = place * (1 - mask) + (patch * gain).clip(0, 255) * mask
    place[:] = np.round(mixed).astype(np.uint8)
