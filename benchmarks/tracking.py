"""Measure the tracker on MOTChallenge sequences: every idea taken out once, other rates, the choice, speed.

    python benchmarks/tracking.py ../shared/data/mot/kitti            # everything
    python benchmarks/tracking.py ../shared/data/mot/kitti ablation   # or rates, choice, speed

`ablation` takes out one idea at a time. `rates` drops frames. `choice` is leave-one-sequence-out: for every
sequence the settings are chosen on the others, and the held-out results are put together, so that the
difference to the figures of the one fixed set says how far it is tuned to these sequences.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

import perception.tracking.tracker as tracker_module
from perception.evaluation.mot import BoxTable, read_mot
from perception.evaluation.tracking import RULES, Scores, match_frames, score_sequence
from perception.tracking import POINTRCNN, Evidence, Tracker
from perception.tracking.files import track_table
from perception.types import Detections

Thin = Callable[[BoxTable], BoxTable]
LINE = "{:44}{:7.2f}{:7.2f}{:7.2f}{:7.2f}{:7.2f}{:6d}"
HEAD = f"{'':44}{'HOTA':>7}{'DetA':>7}{'AssA':>7}{'MOTA':>7}{'IDF1':>7}{'IDSW':>6}"


def load(folder: Path) -> dict[str, tuple[BoxTable, BoxTable]]:
    """Detections and truth by sequence."""
    return {
        path.parent.parent.name: (read_mot(path), read_mot(path.parent.parent / "gt" / "gt.txt"))
        for path in sorted(folder.glob("*/det/det.txt"))
    }


def rows(table: BoxTable, kept: np.ndarray) -> BoxTable:
    """The rows of a table."""
    names = ("frame", "object_id", "xyxy", "score", "class_id", "line")
    return replace(table, **{name: getattr(table, name)[kept] for name in names})


def run(
    data: dict[str, tuple[BoxTable, BoxTable]], thin: Thin | None = None, **settings: Any
) -> dict[str, Scores]:
    """Track and score every sequence at 10 frames a second."""
    scores = {}
    for name, (found, truth) in data.items():
        found, truth = (found, truth) if thin is None else (thin(found), thin(truth))
        tracks = track_table(found, frame_rate=10.0, **settings)
        n = len(tracks)
        output = BoxTable(
            name,
            tracks.frame,
            tracks.track_id,
            tracks.xyxy,
            tracks.score,
            np.full(n, -1),
            np.arange(n),
        )
        scores[name] = score_sequence(match_frames(truth, output, RULES["kitti"]))
    return scores


def show(name: str, scores: dict[str, Scores]) -> None:
    """One line of figures."""
    s = Scores.total(list(scores.values()))
    print(LINE.format(name, s.hota, s.det_a, s.ass_a, s.mota, s.idf1, s.switches), flush=True)


def variants() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Every idea taken out: its name, settings, and what is replaced in the tracker."""
    yield "all ideas", {}, {}
    yield "scores read alike for all sizes", {"evidence": Evidence(0.88)}, {}
    yield "evidence never fades", {"memory_s": 1e9}, {}
    yield "a miss costs no evidence", {}, {"MISSED": 0.0}
    yield "no hysteresis", {}, {"KEEP": 0.0}
    yield "weak detections not used", {"min_iou_weak": 1.0}, {}
    yield "no common shift of the camera", {"camera_shift": False}, {}
    yield "nothing predicted is given out", {"coast_s": 0.0}, {}
    yield "predicted at the border too", {}, {"EDGE": -1.0, "EDGE_PX": -1e9}
    yield "detected boxes given out as they are", {}, {"SEEN": 1.0}
    yield "filter's boxes given out", {}, {"SEEN": 0.0}


def ablation(data: dict[str, tuple[BoxTable, BoxTable]]) -> None:
    """What each idea brings."""
    print(HEAD)
    for name, settings, changes in variants():
        with ExitStack() as stack:
            for target, value in changes.items():
                stack.enter_context(patch(f"{tracker_module.__name__}.{target}", value))
            show(name, run(data, **settings))
    show("offline", run(data, offline=True))


