"""Lane networks: pictures -> lane lines with sides, and the drivable area's outlines.

Family "lanes" is our own: one output (1, 2, H/s, W/s) of logits, drivable area and lane paint. Family
"twinlitenet" is the public TwinLiteNet export (Che et al. 2023, arXiv:2307.10705): two outputs of two
channels, background and foreground, at full size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from perception.backends import Engine
from perception.card import EngineCard, InputSpec
from perception.errors import EngineError
from perception.models.lane_lines import Stroke, find_strokes
from perception.models.pictures import PictureEngine
from perception.preprocess import Mapping
from perception.types import F32, Frame, Lane, Lanes

MIN_AREA = 0.004  # of the picture: smaller patches of drivable area are noise
CLOSE_LINES = 0.16  # of the lane's width beside us: nearer than this, two lines are one double line
MOST_POINTS = 24
MARGIN = (
    10  # rows around the drivable area that are looked at, twice the reach of the blur and more
)


def twinlitenet_card(engine: Engine) -> EngineCard:
    """The card of the public TwinLiteNet export, which carries none."""
    shape = engine.inputs[0].shape
    names = [spec.name for spec in engine.outputs]
    if len(shape) != 4 or min(shape[2:]) < 0 or names != ["da", "ll"]:
        raise EngineError(
            f"{engine.path}: a TwinLiteNet export must have a fixed 4-d input and the outputs da and "
            f"ll, but has input {shape} and outputs {', '.join(names)}"
        )
    return EngineCard(
        name=engine.path.stem,
        family="twinlitenet",
        task="lanes",
        classes=("drivable", "lane"),
        input=InputSpec(size=(shape[3], shape[2]), colour="rgb", std=(255.0,) * 3),
        decoder={"stride": 1},
        licence="MIT",
    )


@dataclass(frozen=True, slots=True)
class LaneMasks:
    """What a network saw, on the part of its grid that shows the picture.

    Attributes:
        drivable, lane: (h, w) float32 probabilities.
        origin: column and row of the first cell in the network's grid.
        stride: input pixels per cell.
        mapping: from source pixels to input pixels.
        source: (width, height) of the source.
    """

    drivable: F32
    lane: F32
    origin: tuple[int, int]
    stride: int
    mapping: Mapping
    source: tuple[int, int]

    def to_source(self, points: npt.NDArray[np.floating]) -> F32:
        """Cells (N, 2), whole numbers at their middles -> source pixels."""
        inside = (np.asarray(points, np.float32) + 0.5 + np.array(self.origin)) * self.stride
        return self.mapping.points_to_source(inside.astype(np.float32))


class LaneFinder:
    """A lane network around an engine of family "lanes" or "twinlitenet".

    Args:
        engine: the engine; its card says how to prepare and decode.
        card: for an engine without one.
        min_score: least probability of paint and of drivable area.
        pixels: for a network that takes any input size: most pixels of the input. None: as many as the
            card's default size has. The input gets the source's shape.

    Raises:
        EngineError: the engine's outputs are not what the family says.
    """

    def __init__(
        self, engine: Engine, card: EngineCard, *, min_score: float = 0.5, pixels: int | None = None
    ) -> None:
        wanted = {"lanes": 1, "twinlitenet": 2}[card.family]
        channels = [spec.shape[1] for spec in engine.outputs if len(spec.shape) == 4]
        if len(channels) != wanted or any(n not in (2, -1) for n in channels):
            raise EngineError(
                f"{engine.path}: family {card.family!r} must have {wanted} outputs of 2 channels, "
                f"but has {[tuple(spec.shape) for spec in engine.outputs]}"
            )
        self.engine = engine
        self.card = card
        self.min_score = min_score
        self._stride = int(card.decoder["stride"])
        self._pictures = PictureEngine(engine, card, pixels=pixels)
        self.input_size = self._pictures.input_size
        self.preprocessor = self._pictures.preprocessor

    def masks(self, frame: Frame) -> LaneMasks:
        """Run the network on a frame."""
        size = frame.size
        outputs, _, mapping = self._pictures(frame)
        raw = [outputs[spec.name][0] for spec in self.engine.outputs]
        if self.card.family == "lanes":
            logits = np.asarray(raw[0], np.float32)
        else:
            logits = np.stack([both[1] - both[0] for both in raw]).astype(np.float32)
        _, (x, y, width, height) = self.preprocessor(size).place(size)
        stride = self._stride
        left, top = -(-x // stride), -(-y // stride)
        right, bottom = (x + width) // stride, (y + height) // stride
        logits = logits[:, top : max(top + 1, bottom), left : max(left + 1, right)]
        probability = np.clip(-logits, -30, 30)
        np.exp(probability, out=probability)
        probability += 1
        np.reciprocal(probability, out=probability)
        return LaneMasks(probability[0], probability[1], (left, top), stride, mapping, size)

    def strokes(self, masks: LaneMasks) -> list[Stroke]:
        """The lines in the masks, in cells."""
        return find_strokes(masks.lane, min_score=self.min_score)

    def __call__(self, frame: Frame) -> Lanes:
        """Lanes of one frame, by itself."""
        masks = self.masks(frame)
        return to_lanes(masks, self.strokes(masks), masks.drivable, min_score=self.min_score)


def to_lanes(
    masks: LaneMasks, strokes: Sequence[Stroke], drivable: F32, *, min_score: float
) -> Lanes:
    """Strokes and drivable probabilities, both in cells of `masks`, as `Lanes` of the source."""
    numbered = with_sides(strokes, masks.lane.shape)
    numbered.sort(key=lambda item: (abs(item[1]), item[1]))
    cells = [_thinned(stroke) for stroke, _ in numbered]
    lines: list[Lane] = []
    if cells:
        # All lines at once: the way to the source's pixels costs as much for one.
        ends = np.cumsum([len(part) for part in cells])[:-1]
        points = np.split(masks.to_source(np.concatenate(cells)), ends)
        lines = [
            Lane(part, side, round(stroke.score, 4))
            for part, (stroke, side) in zip(points, numbered, strict=True)
        ]
    return Lanes(tuple(lines), outlines(masks, drivable, min_score=min_score))


def _thinned(stroke: Stroke) -> npt.NDArray[np.float64]:
    """At most MOST_POINTS points (N, 2) of a stroke, in cells, from near to far."""
    last, top = stroke.top + len(stroke.x) - 1, stroke.top
    count = min(MOST_POINTS, len(stroke.x))
    points = np.empty((count, 2))
    points[:, 1] = np.arange(count) * ((top - last) / max(1, count - 1)) + last
    points[-1, 1] = top
    points[:, 0] = np.interp(points[:, 1], stroke.rows, stroke.x)
    return points


def with_sides(strokes: Sequence[Stroke], shape: tuple[int, ...]) -> list[tuple[Stroke, int]]:
    """Number the lines from the middle: -1 the first to the left of the camera, 1 to the right, 2 ...

    Lines of one road keep their order at every height, so they are compared where they would meet the
    picture's lower edge. A line that keeps too close to a nearer one is its double and is left out.
    """
    height, width = shape
    away = _vanishing_point(strokes, width)
    at_edge = [(_at_row(stroke, height - 1.0, away), stroke) for stroke in strokes]
    middle = (width - 1) / 2
    left = sorted((item for item in at_edge if item[0] < middle), key=lambda item: -item[0])
    right = sorted((item for item in at_edge if item[0] >= middle), key=lambda item: item[0])
    lane = 0.9 * width
    if left and right:
        lane = min(lane, max(right[0][0] - left[0][0], 0.3 * width))
    numbered = []
    for sign, group in ((-1, left), (1, right)):
        kept: list[tuple[float, Stroke]] = []
        for place, stroke in group:
            twin = next((i for i, k in enumerate(kept) if _same(k, (place, stroke), lane)), None)
            if twin is None:
                kept.append((place, stroke))
            elif len(stroke.x) > 1.5 * len(kept[twin][1].x):
                kept[twin] = (place, stroke)
        numbered += [(stroke, sign * rank) for rank, (_, stroke) in enumerate(kept, 1)]
    return numbered


def _same(a: tuple[float, Stroke], b: tuple[float, Stroke], lane: float) -> bool:
    """Whether two lines are so close, where both are seen, that they are one painted twice."""
    if abs(a[0] - b[0]) >= CLOSE_LINES * lane:
        return False
    first, second = a[1], b[1]
    top = max(first.top, second.top)
    end = min(first.top + len(first.x), second.top + len(second.x))
    if end - top < 3:
        return True
    gap = np.abs(
        first.x[top - first.top : end - first.top] - second.x[top - second.top : end - second.top]
    )
    return bool(gap.mean() < CLOSE_LINES * lane)


def _vanishing_point(strokes: Sequence[Stroke], width: int) -> tuple[float, float]:
    """Column and row where the lines meet: least squares over their near halves, by length.

    Parallel lines, or one alone, meet above the highest of them; no line's own direction says more.
    """
    if not strokes:
        return (width - 1) / 2, -1.0
    # The normal equations, (a b; b c) (column, row) = (d, e).
    a = b = c = d = e = 0.0
    for stroke in strokes:
        slope, start = _near_half(stroke)
        # A column x at row y is `start + slope * y`; flat lines say less about the column.
        share = len(stroke.x) / (1 + slope * slope)
        a += share
        b -= share * slope
        c += share * slope * slope
        d += share * start
        e -= share * slope * start
    highest = min(stroke.top for stroke in strokes)
    weight = 0.05 * sum(len(stroke.x) for stroke in strokes)
    c += weight
    e += weight * (highest - 2.0)
    scale = a * c - b * b
    return (c * d - b * e) / scale, min((a * e - b * d) / scale, highest - 1.0)


def _near_half(stroke: Stroke) -> tuple[float, float]:
    """Slope, and column at row 0, of the straight line through a stroke's near half."""
    count = max(2, len(stroke.x) // 2)
    x = stroke.x[-count:]
    middle = stroke.top + len(stroke.x) - (count + 1) / 2
    spread = np.arange(count) - (count - 1) / 2
    slope = float(spread @ x) / (count * (count * count - 1) / 12)
    return slope, float(x.sum()) / count - slope * middle


def _at_row(stroke: Stroke, row: float, away: tuple[float, float]) -> float:
    """The column at which a stroke meets a row; below its near end, straight away from `away`."""
    last = stroke.top + len(stroke.x) - 1
    near = float(stroke.x[-1])
    if row <= last:
        return float(stroke.x[max(0, round(row) - stroke.top)])
    return away[0] + (near - away[0]) * (row - away[1]) / (last - away[1])


def outlines(masks: LaneMasks, drivable: F32, *, min_score: float) -> tuple[F32, ...]:
    """Outlines of the drivable area in source pixels, the largest first; ragged edges smoothed."""
    there = (drivable >= min_score).any(axis=1).nonzero()[0]
    if not len(there):
        return ()
    # Rows further away than the blur reaches, twice, stay what they are: no area.
    first = max(0, int(there[0]) - MARGIN)
    near = drivable[first : int(there[-1]) + 1 + MARGIN]
    # Twice as fine, so that the outline runs between the cells rather than along them.
    soft = cv2.GaussianBlur(near, (0, 0), 1.0)
    height, width = soft.shape
    fine = cv2.resize(soft, (2 * width, 2 * height), interpolation=cv2.INTER_LINEAR)
    above = (fine >= min_score).view(np.uint8)
    on = cv2.morphologyEx(above, cv2.MORPH_OPEN, _DISC)
    contours, _ = cv2.findContours(on, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    found = []
    for contour in sorted(contours, key=cv2.contourArea, reverse=True):
        if cv2.contourArea(contour) < MIN_AREA * 4 * drivable.size:
            break
        simple = cv2.approxPolyDP(contour, 1.2, True)[:, 0].astype(np.float32)
        if len(simple) >= 3:
            found.append(masks.to_source((simple + 0.5) / 2 - 0.5 + (0, first)))
    return tuple(found)


_DISC = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
