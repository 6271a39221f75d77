from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("torch")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from engines.data.lanes import LaneData  # noqa: E402
from engines.label_lanes import MASK, Teacher, main, truth_masks, with_truth  # noqa: E402
from perception.errors import EngineError  # noqa: E402
from tests.lane_scenes import draw, line  # noqa: E402


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    """A network of TwinLiteNet's shape that calls green drivable and red a lane."""
    weights = {}
    for name, channel in (("da", 1), ("ll", 0)):
        weight = np.zeros((2, 3, 1, 1), np.float32)
        weight[1, channel] = 20
        weight[1, 2] = -20
        weights[name] = weight
    bias = np.array([0, -10], np.float32)
    nodes = [helper.make_node("Conv", ["images", f"w_{n}", "bias"], [n]) for n in weights]
    shape = [1, 2, 360, 640]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 360, 640])],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in weights],
        [
            numpy_helper.from_array(bias, "bias"),
            *[numpy_helper.from_array(w, f"w_{n}") for n, w in weights.items()],
        ],
    )
    path = tmp_path / "teacher.onnx"
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


def test_the_truth_of_a_scene_corrects_the_teacher() -> None:
    size = (640, 360)
    area = cv2.inRange(draw([], road=(0.0, 1.0)), (0, 128, 0), (255, 255, 255))
    area[200:260, 300:340] = 0  # a car
    lines = {-1: line(0.3, size), 1: line(0.7, size)}
    truth = truth_masks(lines, area)
    assert truth.shape == (3, MASK[1], MASK[0])
    found = np.zeros((2, MASK[1], MASK[0]), np.float32)
    found[0] = 0.9  # the teacher calls everything drivable
    fixed = with_truth(found, truth)
    middle, bottom = MASK[0] // 2, MASK[1] - 2
    assert fixed[0, bottom, middle] == 1, "our lane always is"
    assert fixed[0, bottom, 20] == pytest.approx(0.9), "the rest is what the teacher says"
    assert fixed[0, 10, middle] == 0, "the sky never is"
    assert fixed[0, 115, middle] == 0, "nor is a car"
    row = fixed[1, 170]
    # The mask's row 170 is the picture's row 341.
    place = 0.5 + (0.3 - 0.5) * (341 / 360 - 0.45) / 0.55
    assert row[round(place * MASK[0])] > 0.9 and row[middle] == 0


def test_pictures_are_collected_then_labelled(tmp_path: Path, teacher: Path) -> None:
    scene = tmp_path / "rendered"
    scene.mkdir()
    image = draw([], (640, 384))
    lines = [
        {"side": side, "points": line(place, (640, 384)).tolist()}
        for side, place in ((-1, 0.3), (1, 0.7))
    ]
    cv2.imwrite(str(scene / "a.jpg"), image)
    cv2.imwrite(str(scene / "a.drivable.png"), (image[..., 1] > 128).astype(np.uint8) * 255)
    (scene / "annotations.json").write_text(
        json.dumps({"images": [{"file_name": "a.jpg", "lanes": lines}]})
    )
    real = tmp_path / "real"
    real.mkdir()
    entries = []
    for name, picture in (
        ("road", draw([line(0.5, (640, 640))], (640, 640))),
        ("none", np.zeros((640, 640, 3), np.uint8)),
    ):
        cv2.imwrite(str(real / f"{name}.webp"), picture, [cv2.IMWRITE_WEBP_QUALITY, 101])
        entries.append(
            {
                "id": len(entries),
                "file_name": f"{name}.webp",
                "source": "lights_korea",
                "split": "train",
            }
        )
    entries.append({"id": 9, "file_name": "road.webp", "source": "lights_korea", "split": "eval"})
    (real / "annotations.json").write_text(json.dumps({"images": entries}))
    out = tmp_path / "out"
    assert main(["-o", str(out), "--pictures", str(real), "--rendered", str(scene)]) == 0
    assert sorted(json.loads((out / "index.json").read_text())) == [
        "lights_korea_none", "lights_korea_road", "rendered_a",
    ]  # fmt: skip
    assert main(["-o", str(out), "--teacher", str(teacher)]) == 0
    data = LaneData(out, {"rendered": 1.0})
    assert set(data.index) == {"lights_korea_road", "rendered_a"}, "what shows no road is left out"
    _, masks = data.read("rendered_a")
    assert masks.shape == (MASK[1], MASK[0], 2)
    assert (masks[..., 1] > 127).sum() > 300, "lines the teacher cannot see, from the truth"
    picture, masks = data.read("lights_korea_road")
    assert picture.shape == (360, 640, 3)
    assert (masks[..., 0] > 127).mean() > 0.1 and (masks[..., 1] > 127).any()


def test_another_network_is_no_teacher(bright_engine: Path) -> None:
    with pytest.raises(EngineError, match="must have outputs da and ll"):
        Teacher(bright_engine)
