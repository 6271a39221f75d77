"""Score tracks against truth: MOTChallenge text, one file or a folder of sequences.

    report = evaluate("truth/", "tracks/")
    print(report.table())

Signature for callers: `evaluate(gt, tracks, *, rule="auto") -> Report`; `Report.table()` is the text,
`Report.as_dict()` is ready for JSON.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from perception.errors import ConfigError, InputError, unknown
from perception.evaluation.mot import F64, I64, BoxTable, read_mot
from perception.evaluation.tracking_metrics import EPS, MIN_IOU, MatchFrame, Scores, score_sequence
from perception.tracking.assignment import match


@dataclass(frozen=True, slots=True)
class Rule:
    """Which boxes count.

    Truth of a target class with column 7 not 0 counts. Neutral truth is matched first, together with the
    rest; output that lands on it is taken out, and missing it is no error. Output without a match is taken
    out where it is no taller than `min_height`, or more than half inside a box of an ignored class.

    Attributes:
        targets: classes that count; None: all.
        neutral: classes that are neutral.
        ignored: classes that are regions to ignore.
        unconsidered_neutral: truth with 0 in column 7 is neutral; else it is left out altogether.
        min_height: pixels.
    """

    targets: tuple[int, ...] | None = None
    neutral: tuple[int, ...] = ()
    ignored: tuple[int, ...] = ()
    unconsidered_neutral: bool = False
    min_height: float = 0.0


RULES = {
    # Everything in the file that is marked to be considered (MOT15, TUD).
    "plain": Rule(),
    # KITTI cars in MOTChallenge text: 3 car, 4 van, 8 ignore region; as TrackEval's Kitti2DBox.
    "kitti": Rule((3,), (4,), (8,), unconsidered_neutral=True, min_height=25.0),
    # MOT16 and 17: 1 pedestrian; 2, 7, 8, 12 person on vehicle, static person, distractor, reflection.
    "mot17": Rule((1,), (2, 7, 8, 12)),
}


@dataclass(frozen=True, slots=True)
class Report:
    """Scores by sequence, in order of name, and of all together."""

    rule: str
    sequences: dict[str, Scores]
    combined: Scores = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "combined", Scores.total(list(self.sequences.values())))

    def table(self) -> str:
        """A table for people: one line a sequence, one for all."""
        rows = dict(self.sequences)
        rows["all" if "all" not in rows else "(all)"] = self.combined
        width = max(len("sequence"), *map(len, rows))
        names = "".join(f"{name:>{size}}" for name, (_, size, _) in COLUMNS.items())
        lines = [f"{'sequence':{width}}{names}"]
        for name, scores in rows.items():
            cells = (f"{getattr(scores, key):>{size}{how}}" for key, size, how in COLUMNS.values())
            lines.append(f"{name:{width}}{''.join(cells)}")
        if len(self.sequences) == 1:
            lines.pop()
        return "\n".join([*lines, f"rule: {self.rule}"])

    def as_dict(self) -> dict[str, Any]:
        """The same as plain numbers: {"rule": ..., "sequences": {name: {...}}, "all": {...}}."""
        return {
            "rule": self.rule,
            "sequences": {name: _plain(scores) for name, scores in self.sequences.items()},
            "all": _plain(self.combined),
        }


COLUMNS = {
    "HOTA": ("hota", 8, ".2f"),
    "DetA": ("det_a", 8, ".2f"),
    "AssA": ("ass_a", 8, ".2f"),
    "LocA": ("loc_a", 8, ".2f"),
    "MOTA": ("mota", 8, ".2f"),
    "MOTP": ("motp", 8, ".2f"),
    "IDF1": ("idf1", 8, ".2f"),
    "IDSW": ("switches", 7, "d"),
    "Frag": ("fragmentations", 7, "d"),
    "MT": ("mostly_tracked", 6, "d"),
    "ML": ("mostly_lost", 6, "d"),
    "FN": ("fn", 8, "d"),
    "FP": ("fp", 8, "d"),
}


def _plain(scores: Scores) -> dict[str, float | int]:
    return {key: getattr(scores, key) for key, _, _ in COLUMNS.values()} | {
        "tp": scores.tp,
        "objects": scores.objects,
    }


def evaluate(gt: str | Path, tracks: str | Path, *, rule: str = "auto") -> Report:
    """Score a tracker's output.

    Args:
        gt: a truth file, or a folder with `NAME/gt/gt.txt` or `NAME.txt` per sequence.
        tracks: a file, or a folder with `NAME.txt` per sequence (or `NAME/NAME.txt`).
        rule: "plain", "kitti", "mot17", or "auto": by the classes in the truth files.

    Raises:
        InputError: a file is missing or malformed; names file and line.
        ConfigError: unknown rule.
    """
    if rule != "auto" and rule not in RULES:
        raise ConfigError(unknown("rule", rule, [*RULES, "auto"]))
    pairs = list(_pairs(Path(gt), Path(tracks)))
    truth = {name: read_mot(path, unique_ids=True) for name, path, _ in pairs}
    for name, path, _ in pairs:
        if len(truth[name]) == 0:
            raise InputError(f"{path}, line 1: expected truth, but the file has no lines")
    if rule == "auto":
        rule = rule_for(list(truth.values()))
    scores = {}
    for name, _, path in pairs:
        output = read_mot(path, unique_ids=True)
        nameless = np.flatnonzero(output.object_id < 0)
        if len(nameless):
            raise InputError(
                f"{path}, line {output.line[nameless[0]]}: a track's id must be 0 or more, but is "
                f"{output.object_id[nameless[0]]}; is this a file of detections?"
            )
        scores[name] = score_sequence(match_frames(truth[name], output, RULES[rule]))
    return Report(rule, scores)


def _pairs(gt: Path, tracks: Path) -> Iterator[tuple[str, Path, Path]]:
    """Name, truth file and output file of every sequence."""
    if not gt.is_dir():
        if tracks.is_dir():
            raise InputError(
                f"{gt} is one file, so the tracks must be one file, but {tracks} is a folder"
            )
        in_folder = gt.name == "gt.txt" and gt.parent.name == "gt"
        yield gt.resolve().parent.parent.name if in_folder else gt.stem, gt, tracks
        return
    if not tracks.is_dir():
        raise InputError(
            f"{gt} is a folder, so the tracks must be in a folder, but {tracks} is none"
        )
    found = {path.parent.parent.name: path for path in gt.glob("*/gt/gt.txt")}
    found = found or {path.stem: path for path in gt.glob("*.txt")}
    if not found:
        raise InputError(f"{gt} has no sequences: expected NAME/gt/gt.txt or NAME.txt in it")
    for name, path in sorted(found.items()):
        places = [tracks / f"{name}.txt", tracks / name / f"{name}.txt"]
        output = next((place for place in places if place.is_file()), None)
        if output is None:
            raise InputError(f"no tracks for sequence {name}: expected {places[0]}")
        yield name, path, output


def rule_for(tables: list[BoxTable]) -> str:
    """The rule that fits the classes of the truth."""
    classes = {int(value) for table in tables for value in np.unique(table.class_id)}
    nameless = any((table.object_id[table.class_id == 8] < 0).any() for table in tables)
    if nameless and classes <= {3, 4, 8}:
        return "kitti"
    return "mot17" if 1 in classes and min(classes) > 0 else "plain"


def match_frames(truth: BoxTable, output: BoxTable, rule: Rule) -> list[MatchFrame]:
    """Take out what does not count and number the ids; one entry per frame with boxes."""
    ignored = np.isin(truth.class_id, rule.ignored)
    target = ~ignored
    if rule.targets is not None:
        target &= np.isin(truth.class_id, rule.targets)
    considered = truth.score != 0
    neutral = np.isin(truth.class_id, rule.neutral)
    if rule.unconsidered_neutral:
        neutral |= target & ~considered
    counts = target & considered
    none = slice(0, 0)
    true_rows, output_rows = dict(truth.frames()), dict(output.frames())
    kept: list[tuple[I64, I64, F64]] = []
    for frame in sorted(true_rows.keys() | output_rows.keys()):
        true, out = true_rows.get(frame, none), output_rows.get(frame, none)
        boxes = output.xyxy[out]
        taking_part = np.flatnonzero(neutral[true] | counts[true])
        iou = _iou(truth.xyxy[true][taking_part], boxes)
        rows, columns = match(np.where(iou >= MIN_IOU - EPS, iou, 0.0))
        keep = (boxes[:, 3] - boxes[:, 1] > rule.min_height + EPS) | (rule.min_height == 0)
        regions = truth.xyxy[true][ignored[true]]
        keep &= ~(_share_inside(boxes, regions) > 0.5 + EPS).any(axis=1)
        keep[columns] = counts[true][taking_part[rows]]
        real = counts[true][taking_part]
        kept.append(
            (
                truth.object_id[true][taking_part[real]],
                output.object_id[out][keep],
                iou[real][:, keep],
            )
        )
    objects = np.unique(np.concatenate([ids for ids, _, _ in kept] or [np.zeros(0, np.int64)]))
    tracks = np.unique(np.concatenate([ids for _, ids, _ in kept] or [np.zeros(0, np.int64)]))
    return [
        MatchFrame(np.searchsorted(objects, a), np.searchsorted(tracks, b), iou)
        for a, b, iou in kept
    ]


def _overlap(a: F64, b: F64) -> F64:
    """Areas of overlap (N, M), in double precision."""
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    sides = np.maximum(sides, 0)
    return np.asarray(sides[..., 0] * sides[..., 1])


def _area(a: F64) -> F64:
    return np.asarray((a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1]))


def _iou(a: F64, b: F64) -> F64:
    overlap = _overlap(a, b)
    union = _area(a)[:, None] + _area(b)[None, :] - overlap
    return np.divide(overlap, union, out=np.zeros_like(overlap), where=union > EPS)


def _share_inside(boxes: F64, regions: F64) -> F64:
    """The part of every box that lies in every region, (N, M)."""
    overlap = _overlap(boxes, regions)
    area = _area(boxes)[:, None]
    return np.divide(overlap, area, out=np.zeros_like(overlap), where=area > EPS)
