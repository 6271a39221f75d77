"""Which crops a classifier learns from, sets its temperature on, and is judged by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engines.data import crop_sources as sources
from engines.data.crops import CALIBRATE, JUDGE, LIGHTS, NO_SIGN, SIGNS, TRAIN, Crops, gtsrb
from perception.errors import ConfigError, unknown

KINDS = ("signs", "lights")
SIGN_LABELS = ("traffic_sign", "stop", *(f"speed_{n}" for n in range(20, 130, 10)))
LIGHT_LABELS = ("traffic_light", "tl_red", "tl_yellow", "tl_green")


@dataclass(frozen=True)
class ClassifierRecipe:
    """How a classifier is made.

    Attributes:
        kind: "signs" or "lights".
        road: a folder of road pictures.
        archive: GTSRB's archive, for signs.
        rendered: folders of rendered scenes (`sample_videos/render.py --train`).
        detector: an engine whose false alarms are rejected (signs), or in whose boxes lights are judged too;
            "" for none.
        nothing: how many crops of nothing.
        others: how many boxes of each other class.
        shares: of a batch by source; what is left goes to the first one.
        steps, batch, rate, decay, ema: as usual.
        smoothing: of the labels.
        side: of the square input.
        zoom: the finished network looks at this share of a crop's side. Moved and turned crops show things
            larger on the mean than they come; a network does best on the size it was trained on (Touvron et
            al., arXiv:1906.06423). Chosen on the crops that set the temperature.
        widths, embedding, drop: see `CropNet`.
        balance: classes of a source are drawn by their frequency to the power 1 - `balance`.
        aspect: spread of the crops' aspect (a logarithm).
        shift: spread of the crops' place, in halves of their side: what a detector's boxes are off by.
        amber: share of red lights that are repainted yellow, of which there are few.
        quarter_turns: share of crops laid on their side.
        mirror: any crop may be mirrored and stays what it is (signs have a table of their own).
        strength: of the augmentation.
        calibrate_strength: the temperature is set on crops spoiled this much (0: as they are): where the
            road is harder than the crops it is set on, as for lights, scores are too high otherwise.
    """

    name: str
    kind: str
    road: str
    archive: str = ""
    rendered: tuple[str, ...] = ()
    detector: str = ""
    nothing: int = 3000
    others: int = 150
    shares: dict[str, float] = field(default_factory=dict)
    steps: int = 2000
    batch: int = 256
    rate: float = 3e-3
    decay: float = 0.02
    ema: float = 0.998
    smoothing: float = 0.05
    side: int = 40
    zoom: float = 1.0
    widths: tuple[int, int, int, int] = (24, 48, 96, 128)
    embedding: int = 256
    drop: float = 0.2
    balance: float = 0.5
    aspect: float = 0.06
    shift: float = 0.1
    amber: float = 0.0
    quarter_turns: float = 0.0
    mirror: bool = False
    strength: float = 1.0
    calibrate_strength: float = 0.0
    seed: int = 0
    sha256: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(unknown("kind of classifier", self.kind, KINDS))

    @property
    def classes(self) -> tuple[str, ...]:
        return (*SIGNS, NO_SIGN) if self.kind == "signs" else LIGHTS


@dataclass(frozen=True)
class Labelled:
    """Crops as the network gets them: pictures (N, S, S, 3) uint8, labels (N,)."""

    pictures: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class CropSets:
    """Training crops by source; crops that set the temperature; crops that judge, by name.

    Of the judging sets, "judge" and "rejects" give the card's figures; the others are told beside them.
    """

    train: tuple[Crops, ...]
    calibrate: Labelled
    judge: dict[str, Labelled]


def load(recipe: ClassifierRecipe) -> CropSets:
    """Read everything a recipe names."""
    return _signs(recipe) if recipe.kind == "signs" else _lights(recipe)


def judging(recipe: ClassifierRecipe) -> dict[str, Labelled]:
    """The judging sets alone; rendered folders that are not there are left out."""
    there = tuple(f for f in recipe.rendered if (Path(f) / "annotations.json").is_file())
    return load(replace(recipe, rendered=there)).judge


def _signs(recipe: ClassifierRecipe) -> CropSets:
    classes, none = recipe.classes, len(SIGNS)
    parts = [gtsrb(recipe.archive, recipe.side), sources.labelled_signs(recipe.road, classes)]
    parts += [sources.rendered(f, "sign", classes, least=9) for f in recipe.rendered]
    parts += _negatives(
        recipe,
        SIGN_LABELS,
        none,
        ("car", "person", "plate", "traffic_light", "vehicle", "bus", "tl_red", "tl_green"),
    )
    if recipe.detector:
        parts.append(
            sources.false_alarms(
                recipe.road, recipe.detector, "gtsdb", "traffic_sign", none, min_score=0.05
            )
        )
    judged = [part[JUDGE] for part in parts]
    own = [crops for crops in judged if crops.name == "gtsrb"]
    # Signs of another country and rendered ones are told apart: the card's figure is GTSRB's.
    return CropSets(
        train=_joined([part[TRAIN] for part in parts]),
        calibrate=_labelled([part[CALIBRATE] for part in parts], recipe),
        judge={
            "judge": _labelled(own, recipe),
            "rejects": _labelled([_only(crops, none) for crops in judged], recipe),
            **{
                crops.name: _labelled([crops], recipe)
                for crops in _joined(judged)
                if crops.name in ("signs_road", "rendered")
            },
        },
    )


def _lights(recipe: ClassifierRecipe) -> CropSets:
    unknown_state = len(LIGHTS) - 1
    found = sources.labelled_lights(recipe.road)
    parts = [
        {part: found[f"{name}/{part}"] for part in (TRAIN, CALIBRATE, JUDGE)}
        for name in ("lights_korea", "signs_road")
    ]
    parts += [sources.rendered(f, "light", LIGHTS, least=5) for f in recipe.rendered]
    # What a light's own source shows is judged by the ride nobody trained on, so all of it may train.
    parts = [{**part, TRAIN: _both(part[TRAIN], part[JUDGE])} for part in parts]
    streetview = sources.streetview_lights(recipe.road)
    negatives = _negatives(
        recipe, LIGHT_LABELS, unknown_state, ("car", "person", "plate", "traffic_sign", "bus")
    )
    judge = {
        "judge": _labelled([sources.seoul_lights(recipe.road)], recipe),
        "rejects": _labelled([part[JUDGE] for part in negatives], recipe),
        "streetview": _labelled([streetview[JUDGE]], recipe),
        "jittered": _labelled([sources.seoul_lights(recipe.road, jitter=0.08)], recipe),
    }
    if recipe.detector:
        boxes = sources.detected_lights(recipe.road, recipe.detector)
        judge["detected"] = _labelled([boxes], recipe)
    return CropSets(
        train=_joined([part[TRAIN] for part in (*parts, streetview, *negatives)]),
        calibrate=_labelled([part[CALIBRATE] for part in (*parts, streetview)], recipe),
        judge=judge,
    )


def _negatives(
    recipe: ClassifierRecipe, avoid: Sequence[str], label: int, others: Sequence[str]
) -> list[dict[str, Crops]]:
    return [
        sources.nothing(recipe.road, avoid, label, most=recipe.nothing),
        sources.other_objects(recipe.road, others, label, most=recipe.others),
    ]


def _only(crops: Crops, label: int) -> Crops:
    rows = crops.labels == label
    return Crops(crops.name, crops.pictures[rows], crops.labels[rows], crops.extent, crops.widen)


def _both(a: Crops, b: Crops) -> Crops:
    return Crops(
        a.name,
        np.concatenate([a.pictures, b.pictures]),
        np.concatenate([a.labels, b.labels]),
        a.extent,
        a.widen,
    )


def _joined(parts: Sequence[Crops]) -> tuple[Crops, ...]:
    """One `Crops` per source name; empty ones are left out."""
    found: dict[str, Crops] = {}
    for crops in parts:
        if len(crops):
            found[crops.name] = _both(found[crops.name], crops) if crops.name in found else crops
    return tuple(found.values())


def _labelled(parts: Sequence[Crops], recipe: ClassifierRecipe) -> Labelled:
    return Labelled(
        np.concatenate([crops.middle(recipe.side, zoom=recipe.zoom) for crops in parts]),
        np.concatenate([crops.labels for crops in parts]),
    )
