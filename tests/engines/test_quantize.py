"""INT8 and FP16 variants of an engine: what they say, what they keep, what they compute."""

from __future__ import annotations

import json

import cv2
import numpy as np
import onnx
import pytest

from engines.export import variants
from engines.quantize import (
    calibration_pictures,
    depthwise_nodes,
    main,
    sensitive_nodes,
    write_half,
    write_int8,
)
from perception.backends import open_engine
from perception.backends.choice import sha256
from perception.errors import EngineError, InputError, RequestError


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for i in range(4):
        image = np.full((96, 160, 3), 60, np.uint8)
        x, y = rng.integers(0, 5), rng.integers(0, 3)
        image[32 * y : 32 * y + 32, 32 * x : 32 * x + 32] = 230
        cv2.imwrite(str(folder / f"{i}.png"), image)
    return folder


def graph(*nodes: onnx.NodeProto, outputs: str) -> onnx.ModelProto:
    made = onnx.helper.make_graph(
        list(nodes),
        "g",
        [onnx.helper.make_tensor_value_info("x", 1, None)],
        [onnx.helper.make_tensor_value_info(name, 1, None) for name in outputs.split()],
    )
    return onnx.helper.make_model(made)


def test_the_last_layers_with_weights_and_what_follows_them_are_sensitive():
    node = onnx.helper.make_node
    model = graph(
        node("Conv", ["x", "w"], ["a"], name="body"),
        node("Relu", ["a"], ["b"], name="relu"),
        node("Conv", ["b", "v"], ["c"], name="boxes"),
        node("Conv", ["b", "u"], ["d"], name="scores"),
        node("Concat", ["c", "d"], ["e"], name="join", axis=1),
        outputs="e",
    )
    assert set(sensitive_nodes(model)) == {"join", "boxes", "scores"}


def test_depthwise_convolutions_are_found_by_their_groups():
    node = onnx.helper.make_node
    model = graph(
        node("Conv", ["x", "w"], ["a"], name="deep", group=8),
        node("Conv", ["a", "v"], ["b"], name="point", group=1),
        node("Conv", ["b", "u"], ["c"], name="plain"),
        outputs="c",
    )
    assert depthwise_nodes(model) == ["deep"]


def two_layers(path, source):
    """The bright engine with a layer before it that changes nothing, and so can be quantised."""
    model = onnx.load(str(source))
    weight = np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "same"))
    model.graph.node.insert(
        0, onnx.helper.make_node("Conv", ["images", "same"], ["images2"], name="first")
    )
    for node in list(model.graph.node)[1:]:
        for i, name in enumerate(node.input):
            if name == "images":
                node.input[i] = "images2"
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize("layout", ["onnxruntime", "openvino", "tensorrt"])
def test_an_int8_variant_is_quantised_says_what_it_is_and_computes_nearly_the_same(
    tmp_path, bright_engine, pictures, layout
):
    engine = two_layers(tmp_path / "two.onnx", bright_engine)
    output = tmp_path / f"two.{layout}.onnx"
    write_int8(
        engine, output, pictures=calibration_pictures(pictures, 4), layout=layout, change=-0.001
    )
    model = onnx.load(str(output))
    kinds = [node.op_type for node in model.graph.node]
    assert "QuantizeLinear" in kinds and "DequantizeLinear" in kinds
    variant = open_engine(output, backend="onnxruntime")
    card = variant.card
    assert card.precision == "int8" and card.layout == layout and card.name == "bright"
    assert card.made_from_sha256 == sha256(engine) and card.metric["ap_change"] == -0.001
    feed = np.full((1, 3, 96, 160), 60, np.float32)
    feed[:, :, 32:64, 64:96] = 230
    expected = open_engine(engine, backend="onnxruntime").infer({"images": feed})["predictions"]
    found = variant.infer({"images": feed})["predictions"]
    assert np.abs(found - expected).max() < 0.2
    assert found[0, :, 4].argmax() == expected[0, :, 4].argmax() == 7


def test_the_layout_of_tensorrt_has_pairs_without_zero_points_and_biases_alone(
    tmp_path, bright_engine, pictures
):
    engine = two_layers(tmp_path / "two.onnx", bright_engine)
    output = tmp_path / "two.int8-tensorrt.onnx"
    write_int8(engine, output, pictures=calibration_pictures(pictures, 4), layout="tensorrt")

    model = onnx.load(str(output))
    constants = {item.name: onnx.numpy_helper.to_array(item) for item in model.graph.initializer}
    maker = {name: node for node in model.graph.node for name in node.output}
    pairs = [n for n in model.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert len(pairs) == 4
    for node in pairs:
        assert constants[node.input[2]].dtype == np.int8 and not constants[node.input[2]].any()
    (layer,) = [node for node in model.graph.node if node.name.startswith("first")]
    weights = maker[maker[layer.input[1]].input[0]].input[0]
    assert constants[weights].dtype == np.float32, "TensorRT quantises weights itself"
    assert all(len(node.input) < 3 or node.input[2] in constants for node in [layer])


def test_an_fp16_variant_has_half_weights_and_float_inputs(tmp_path, bright_engine):
    output = tmp_path / "half.onnx"
    write_half(bright_engine, output)
    engine = open_engine(output, backend="onnxruntime")
    assert engine.card.precision == "fp16" and engine.inputs[0].dtype == np.float32
    model = onnx.load(str(output))
    assert onnx.TensorProto.FLOAT16 in {entry.data_type for entry in model.graph.initializer}


def test_what_cannot_be_quantised_is_refused(tmp_path, bright_engine, pictures):
    chosen = calibration_pictures(pictures, 2)
    with pytest.raises(InputError, match="no such file"):
        write_int8(tmp_path / "missing.onnx", tmp_path / "o.onnx", pictures=chosen)
    with pytest.raises(RequestError, match="layout must be onnxruntime or openvino or tensorrt"):
        write_int8(bright_engine, tmp_path / "o.onnx", pictures=chosen, layout="tpu")
    plain = tmp_path / "plain.onnx"
    model = onnx.load(str(bright_engine))
    del model.metadata_props[:]
    onnx.save(model, str(plain))
    with pytest.raises(
        EngineError, match=r"carries no card.*--family ultralight or yolox or yunet"
    ):
        write_int8(plain, tmp_path / "o.onnx", pictures=chosen)
    with pytest.raises(EngineError, match="a YOLOX export must have"):
        write_int8(plain, tmp_path / "o.onnx", pictures=chosen, family="yolox")
    half = tmp_path / "half.onnx"
    write_half(bright_engine, half)
    with pytest.raises(EngineError, match="is fp16 already; give the FP32 file"):
        write_int8(half, tmp_path / "o.onnx", pictures=chosen)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="no picture to calibrate with"):
        calibration_pictures(empty, 3)


