"""What the road detector is judged on, and what it learns from."""

from __future__ import annotations

import json
from pathlib import Path

from engines.data.coco import Sample, add_teacher_labels, load_coco
from engines.data.splits import held_back, trainable
from engines.recipe import Recipe
from perception.errors import ConfigError, InputError
from perception.evaluation.detection import Truth, load_truth


def training_samples(recipe: Recipe) -> list[Sample]:
    """Every sample that may be trained on, teacher labels filled in."""
    samples = []
    for path in recipe.data.paths:
        samples += load_coco(path, recipe.classes)
    samples = [s for s in samples if s.split == "train" and trainable(s.source, s.group, s.path)]
    teacher = recipe.teacher
    if teacher.labels:
        path = Path(teacher.labels)
        if not path.is_file():
            raise InputError(
                f"{path}: no teacher labels; make them with: python -m engines.label "
                f"{' '.join(recipe.data.paths)} --teacher yolox_nano.onnx -o {path}"
            )
        samples = add_teacher_labels(
            samples,
            json.loads(path.read_text(encoding="utf-8")),
            recipe.classes,
            taught=teacher.classes,
            sure=teacher.sure,
            unsure=teacher.unsure,
            hints=teacher.hints,
            sure_of_hint=teacher.sure_of_hint,
        )
    if recipe.data.rendered:
        rendered = load_coco(recipe.data.rendered, recipe.classes, source="rendered")
        samples += [s for s in rendered if s.split == "train"]
    if not samples:
        raise ConfigError(f"recipe {recipe.name!r}: its data has no training picture")
    return samples


def judged_sets(paths: tuple[str, ...]) -> dict[str, list[Truth]]:
    """Pictures by set: `road` (eval split of highway and streetview), lights, plates, signs."""
    truths = [truth for path in paths for truth in load_truth(path)]
    evals = [t for t in truths if t.split == "eval"]
    held = [t for t in truths if held_back(t.source, t.group, t.path)]
    sets = {
        "road": [t for t in evals if t.source not in ("lights_seoul", "rendered")],
        "lights_seoul": [t for t in evals if t.source == "lights_seoul"],
        "plates": [t for t in held if t.source == "plates"],
        "signs": [t for t in held if t.source == "gtsdb"],
        "rendered": [t for t in evals if t.source == "rendered"],
    }
    found = {name: chosen for name, chosen in sets.items() if chosen}
    if not found:
        raise ConfigError(f"{', '.join(paths)}: no picture has split 'eval', nothing to judge by")
    return found
