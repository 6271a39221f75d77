"""Judge the attributes of a run on the rendered clips: `python -m engines.attributes sample_videos/*.mp4`.

Each detected object that a truth box with a known sign or light state covers (IoU 0.4) counts once per frame:
right, wrong, or silent (no attribute). Kinds of sign that the classifier does not know should stay silent. No
picture of the clips is trained on, but the renderer is that of the training scenes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import perception
from engines.data.crop_sources import RENDERED_SIGNS
from engines.data.crops import LIGHTS, SIGNS
from perception.config import DEFAULT
from perception.errors import InputError, PerceptionError
from perception.geometry import iou
from perception.types import FrameResult

MIN_IOU = 0.4
TASKS = {"sign": "traffic_sign", "light": "traffic_light"}
# Both answers are right.
EITHER = {"red_yellow": ("red", "yellow")}


@dataclass
class Tally:
    """Objects of one attribute, counted once per frame.

    Attributes:
        right, wrong, silent: objects whose kind the classifier knows.
        unasked, refused: objects of another kind that got an attribute, and that rightly got none.
        confusions: (truth, answer) of what was wrong.
    """

    right: int = 0
    wrong: int = 0
    silent: int = 0
    unasked: int = 0
    refused: int = 0
    confusions: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, truth: str, answer: str | None, known: Sequence[str]) -> None:
        """Count one object."""
        wanted = EITHER.get(truth, (truth,))
        if not set(wanted) & set(known):
            self.refused += answer is None
            self.unasked += answer is not None
        elif answer is None:
            self.silent += 1
        elif answer in wanted:
            self.right += 1
        else:
            self.wrong += 1
            self.confusions[truth, answer] += 1

    def row(self) -> str:
        """A row of a Markdown table: right of the answers, answered of the asked, refused of the others."""
        answered, others = self.right + self.wrong, self.unasked + self.refused
        worst = ", ".join(f"{a} as {b} {n}" for (a, b), n in self.confusions.most_common(3))
        return (
            f"{_share(self.right, answered)} of {answered} | "
            f"{_share(answered, answered + self.silent)} of {answered + self.silent} | "
            f"{_share(self.refused, others)} of {others} | {worst or '-'}"
        )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m engines.attributes", description=__doc__)
    parser.add_argument("clips", nargs="+", help="MP4 files with their truth in a .json beside")
    parser.add_argument("-c", "--config", default=DEFAULT)
    parser.add_argument("--min-height", type=float, default=12.0, help="of the truth, pixels")
    arguments = parser.parse_args(argv)
    try:
        print(table(arguments.clips, config=arguments.config, min_height=arguments.min_height))
    except PerceptionError as error:
        print(f"engines.attributes: {error}", file=sys.stderr)
        return 2
    return 0


def table(clips: Sequence[str | Path], *, config: str = DEFAULT, min_height: float = 12.0) -> str:
    """Markdown: one line per clip and attribute."""
    lines = [
        "| clip | attribute | right of the answers | answered | other kinds refused | mistakes |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for clip in clips:
        for name, tally in judge(clip, config=config, min_height=min_height).items():
            lines.append(f"| {Path(clip).stem} | {name} | {tally.row()} |")
    return "\n".join(lines)


def judge(clip: str | Path, *, config: str = DEFAULT, min_height: float = 12.0) -> dict[str, Tally]:
    """Run a clip and count, by attribute.

    Raises:
        InputError: there is no truth beside the clip.
    """
    path = Path(clip).with_suffix(".json")
    if not path.is_file():
        raise InputError(f"{path}: no such file; the truth lies beside the clip")
    content = json.loads(path.read_text(encoding="utf-8"))
    truth = {int(frame["frame"]): frame["objects"] for frame in content["frames"]}
    tallies = {name: Tally() for name in TASKS}
    with perception.open(clip, config=config) as run:
        for result in run:
            count(tallies, result, truth.get(result.frame.index, []), min_height)
    return tallies


def count(
    tallies: Mapping[str, Tally],
    result: FrameResult,
    truth: Sequence[Mapping[str, Any]],
    min_height: float,
) -> None:
    """Add one frame's objects to the tallies."""
    known = {"sign": SIGNS, "light": LIGHTS[:-1]}
    views = [view for view in result.objects if not view.predicted and view.track_id is not None]
    for name, kind in TASKS.items():
        asked = [item for item in truth if name in item.get("attributes", {})]
        mine = [view for view in views if view.class_name == kind]
        if not asked or not mine:
            continue
        boxes = np.array([item["xyxy"] for item in asked], np.float32)
        overlap = iou(np.array([view.xyxy for view in mine], np.float32), boxes)
        for view, row in zip(mine, overlap, strict=True):
            best = int(row.argmax())
            if row[best] < MIN_IOU or boxes[best, 3] - boxes[best, 1] < min_height:
                continue
            value = asked[best]["attributes"][name]
            value = RENDERED_SIGNS.get(value, value) or value
            answer = view.attributes.get(name)
            tallies[name].add(value, answer, known[name])


def _share(part: int, of: int) -> str:
    return f"{part / of:.3f}" if of else "-"


if __name__ == "__main__":
    sys.exit(main())
