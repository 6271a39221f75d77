"""A recipe: the TOML file that says how an engine is made. Unknown keys are errors."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from perception.errors import ConfigError, InputError, unknown
from perception.types import ROAD_CLASSES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")


@dataclass(frozen=True)
class Data:
    """Where the pictures are.

    Attributes:
        paths: folders with annotations.json, relative to the repository's root.
        rendered: a folder that `sample_videos/render.py --train` made; "" for none.
        weights: how often a source is drawn, relative to the others; sources not named are not used.
        cache_side: pictures are kept in memory with at most this longest side.
        workers: processes that make batches; 0 for a thread of the training process.
    """

    paths: tuple[str, ...] = ()
    weights: dict[str, float] = field(default_factory=dict)
    rendered: str = ""
    cache_side: int = 960
    workers: int = 0


@dataclass(frozen=True)
class Teacher:
    """Labels made by `python -m engines.label`; "" for none.

    Attributes:
        labels: the JSON file.
        classes: that are filled in.
        sure: least score of a label.
        unsure: least score of a region in which the class is unknown.
        hints: classes of which the teacher sees only some: what it does not see stays unknown.
        sure_of_hint: least score of their labels.
    """

    labels: str = ""
    classes: tuple[str, ...] = ()
    sure: float = 0.5
    unsure: float = 0.15
    hints: tuple[str, ...] = ()
    sure_of_hint: float = 0.6


@dataclass(frozen=True)
class Train:
    """How long and how.

    Attributes:
        steps: optimiser steps; 0 keeps what the network starts from.
        batch: pictures per forward pass; `accumulate` passes make one step.
        rate: highest learning rate (AdamW), reached after `warmup` steps, then a cosine down to
            `rate` * `last`.
        decay: weight decay of the convolutions.
        ema: decay of the running mean of the weights.
        clip: greatest gradient norm.
        sizes: (width, height) of the input, one is drawn per step.
        bf16: matrix products in bfloat16.
        head_rate: the heads' learning rate relative to the rest: their new classes start from nothing.
        folded: train without normalisations, merged into the convolutions they start from.
        frozen: parts of the network that keep the weights they start from ("backbone.stem"): edges and
            colours are the same everywhere, and the finest layers cost the most.
        init: a public YOLOX-nano .onnx or a checkpoint of ours to start from; "" for nothing.
    """

    steps: int
    batch: int = 16
    accumulate: int = 1
    rate: float = 1e-3
    last: float = 0.05
    warmup: int = 100
    decay: float = 0.02
    ema: float = 0.998
    clip: float = 10.0
    sizes: tuple[tuple[int, int], ...] = ((512, 320),)
    bf16: bool = True
    head_rate: float = 1.0
    folded: bool = False
    frozen: tuple[str, ...] = ()
    init: str = ""


@dataclass(frozen=True)
class Validate:
    """When and how the running mean is judged.

    Attributes:
        every: steps.
        pixels: of the input.
        pictures: at most this many of each source, 0 for all.
    """

    every: int = 500
    pixels: int = 245_760
    pictures: int = 0


@dataclass(frozen=True)
class Recipe:
    """See the fields' classes.

    `family` is a module of `engines.families`, which also reads `net`; `augment` is read by
    `engines.data.augment.Settings` or by the family. `content` is the TOML file as it was read.
    """

    name: str
    data: Data
    train: Train
    family: str = "road"
    teacher: Teacher = field(default_factory=Teacher)
    validate: Validate = field(default_factory=Validate)
    augment: dict[str, Any] = field(default_factory=dict)
    net: dict[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ROAD_CLASSES
    seed: int = 0
    sha256: str = ""
    content: dict[str, Any] = field(default_factory=dict, repr=False)


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe; `overrides` are "table.key=value" with a TOML value (or plain text).

    Raises:
        InputError: no such file.
        ConfigError: not TOML, an unknown or a missing key, a value of the wrong type.
    """
    return parse_recipe(_read(path, overrides), str(path))


def parse_recipe(content: dict[str, Any], where: str) -> Recipe:
    """The recipe of a TOML file's content, as a checkpoint holds it; `where` names it in errors.

    Raises:
        ConfigError: an unknown or a missing key, a value of the wrong type.
    """
    tables = {"data": Data, "train": Train, "teacher": Teacher, "validate": Validate}
    values = {
        key: _build(tables[key], value, f"{where}: [{key}]") if key in tables else value
        for key, value in content.items()
    }
    made = {"sha256": _digest(content), "content": content}
    recipe: Recipe = _build(Recipe, {**values, **made}, where)
    return recipe


def read_table(kind: type[T], path: str | Path, overrides: Sequence[str] = ()) -> T:
    """Read a flat recipe into the dataclass `kind`; errors as `load_recipe`."""
    content = _read(path, overrides)
    table: T = _build(kind, {**content, "sha256": _digest(content)}, str(path))
    return table


def _read(path: str | Path, overrides: Sequence[str]) -> dict[str, Any]:
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such recipe; the project's own are in engines/recipes")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: not a TOML file: {error}") from error
    for item in overrides:
        key, separator, text = item.partition("=")
        if not separator:
            raise ConfigError(f"{item!r} must be table.key=value")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        place = content
        *tables, last = key.split(".")
        for name in tables:
            place = place.setdefault(name, {})
        place[last] = value
    return content


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(repr(sorted(content.items())).encode()).hexdigest()


def _build(kind: type, values: Any, where: str) -> Any:
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: must be a table, but is {values!r}")
    names = [item.name for item in fields(kind)]
    for key in values:
        if key not in names:
            raise ConfigError(f"{where}: {unknown('key', key, names)}")
    frozen = {key: _frozen(value) for key, value in values.items()}
    try:
        return kind(**frozen)
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from error


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, (list, tuple)) else value