def test_calibration_takes_training_pictures_only(tmp_path):
    images = [
        {"id": i, "file_name": f"{i}.jpg", "width": 8, "height": 8, "split": split}
        for i, split in enumerate(["train", "eval", "train", "train"])
    ]
    content = {"images": images, "annotations": [], "categories": []}
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    names = [path.name for path in calibration_pictures(tmp_path, 10)]
    assert names == ["0.jpg", "2.jpg", "3.jpg"]
    assert len(calibration_pictures(tmp_path, 2)) == 2


def test_the_command_writes_beside_the_engine(tmp_path, bright_engine, pictures, capsys):
    engine = two_layers(tmp_path / "two.onnx", bright_engine)
    assert main([str(engine), "--pictures", str(pictures), "--count", "2"]) == 0
    assert (tmp_path / "two.int8.onnx").is_file()
    assert main([str(engine), "--fp16"]) == 0
    assert main([str(engine), "--layout", "openvino", "--pictures", str(pictures)]) == 0
    assert (tmp_path / "two.int8-openvino.onnx").is_file()
    assert "two.fp16.onnx" in capsys.readouterr().out
    assert main([str(tmp_path / "no.onnx"), "--fp16"]) == 2


def test_an_export_writes_the_variants_it_was_asked_for(tmp_path, bright_engine, pictures):
    engine = two_layers(tmp_path / "two.onnx", bright_engine)
    assert variants(engine, int8=None, fp16=False) == []
    names = [path.name for path in variants(engine, int8=str(pictures), fp16=True)]
    assert set(names) > {"two.int8.onnx", "two.int8-openvino.onnx", "two.fp16.onnx"}
    assert all((tmp_path / name).is_file() for name in names)


def public_yolox(path, *, side=64):
    """A network as public YOLOX exports are: opset 11, one input size, three maps, no card."""
    node, rng = onnx.helper.make_node, np.random.default_rng(0)
    weights = {"body": rng.normal(0, 0.01, (4, 3, 1, 1))}
    nodes = [node("Conv", ["images", "body"], ["a"], name="body")]
    for stride in (8, 16, 32):
        weights[f"w{stride}"] = rng.normal(0, 0.1, (85, 4, 1, 1))
        size = [stride, stride]
        nodes += [
            node("AveragePool", ["a"], [f"p{stride}"], kernel_shape=size, strides=size),
            node("Conv", [f"p{stride}", f"w{stride}"], [f"c{stride}"], name=f"head{stride}"),
            node("Reshape", [f"c{stride}", "rows"], [f"r{stride}"]),
        ]
    nodes += [
        node("Concat", ["r8", "r16", "r32"], ["joined"], axis=2),
        node("Transpose", ["joined"], ["output"], perm=[0, 2, 1]),
    ]
    cells = sum((side // stride) ** 2 for stride in (8, 16, 32))
    constants = [
        onnx.numpy_helper.from_array(value.astype(np.float32), name)
        for name, value in weights.items()
    ]
    constants.append(onnx.numpy_helper.from_array(np.array([1, 85, -1], np.int64), "rows"))
    made = onnx.helper.make_graph(
        nodes,
        "yolox",
        [onnx.helper.make_tensor_value_info("images", 1, [1, 3, side, side])],
        [onnx.helper.make_tensor_value_info("output", 1, [1, cells, 85])],
        constants,
    )
    opset = [onnx.helper.make_opsetid("", 11)]
    onnx.save(onnx.helper.make_model(made, opset_imports=opset, ir_version=8), str(path))
    return path


def test_a_public_checkpoint_gets_a_card_and_keeps_its_size(tmp_path, pictures):
    engine = public_yolox(tmp_path / "nano.onnx")
    arguments = [str(engine), "--family", "yolox", "--pictures", str(pictures)]
    assert main([*arguments, "--layout", "openvino"]) == 0
    variant = open_engine(tmp_path / "nano.int8-openvino.onnx", backend="onnxruntime")
    card = variant.card
    assert (card.family, card.name, card.precision) == ("yolox", "nano", "int8")
    assert card.input.size == (64, 64) and variant.inputs[0].shape == (1, 3, 64, 64)
    feed = np.random.default_rng(1).uniform(0, 255, (1, 3, 64, 64)).astype(np.float32)
    expected = open_engine(engine, backend="onnxruntime").infer({"images": feed})["output"].copy()
    found = variant.infer({"images": feed})["output"]
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()
