from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from perception.backends import TensorSpec, open_engine
from perception.card import EngineCard, InputSpec
from perception.errors import ConfigError, EngineError
from perception.models.anchor_free import COCO_CLASSES, AnchorFree
from perception.models.detector import Detector
from perception.types import Frame

CLASSES = ("car", "truck", "person")


class FunctionEngine:
    """An engine that is a function from the input tensor to the raw output."""

    path = Path("function.onnx")
    backend = "function"

    def __init__(self, function: Any, card: EngineCard | None, columns: int) -> None:
        self._function = function
        self.card = card
        self.inputs = (TensorSpec("images", np.dtype(np.float32), (-1, 3, -1, -1)),)
        self.outputs = (TensorSpec("predictions", np.dtype(np.float32), (-1, -1, columns)),)

    def infer(self, feeds: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        return {"predictions": self._function(feeds["images"])}

    def close(self) -> None: ...


def make_card(**decoder: Any) -> EngineCard:
    settings = {"strides": [8, 16, 32], "objectness": True, "activated": False} | decoder
    return EngineCard(
        name="test", family="anchor_free", task="road", classes=CLASSES,
        input=InputSpec(size=(640, 384), fit="letterbox"), decoder=settings,
    )  # fmt: skip


def encode(
    objects: list[tuple[tuple[float, float, float, float], int, float]],
    size: tuple[int, int],
    *,
    activated: bool,
    objectness: bool,
) -> npt.NDArray[np.float32]:
    """Raw output that says: these boxes (input pixels), classes and scores, each in its stride-8 cell."""
    width, height = size
    cells = sum((width // s) * (height // s) for s in (8, 16, 32))
    nothing = 0.0 if activated else -20.0
    raw = np.full((1, cells, (5 if objectness else 4) + len(CLASSES)), nothing, np.float32)
    raw[..., :4] = 0
    for (x1, y1, x2, y2), class_id, score in objects:
        column, row = int((x1 + x2) / 2 // 8), int((y1 + y2) / 2 // 8)
        cell = row * (width // 8) + column
        value = score if activated else np.log(score / (1 - score))
        raw[0, cell, 0] = (x1 + x2) / 16 - column
        raw[0, cell, 1] = (y1 + y2) / 16 - row
        raw[0, cell, 2:4] = np.log((x2 - x1) / 8), np.log((y2 - y1) / 8)
        if objectness:
            raw[0, cell, 4] = 1.0 if activated else 20.0
            raw[0, cell, 5 + class_id] = value
        else:
            raw[0, cell, 4 + class_id] = value
    return raw


@pytest.mark.parametrize("activated", [True, False])
@pytest.mark.parametrize("objectness", [True, False])
def test_boxes_come_back_in_source_pixels(activated: bool, objectness: bool) -> None:
    # A 1280x720 source in a 640x384 input: scale 1/2, 12 rows of padding above and below.
    card = make_card(activated=activated, objectness=objectness)
    raw = encode(
        [((100, 112, 180, 172), 0, 0.9), ((300, 100, 320, 160), 2, 0.6), ((500, 50, 510, 60), 1, 0.2)],
        (640, 384), activated=activated, objectness=objectness,
    )  # fmt: skip
    model = AnchorFree(FunctionEngine(lambda _: raw, card, raw.shape[2]), card, min_score=0.3)
    found = model(Frame(np.zeros((720, 1280, 3), np.uint8)))
    assert found.xyxy == pytest.approx(
        np.array([[200, 200, 360, 320], [600, 176, 640, 296]]), abs=0.01
    )
    assert found.score == pytest.approx([0.9, 0.6], abs=1e-4)
    assert found.class_id.tolist() == [0, 2]


def test_classes_of_one_group_suppress_each_other() -> None:
    objects = [((100, 112, 180, 172), 0, 0.9), ((104, 120, 184, 180), 1, 0.8)]
    raw = encode(objects, (640, 384), activated=False, objectness=True)
    for groups, expected in (([], 2), ([["car", "truck"]], 1)):
        card = make_card(nms_groups=groups, max_iou=0.5)
        model = AnchorFree(FunctionEngine(lambda _: raw, card, 8), card)
        assert len(model(Frame(np.zeros((720, 1280, 3), np.uint8)))) == expected


def test_only_wanted_classes_are_kept() -> None:
    raw = encode([((100, 112, 180, 172), 0, 0.9)], (640, 384), activated=False, objectness=True)
    card = make_card()
    model = AnchorFree(FunctionEngine(lambda _: raw, card, 8), card, classes=["person"])
    assert len(model(Frame(np.zeros((720, 1280, 3), np.uint8)))) == 0


@pytest.mark.parametrize(
    ("source", "expected"),
    [((1280, 720), (640, 384)), ((540, 960), (384, 640)), ((1242, 375), (864, 256))],
)
def test_the_input_takes_the_shape_of_the_source(
    source: tuple[int, int], expected: tuple[int, int]
) -> None:
    card = make_card()
    model = AnchorFree(FunctionEngine(None, card, 8), card)
    assert model.input_size(source) == expected


@pytest.mark.parametrize(
    ("source", "takes", "expected"),
    [
        ((1280, 720), True, (416, 256)),
        ((360, 640), True, (256, 416)),
        ((500, 500), True, (416, 416)),
        ((1280, 720), False, (416, 416)),
    ],
)
def test_a_letterbox_of_one_size_loses_its_empty_rows_where_the_runtime_can(
    source: tuple[int, int], takes: bool, expected: tuple[int, int]
) -> None:
    seen = []
    box = (100.0, 40.0, 180.0, 120.0)

    def network(tensor: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        size = tensor.shape[3], tensor.shape[2]
        seen.append(size)
        return encode([(box, 0, 0.9)], size, activated=True, objectness=True)

    card = make_card(activated=True)
    card = dataclasses.replace(card, input=InputSpec(size=(416, 416), fit="letterbox_top_left"))
    engine = FunctionEngine(network, card, 8)
    engine.inputs = (TensorSpec("images", np.dtype(np.float32), (1, 3, 416, 416)),)
    engine.takes = lambda size: takes  # type: ignore[attr-defined]
    found = AnchorFree(engine, card)(Frame(np.zeros((source[1], source[0], 3), np.uint8)))
    assert seen == [expected]
    assert found.xyxy[0] == pytest.approx(np.array(box) * max(source) / 416, rel=0.01)


def test_an_output_of_other_width_is_refused() -> None:
    with pytest.raises(EngineError, match="must have 8 columns for 3 classes, but has 85"):
        AnchorFree(FunctionEngine(None, make_card(), 85), make_card())


def authors_decode(raw: np.ndarray, ratio: float, min_score: float) -> np.ndarray:
    """The decode that the YOLOX authors publish with their ONNX demo, written down anew as the reference.

    Rows x1, y1, x2, y2, score, class; plain greedy suppression over all classes at IoU 0.45 with the
    inclusive (+1 pixel) areas of that demo.
    """
    grids, strides = [], []
    for stride in (8, 16, 32):
        x, y = np.meshgrid(np.arange(416 // stride), np.arange(416 // stride))
        grids.append(np.stack((x, y), 2).reshape(-1, 2))
        strides.append(np.full((len(grids[-1]), 1), stride))
    grid, step = np.concatenate(grids), np.concatenate(strides)
    centre, size = (raw[:, :2] + grid) * step, np.exp(raw[:, 2:4]) * step
    boxes = np.concatenate([centre - size / 2, centre + size / 2], 1) / ratio
    scores = raw[:, 4:5] * raw[:, 5:]
    best, score = scores.argmax(1), scores.max(1)
    order = [i for i in (-score).argsort() if score[i] > min_score]
    kept: list[int] = []
    for i in order:
        for k in kept:
            w = max(0.0, min(boxes[i, 2], boxes[k, 2]) - max(boxes[i, 0], boxes[k, 0]) + 1)
            h = max(0.0, min(boxes[i, 3], boxes[k, 3]) - max(boxes[i, 1], boxes[k, 1]) + 1)
            areas = [
                (boxes[j, 2] - boxes[j, 0] + 1) * (boxes[j, 3] - boxes[j, 1] + 1) for j in (i, k)
            ]
            if w * h / (sum(areas) - w * h) > 0.45:
                break
        else:
            kept.append(i)
    return np.column_stack([boxes[kept], score[kept], best[kept]])


def test_the_public_yolox_gives_its_authors_boxes(shared: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    annotations = json.loads((shared / "data/road/annotations.json").read_text())
    pictures = [i["file_name"] for i in annotations["images"] if i["source"] == "highway"][:12]
    engine = open_engine(shared / "weights/yolox_nano.onnx")
    detector = Detector(engine, family="yolox", min_score=0.3)
    compared = 0
    for name in pictures:
        picture = cv2.imread(str(shared / "data/road" / name))
        ratio = min(416 / picture.shape[0], 416 / picture.shape[1])
        small = cv2.resize(picture, (int(picture.shape[1] * ratio), int(picture.shape[0] * ratio)))
        canvas = np.full((416, 416, 3), 114, np.uint8)
        canvas[: small.shape[0], : small.shape[1]] = small
        tensor = np.ascontiguousarray(canvas.transpose(2, 0, 1)[None], np.float32)
        raw = next(iter(engine.infer({engine.inputs[0].name: tensor}).values()))[0].copy()
        expected = authors_decode(raw, ratio, 0.3)
        height, width = picture.shape[:2]
        expected[:, :4] = np.clip(expected[:, :4], 0, [width, height, width, height])
        found = detector.model(Frame(picture))
        assert len(found) == len(expected)
        assert found.class_id.tolist() == expected[:, 5].astype(int).tolist()
        assert found.score == pytest.approx(expected[:, 4], abs=1e-4)
        # The demo rounds the resized picture's sides down but divides by the unrounded ratio.
        assert found.xyxy == pytest.approx(expected[:, :4], abs=1.5)
        compared += len(expected)
    assert compared > 10


def test_a_checkpoint_without_a_card_needs_a_family(shared: Path) -> None:
    with pytest.raises(ConfigError, match="name its family: --family ultralight or yolox or yunet"):
        Detector(shared / "weights/yolox_nano.onnx")


def test_coco_has_eighty_classes_and_ours_keep_their_names() -> None:
    assert len(COCO_CLASSES) == 80
    assert {"car", "truck", "bus", "motorcycle", "bicycle", "person", "traffic_light"} < set(
        COCO_CLASSES
    )
