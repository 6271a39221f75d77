"""Rewrites change no result."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from engines.rewrite import (
    DENSE,
    MARK,
    cells_by_transposed_maps,
    dense_transposed,
    focus_as_convolution,
    focus_weight,
    grouped_weight,
)


class Focus(nn.Module):
    """Focus as YOLOX writes it, then a convolution."""

    def __init__(self, *, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(12, 4, 3, stride, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        corners = x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]
        return torch.sigmoid(self.conv(torch.cat(corners, dim=1)))


def exported(net: nn.Module, path) -> onnx.ModelProto:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            net,
            (torch.zeros(1, 3, 32, 32),),
            str(path),
            dynamo=False,
            opset_version=17,
            input_names=["images"],
            dynamic_axes={"images": {0: "n", 2: "h", 3: "w"}},
        )
    return onnx.load(str(path))


def outputs(model: onnx.ModelProto, feed: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"images": feed})[0]


def test_focus_becomes_one_convolution_with_the_same_results(tmp_path):
    model = exported(Focus(), tmp_path / "focus.onnx")
    feed = np.random.default_rng(0).normal(size=(2, 3, 24, 40)).astype(np.float32)
    expected = outputs(model, feed)
    before = {entry.name: onnx.numpy_helper.to_array(entry) for entry in model.graph.initializer}
    assert focus_as_convolution(model)
    onnx.checker.check_model(model, full_check=True)
    kinds = [node.op_type for node in model.graph.node]
    assert "Slice" not in kinds and "Concat" not in kinds and kinds.count("Conv") == 1
    np.testing.assert_allclose(outputs(model, feed), expected, atol=1e-5)
    wide = next(entry for entry in model.graph.initializer if entry.name.endswith(MARK))
    np.testing.assert_array_equal(
        focus_weight(onnx.numpy_helper.to_array(wide)), before[wide.name.removesuffix(MARK)]
    )


def test_a_graph_that_begins_otherwise_is_left_as_it_is(tmp_path, bright_engine):
    for model in (
        exported(Focus(stride=2), tmp_path / "strided.onnx"),
        onnx.load(str(bright_engine)),
    ):
        before = model.SerializeToString()
        assert not focus_as_convolution(model)
        assert model.SerializeToString() == before


class Heads(nn.Module):
    """Two maps as rows of cells, as detectors end."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 2, 2)
        self.second = nn.Conv2d(3, 6, 4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = [self.first(x), self.second(x)]
        return torch.cat([one.flatten(2) for one in maps], 2).transpose(1, 2)


def test_cells_come_from_each_map_by_itself_with_the_same_results(tmp_path):
    model = exported(Heads(), tmp_path / "heads.onnx")
    feed = np.random.default_rng(0).normal(size=(2, 3, 24, 40)).astype(np.float32)
    expected = outputs(model, feed)
    assert cells_by_transposed_maps(model)
    onnx.checker.check_model(model, full_check=True)
    np.testing.assert_array_equal(outputs(model, feed), expected)
    last = [node for node in model.graph.node if node.output[0] == model.graph.output[0].name]
    assert [node.op_type for node in last] == ["Concat"]
    assert not cells_by_transposed_maps(model), "it does not end so any more"


def test_other_ends_are_left_alone(tmp_path):
    model = exported(Focus(), tmp_path / "focus.onnx")
    before = model.SerializeToString()
    assert not cells_by_transposed_maps(model) and model.SerializeToString() == before


def test_a_transposed_convolution_in_groups_becomes_a_plain_one_with_the_same_results(tmp_path):
    net = nn.Sequential(nn.Conv2d(3, 6, 1), nn.ConvTranspose2d(6, 9, 2, 2, groups=3))
    model = exported(net, tmp_path / "rise.onnx")
    feed = np.random.default_rng(0).normal(size=(2, 3, 24, 40)).astype(np.float32)
    expected = outputs(model, feed)
    assert dense_transposed(model)
    onnx.checker.check_model(model, full_check=True)
    np.testing.assert_allclose(outputs(model, feed), expected, atol=1e-6)
    wide = next(entry for entry in model.graph.initializer if entry.name.endswith(DENSE))
    array = onnx.numpy_helper.to_array(wide)
    assert array.shape == (6, 9, 2, 2)
    np.testing.assert_array_equal(grouped_weight(array, 3), net[1].weight.detach().numpy())
    assert not dense_transposed(model), "there are none any more"
