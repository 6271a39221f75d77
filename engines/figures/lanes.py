"""The lane engine beside its teacher, the public TwinLiteNet checkpoint.

Two questions: does it see what the teacher sees, on real recordings of which no picture was trained on, and
how far are its lines from the truth of the rendered clips. Frames are looked at one by one: the smoothing over
time that the product adds is left out. Times are of the engines alone, in turns, the median of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import cv2
import numpy as np

from engines.timing import SOURCE, milliseconds, open_judged, open_ours
from perception.evaluation.lanes import (
    SCALE,
    TOLERANCE,
    LaneFigures,
    LaneRecord,
    evaluate,
    mask_f1,
    mask_iou,
    read_lanes,
    table,
)
from perception.models.lanes import LaneFinder, LaneMasks, to_lanes, twinlitenet_card
from perception.sources import open_source
from perception.types import Frame, Lanes

ROOT = Path(__file__).parents[2]
LANES = ROOT / "engines" / "weights" / "lanes.onnx"
REFERENCE = "../shared/weights/twinlitenet_360x640.onnx"
CLIPS = "../shared/clips"
HELD_OUT = ("muchlisin_driving", "tmo_countryroad", "tmo_seattlestreet2", "tmo_rainy")
RENDERED = ("day_highway", "city_street", "night_rain")
FRAMES = 24  # of each clip
FAST = 147_456  # pixels of the network's input


@dataclass(frozen=True)
class Agreement:
    """With the reference, means over the frames of a clip: of masks, then of what they are decoded to."""

    drivable_iou: float
    lane_f1: float
    outline_iou: float
    line_f1: float


def report(
    *,
    threads: int = 1,
    engine: str | Path = LANES,
    reference: str | Path = REFERENCE,
    clips: str | Path = CLIPS,
    frames: int = FRAMES,
) -> str:
    """Markdown: agreement on real clips, errors on rendered ones, milliseconds.

    Args:
        threads: of the engines.
        engine: the lane engine.
        reference: the public TwinLiteNet file.
        clips: folder of the real clips.
        frames: of each clip, evenly spread.

    Raises:
        InputError: a file is missing.
    """
    ours, card = open_ours(engine, threads=threads)
    teacher = open_judged(reference, threads=threads)
    theirs = LaneFinder(teacher, twinlitenet_card(teacher))
    finders = {}
    for pixels in (None, FAST):
        finder = LaneFinder(ours, card, pixels=pixels)
        width, height = finder.input_size(SOURCE)
        finders[f"lanes, {width}x{height}"] = finder
    lines = [
        f"Agreement with TwinLiteNet (640x360) on clips that were not trained on, {frames} frames each. Masks: IoU of "
        f"the drivable area, F1 of lane pixels within {TOLERANCE:.0f} px at {SCALE} wide. Lines, outlines: the same of "
        "what both decode to.",
        "",
        "| engine | clip | masks: drivable IoU | lane F1 | outlines: drivable IoU | lines: F1 |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    paths = [Path(clips) / f"{name}.mp4" for name in HELD_OUT]
    for name, finder in finders.items():
        found = {path.stem: agreement(path, finder, theirs, frames) for path in paths}
        rows = [*found.items(), ("**mean**", mean(list(found.values())))]
        lines += [
            f"| {name} | {clip} | {a.drivable_iou:.3f} | {a.lane_f1:.3f} | "
            f"{a.outline_iou:.3f} | {a.line_f1:.3f} |"
            for clip, a in rows
        ]
    judged = {}
    for name, finder in {**finders, "twinlitenet, 640x360": theirs}.items():
        for clip in RENDERED:
            judged[f"{name}, {clip}"] = truth_figures(clip, finder, frames)
    lines += ["", f"Truth of the rendered clips, {frames} frames each.", "", table(judged), ""]
    timed = [*finders.values(), theirs]
    costs = milliseconds([(one.engine, one.input_size(SOURCE)) for one in timed], runs=30)
    whole = costs[-1]
    names = [*finders, "twinlitenet, 640x360"]
    lines += [
        f"- {name}: {cost:.1f} ms per picture, {cost / whole:.2f} of TwinLiteNet's"
        for name, cost in zip(names, costs, strict=True)
    ]
    return "\n".join(lines)


def spread(path: Path, frames: int) -> Iterator[Frame]:
    """Frames of a clip, evenly spread."""
    source = open_source(path)
    try:
        step = max(1, (source.info.frames or 10 * frames) // frames)
        for frame in source:
            if frame.index % step == 0:
                yield frame
    finally:
        source.close()


def agreement(path: Path, finder: LaneFinder, teacher: LaneFinder, frames: int) -> Agreement:
    """How much a network and the reference see alike on a clip."""
    overlaps, scores = [], []
    ours: dict[int, Lanes] = {}
    theirs: dict[int, Lanes] = {}
    size = (SCALE, 360)
    for frame in spread(path, frames):
        size = frame.size
        found, wanted = finder.masks(frame), teacher.masks(frame)
        height = round(SCALE * size[1] / size[0])
        masks = [
            cv2.resize(mask, (SCALE, height), interpolation=cv2.INTER_LINEAR) > 0.5
            for mask in (found.drivable, wanted.drivable, found.lane, wanted.lane)
        ]
        overlaps.append(mask_iou(masks[0], masks[1]))
        scores.append(mask_f1(masks[2], masks[3], tolerance=TOLERANCE))
        ours[frame.index] = _lanes(finder, found)
        theirs[frame.index] = _lanes(teacher, wanted)
    lines = evaluate(LaneRecord(size, theirs), LaneRecord(size, ours))
    return Agreement(float(np.mean(overlaps)), float(np.mean(scores)), lines.drivable_iou, lines.f1)


def _lanes(finder: LaneFinder, masks: LaneMasks) -> Lanes:
    return to_lanes(masks, finder.strokes(masks), masks.drivable, min_score=finder.min_score)


def mean(found: Sequence[Agreement]) -> Agreement:
    """Of several clips, each counting the same."""
    return Agreement(*np.mean([astuple(one) for one in found], axis=0).tolist())


def truth_figures(clip: str, finder: LaneFinder, frames: int) -> LaneFigures:
    """A network's lines against the truth of a rendered clip."""
    path = ROOT / "sample_videos" / f"{clip}.mp4"
    truth = read_lanes(path.with_suffix(".json"))
    found = {frame.index: finder(frame) for frame in spread(path, frames)}
    return evaluate(truth, LaneRecord(truth.size, found))
