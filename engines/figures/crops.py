"""The classifiers: on crops they were not trained on, on a detector's loose boxes, and in the pipeline."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import numpy as np

from engines import attributes
from engines.crop_sets import ClassifierRecipe, Labelled, judging
from engines.recipe import read_table
from perception.evaluation.classification import Report, evaluate
from perception.models.classifier import Classifier

ENGINES = Path(__file__).parents[1]
CLIPS = tuple(
    ENGINES.parent / "sample_videos" / f"{name}.mp4"
    for name in ("city_street", "day_highway", "night_rain")
)
NAMES = ("signs", "lights")


def report(*, threads: int = 1) -> str:
    """Markdown: accuracy, calibration and rejection of each classifier, then attributes on the sample clips."""
    parts = [part for name in NAMES for part in (classifier_report(name, threads=threads), "")]
    clips = [clip for clip in CLIPS if clip.is_file()]
    return "\n".join([*parts, "In the pipeline (dashcam):", "", attributes.table(clips)])


def classifier_report(name: str, *, threads: int = 1) -> str:
    """Markdown: one classifier on each of its judging sets, its worst mistakes, milliseconds."""
    recipe = read_table(ClassifierRecipe, ENGINES / "recipes" / f"{name}.toml")
    path = ENGINES / "weights" / f"{name}.onnx"
    classifier = Classifier(path, backend="onnxruntime", threads=threads)
    lines = [
        f"`{path.name}`",
        "",
        "| crops | accuracy | ECE | rejected |",
        "| --- | --- | --- | --- |",
    ]
    reports = {key: judge(classifier, crops) for key, crops in judging(recipe).items()}
    for key, found in reports.items():
        accuracy = f"{found.accuracy:.4f} of {found.objects}" if found.objects else "-"
        rejected = f"{found.rejected:.4f} of {found.others}" if found.others else "-"
        lines.append(f"| {key} | {accuracy} | {found.calibration_error:.4f} | {rejected} |")
    cost = milliseconds(classifier)
    classifier.close()
    return "\n".join([*lines, "", reports["judge"].confusions(), "", f"{cost:.2f} ms per crop"])


def judge(classifier: Classifier, crops: Labelled) -> Report:
    """Figures on crops."""
    scores = classifier.scores(crops.pictures).astype(np.float64)
    reject = classifier.classes[classifier.reject]
    return evaluate(crops.labels, scores, classifier.classes, reject=reject)


def milliseconds(classifier: Classifier, *, runs: int = 30) -> float:
    """Median time for a crop in a batch of eight."""
    width, height = classifier.size
    crops = np.zeros((8, height, width, 3), np.uint8)
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        classifier.scores(crops)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3 / len(crops)