def rates(data: dict[str, tuple[BoxTable, BoxTable]]) -> None:
    """The same settings with frames missing; frame numbers, and so times, stay as they are."""
    print(HEAD)
    for offline in (False, True):
        mode = "offline" if offline else "causal"
        show(f"{mode}, 10 Hz", run(data, offline=offline))
        for start in (1, 0):
            half = run(data, lambda t, s=start: rows(t, t.frame % 2 == s), offline=offline)
            show(f"{mode}, every second frame ({'odd' if start else 'even'}), 5 Hz", half)
        for seed in range(3):
            lost = np.random.default_rng(seed).random(10_000) < 0.2
            there = run(data, lambda t, lost=lost: rows(t, ~lost[t.frame]), offline=offline)
            show(f"{mode}, 20 % of frames missing, draw {seed}", there)


def choice(data: dict[str, tuple[BoxTable, BoxTable]]) -> None:
    """Leave one sequence out."""
    candidates: list[dict[str, Any]] = [{}]
    for score in (0.94, 0.975):
        candidates.append({"evidence": replace(POINTRCNN, neutral_score=score)})
    for slope in (1.5, 2.5):
        candidates.append({"evidence": replace(POINTRCNN, size_slope=slope)})
    for name, values in (
        ("memory_s", (0.3, 0.6)),
        ("confirm", (-0.2, 0.2)),
        ("start", (-0.7, -0.3)),
        ("min_iou", (0.1, 0.2)),
        ("min_iou_weak", (0.2, 0.4)),
        ("max_age_s", (1.0, 2.0)),
        ("coast_s", (0.1, 0.3)),
    ):
        candidates += [{name: value} for value in values]
    results = []
    print(HEAD)
    for settings in candidates:
        results.append(run(data, **settings))
        show(str(settings or "as shipped").replace("perception.", ""), results[-1])
    held_out = {}
    for name in data:
        others = [Scores.total([r[n] for n in data if n != name]).hota for r in results]
        best = int(np.argmax(others))
        held_out[name] = results[best][name]
        print(f"without {name}: {candidates[best] or 'as shipped'}")
    show("held-out sequences together", held_out)


def speed() -> None:
    """Frames a second on one core, association of strong and weak detections included."""
    for objects in (20, 200):
        rng = np.random.default_rng(0)
        side = 15 + 60 * rng.random((objects, 1))
        centre = rng.random((objects, 2)) * [1920, 1080]
        velocity = rng.normal(size=(objects, 2)) * 40
        frames = []
        for _ in range(600):
            centre = centre + velocity / 30
            velocity = np.where((centre < 0) | (centre > [1920, 1080]), -velocity, velocity)
            boxes = np.concatenate([centre - side / 2, centre + side / 2], axis=1)
            seen = rng.random(objects) > 0.05
            frames.append(
                Detections(
                    (boxes + rng.normal(size=boxes.shape)).astype(np.float32)[seen],
                    rng.uniform(0.2, 1, objects).astype(np.float32)[seen],
                    np.zeros(seen.sum(), np.int32),
                    ("car",),
                )
            )
        tracker = Tracker()
        start = time.process_time()
        for i, found in enumerate(frames):
            tracker(found, i / 30, size=(1920, 1080))
        spent = time.process_time() - start
        print(f"{objects} objects a frame: {len(frames) / spent:.0f} frames a second on one core")


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="sequences: NAME/det/det.txt and NAME/gt/gt.txt")
    parser.add_argument("what", nargs="*", choices=["ablation", "rates", "choice", "speed", []])
    options = parser.parse_args()
    data = load(options.folder)
    for what in options.what or ["ablation", "rates", "choice", "speed"]:
        print(f"\n{what}")
        speed() if what == "speed" else globals()[what](data)


if __name__ == "__main__":
    main()
