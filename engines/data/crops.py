"""Crops to classify, kept in memory as arrays; GTSRB's archive of signs.

Training and judging are split by what was photographed, never by picture: GTSRB by track (up to 30 pictures
of one physical sign), road pictures by their group.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from perception.crops import cut, whole
from perception.errors import InputError

U8 = npt.NDArray[np.uint8]

# GTSRB class numbers 0..42 (Stallkamp et al., "Man vs. computer", 2012).
SIGNS = tuple(
    "speed_20 speed_30 speed_50 speed_60 speed_70 speed_80 end_speed_80 speed_100 speed_120 "
    "no_overtaking no_overtaking_trucks priority_at_next_crossing priority_road yield stop no_vehicles "
    "no_trucks no_entry danger curve_left curve_right double_curve bumpy_road slippery_road "
    "road_narrows road_works traffic_signals pedestrians children bicycles ice wild_animals "
    "end_of_limits turn_right turn_left straight straight_or_right straight_or_left keep_right "
    "keep_left roundabout end_no_overtaking end_no_overtaking_trucks".split()
)
NO_SIGN = "none"
LIGHTS = ("red", "yellow", "green", "unknown")
MARGIN = 0.1  # of a box's sides, added around it before cropping
# What a mirrored sign is: itself, or another class.
MIRRORED = {
    **{
        name: name
        for name in "priority_at_next_crossing priority_road yield no_vehicles no_entry danger bumpy_road "
        "traffic_signals ice straight none".split()
    },
    "curve_left": "curve_right",
    "turn_left": "turn_right",
    "straight_or_left": "straight_or_right",
    "keep_left": "keep_right",
}
MIRRORED |= {there: here for here, there in MIRRORED.items()}

JUDGE, CALIBRATE, TRAIN = "judge", "calibrate", "train"
# Classes with fewer tracks give none away for the temperature.
FEW_TRACKS = 20


@dataclass(frozen=True)
class Crops:
    """Square crops of one kind of source.

    Attributes:
        name: of the source.
        pictures: (N, S, S, 3) uint8 BGR; S differs between sources.
        labels: (N,) class numbers.
        extent: the share of a picture's side that the wanted crop takes, in its middle: what is around it is
            there so that the crop can be moved and widened.
        widen: in training the crop is up to this many times as wide.
    """

    name: str
    pictures: U8
    labels: npt.NDArray[np.int64]
    extent: float = 1.0
    widen: float = 1.0

    def __len__(self) -> int:
        return len(self.labels)

    def middle(self, side: int, *, zoom: float = 1.0) -> U8:
        """The wanted crops, (N, side, side, 3), as they are judged, or `zoom` of their side."""
        stored = self.pictures.shape[1]
        if self.extent * zoom == 1 and stored == side:
            return self.pictures
        edge = stored * (1 - self.extent * zoom) / 2
        box = np.array([edge, edge, stored - edge, stored - edge], np.float32)
        crops = [cut(picture, box, (side, side)) for picture in self.pictures]
        return np.array(crops, np.uint8).reshape(-1, side, side, 3)


def stack(
    name: str,
    found: Iterable[tuple[U8, int]],
    side: int,
    *,
    extent: float = 1.0,
    widen: float = 1.0,
) -> Crops:
    """Crops of (picture, class number) pairs."""
    items = list(found)
    return Crops(
        name,
        np.array([picture for picture, _ in items], np.uint8).reshape(-1, side, side, 3),
        np.array([label for _, label in items], np.int64),
        extent,
        widen,
    )


def share_of(group: str, *, judge: int = 6, calibrate: int = 12) -> str:
    """Where a group of pictures belongs: one in `judge` judges, one in `calibrate` sets the temperature."""
    number = zlib.crc32(group.encode())
    if number % judge == 0:
        return JUDGE
    return CALIBRATE if number % calibrate == 1 else TRAIN


def track_share(label: int, place: int, tracks: int) -> str:
    """Where a class's track number `place` of so many belongs; every sixth judges."""
    if (place + label) % 6 == 0:
        return JUDGE
    return CALIBRATE if tracks >= FEW_TRACKS and (place + label) % 12 == 3 else TRAIN


def gtsrb(path: str | Path, side: int) -> dict[str, Crops]:
    """GTSRB's archive by what it is for: train, calibrate, judge.

    Raises:
        InputError: no such archive, or an entry that is no picture or has another name.
    """
    path = Path(path)
    entries = list(_entries(path))
    found: dict[int, set[int]] = {}
    for _, label, track in entries:
        found.setdefault(label, set()).add(track)
    tracks = {label: sorted(numbers) for label, numbers in found.items()}
    parts: dict[str, list[tuple[U8, int]]] = {TRAIN: [], CALIBRATE: [], JUDGE: []}
    with zipfile.ZipFile(path) as archive:
        for name, label, track in entries:
            image = cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_COLOR)
            if image is None:
                raise InputError(f"{path}: {name}: the picture cannot be decoded")
            picture = np.asarray(image, np.uint8)
            part = track_share(label, tracks[label].index(track), len(tracks[label]))
            parts[part].append((cut(picture, whole(picture), (side, side)), label))
    return {part: stack("gtsrb", items, side) for part, items in parts.items()}


def _entries(path: Path) -> Iterator[tuple[str, int, int]]:
    """(name, class, track) of every picture in the archive."""
    if not path.is_file():
        raise InputError(f"{path}: no such archive of sign crops")
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if not name.endswith(".jpg"):
                continue
            try:
                folder, file_name = name.split("/")[-2:]
                label, track = int(folder), int(file_name.split("_")[0])
            except ValueError as error:
                raise InputError(f"{path}: {name}: must be CC/TTTTT_FF.jpg") from error
            if not 0 <= label < len(SIGNS):
                raise InputError(f"{path}: {name}: there are classes 0 to 42 only")
            yield name, label, track


def keep(crops: Crops, rows: Sequence[int] | npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> Crops:
    """Some of the crops."""
    return Crops(crops.name, crops.pictures[rows], crops.labels[rows], crops.extent, crops.widen)


def by_share(
    items: Iterable[tuple[str, U8, int]], build: Callable[[list[tuple[U8, int]]], Crops]
) -> dict[str, Crops]:
    """(part, picture, class number) triples as crops by part."""
    parts: dict[str, list[tuple[U8, int]]] = {TRAIN: [], CALIBRATE: [], JUDGE: []}
    for part, picture, label in items:
        parts[part].append((picture, label))
    return {part: build(found) for part, found in parts.items()}
