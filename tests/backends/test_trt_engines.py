"""Every installed engine goes through the backend, by the fake: built, judged, and read by its own family."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from perception.backends import Engine, FrameEngine, open_engine
from perception.backends.installed import installed_engines
from perception.backends.shared import share
from perception.backends.trt import TensorRTEngine
from perception.backends.trt_build import build
from perception.card import EngineCard, InputSpec
from perception.commands.build import detect, detector_of
from perception.errors import EngineError
from perception.models.classifier import Classifier
from perception.models.detector import FAMILIES
from perception.models.lane_stage import FAMILIES as LANE_FAMILIES
from perception.models.lanes import LaneFinder
from perception.types import Frame

ENGINES = installed_engines()


@pytest.fixture(scope="module")
def picture(root: Path) -> Any:
    from perception.sources import open_source

    source = open_source(root / "sample_videos" / "day_highway.mp4", decode="cpu")
    frame = next(iter(source))
    image = frame.image
    source.close()
    return image


def answer(engine: Engine, picture: Any) -> Any:
    """What the engine's family makes of the picture, as one array."""
    card = engine.card
    assert card is not None
    if card.family in FAMILIES:
        found = detect(engine, picture)
        return np.column_stack([found.xyxy, found.score * 100, found.class_id])
    if card.family in LANE_FAMILIES:
        masks = LaneFinder(engine, card).masks(Frame(picture))
        return np.stack([masks.drivable, masks.lane])
    boxes = np.array([[100 + 9 * i, 200, 160 + 9 * i, 260] for i in range(5)], np.float32)
    return Classifier(engine)(Frame(picture), boxes)


@pytest.mark.parametrize("name", sorted(ENGINES))
def test_an_installed_engine_is_built_and_answers_as_on_onnx_runtime(
    install: Callable[[str], Any], name: str, picture: Any
) -> None:
    install("8.6.0")
    path = ENGINES[name]
    # A two-stage engine has constant shapes, its batch too.
    fixed = open_engine(path, backend="onnxruntime").inputs[0].shape[0]
    batch = 3 if fixed < 0 else fixed
    report = build(
        path, precision="fp16", batch=batch, pictures=[picture], detect=detector_of(path)
    )
    assert report.parity is not None and report.parity["passed"]

    with TensorRTEngine(path, prepare="host") as engine:
        have = answer(engine, picture)

        class Sized:
            """ONNX Runtime with the input's size that the plan was built for."""

            path, card, backend = engine.path, engine.card, "onnxruntime"
            inputs, outputs = engine.inputs, engine.outputs
            infer = open_engine(path, backend="onnxruntime").infer

        want = answer(Sized(), picture)  # type: ignore[arg-type]
    assert have.shape == want.shape
    assert np.abs(have - want).max(initial=0) < 0.05


def two_outputs(path: Path, *, family: str) -> Path:
    """Images -> rows ordered by score (TopK), and their number: as a second stage gives them."""
    card = EngineCard(
        name="two", family=family, task="road", classes=("car",), input=InputSpec(size=(64, 32)),
        decoder={"second": 0.5},
    )  # fmt: skip
    random = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(random.standard_normal((6, 3, 4, 4)).astype(np.float32) / 50, "w"),
        numpy_helper.from_array(np.array([0, 6, -1], np.int64), "flat"),
        numpy_helper.from_array(np.array([10], np.int64), "ten"),
        numpy_helper.from_array(np.array([4], np.int64), "column"),
        numpy_helper.from_array(np.array([0, 10, 1], np.int64), "shape3"),
    ]
    node = helper.make_node
    nodes = [
        node("Conv", ["images", "w"], ["a"], strides=[4, 4], kernel_shape=[4, 4], name="conv"),
        node("Sigmoid", ["a"], ["b"], name="act"),
        node("Reshape", ["b", "flat"], ["c"], name="flatten"),
        node("Transpose", ["c"], ["rows"], perm=[0, 2, 1], name="turn"),
        node("Gather", ["rows", "column"], ["score3"], axis=2, name="score"),
        node("TopK", ["score3", "ten"], ["best", "index"], axis=1, name="best"),
        node("Expand", ["index", "six"], ["index6"], name="spread"),
        node("GatherElements", ["rows", "index6"], ["predictions"], axis=1, name="pick"),
    ]
    weights.append(numpy_helper.from_array(np.array([1, 1, 6], np.int64), "six"))
    graph = helper.make_graph(
        nodes,
        "two",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, 32, 64])],
        [
            helper.make_tensor_value_info("predictions", TensorProto.FLOAT, ["n", 10, 6]),
            helper.make_tensor_value_info("best", TensorProto.FLOAT, ["n", 10, 1]),
        ],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, card.to_metadata())
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def test_several_outputs_and_batches_go_the_same_way(each: Any, tmp_path: Path) -> None:
    path = two_outputs(tmp_path / "two.onnx", family="classifier")
    build(path, precision="fp32", batch=4)
    reference = open_engine(path, backend="onnxruntime")
    random = np.random.default_rng(1)
    with TensorRTEngine(path) as engine:
        assert [spec.shape for spec in engine.outputs] == [(-1, 10, 6), (-1, 10, 1)]
        for count in (1, 3, 4, 3):
            given = {"images": random.random((count, 3, 32, 64), np.float32) * 255}
            want = reference.infer(given)
            have = engine.infer(given)
            assert set(have) == {"predictions", "best"}
            for name, value in want.items():
                assert np.array_equal(have[name], value)


def test_rows_in_order_of_score_are_not_compared_raw(fake: Any, tmp_path: Path) -> None:
    path = two_outputs(tmp_path / "two.onnx", family="two_stage")
    image = np.zeros((32, 64, 3), np.uint8)

    with pytest.raises(EngineError, match="nothing was found to compare"):
        build(path, precision="fp32", pictures=[image])


def test_streams_in_threads_of_their_own_share_a_plan(
    fake: Any, tiny: Path, make_tiny: Callable[..., Path]
) -> None:
    """Never more pictures in a call than the plan takes, whoever calls from wherever."""
    build(tiny, precision="fp32", batch=3, parity=False)
    reference = open_engine(tiny, backend="onnxruntime")
    images = [np.random.default_rng(i).integers(0, 255, (40, 96, 3), np.uint8) for i in range(8)]
    with TensorRTEngine(tiny, prepare="host") as engine:
        assert engine.card is not None and engine.most_pictures == 3
        spec = engine.card.input
        shared = share(engine)
        assert isinstance(shared, FrameEngine)
        found: dict[int, Any] = {}

        def stream(number: int) -> None:
            for _ in range(3):
                outputs, _ = shared.infer_frames([Frame(images[number])], spec)
                found[number] = outputs["boxes"]

        threads = [threading.Thread(target=stream, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    from perception.preprocess import Preprocessor

    for number, image in enumerate(images):
        tensor, _ = Preprocessor(spec, size=(64, 32))(Frame(image))
        want = reference.infer({"images": tensor})["boxes"]
        assert np.abs(found[number] - want).max() < 1e-3
