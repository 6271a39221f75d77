"""The road network, its start from a public checkpoint, and the box arithmetic of its cells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")

from engines.nets.road import RoadNet, boxes_of, grid  # noqa: E402
from engines.nets.yolox import load_yolox, restore_normalisation, running_order  # noqa: E402
from perception.errors import EngineError  # noqa: E402


def test_output_has_a_row_per_cell_at_any_size() -> None:
    net = RoadNet(9).eval()
    for width, height in ((64, 64), (128, 96)):
        cells = sum(width // s * height // s for s in (8, 16, 32))
        with torch.no_grad():
            assert net(torch.zeros(2, 3, height, width)).shape == (2, cells, 14)


def test_fresh_network_expects_few_objects() -> None:
    net = RoadNet(9).eval()
    with torch.no_grad():
        raw = net(torch.zeros(1, 3, 64, 64))
    assert raw[..., 4:].sigmoid().max() < 0.1


def test_cells_are_level_by_level_and_row_by_row() -> None:
    corners, strides = grid(64, 32)
    assert corners[:9].tolist() == [[x, 0] for x in range(8)] + [[0, 1]]
    assert strides.tolist() == [8] * 32 + [16] * 8 + [32] * 2


def test_raw_zero_is_a_box_of_one_stride_at_the_cells_corner() -> None:
    corners, strides = grid(64, 32)
    boxes = boxes_of(torch.zeros(42, 5), corners, strides)
    assert boxes[9].tolist() == [8 - 4, 8 - 4, 8 + 4, 8 + 4]
    raw = torch.tensor([0.5, 0.5, np.log(2.0), np.log(3.0)]).repeat(42, 1)
    assert boxes_of(raw, corners, strides)[0].tolist() == pytest.approx([-4, -8, 12, 16], abs=1e-4)


def test_public_checkpoint_gives_its_own_outputs(shared: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    path = shared / "weights" / "yolox_nano.onnx"
    net = RoadNet(80)
    load_yolox(net, path)
    rng = np.random.default_rng(0)
    restore_normalisation(
        net, [torch.from_numpy(rng.uniform(0, 255, (2, 3, 128, 128)).astype(np.float32))]
    )
    picture = rng.uniform(0, 255, (1, 3, 416, 416)).astype(np.float32)
    with torch.no_grad():
        found = net.eval()(torch.from_numpy(picture))
    found[..., 4:] = found[..., 4:].sigmoid()
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    expected = session.run(None, {session.get_inputs()[0].name: picture})[0]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3, atol=1e-3)


def test_restored_normalisation_has_the_statistics_of_its_input() -> None:
    net = RoadNet(2).eval()
    batch = torch.from_numpy(np.random.default_rng(1).uniform(0, 255, (4, 3, 64, 64))).float()
    with torch.no_grad():
        before = net(batch)
        restore_normalisation(net, [batch])
        after = net(batch)
    # A fresh normalisation has mean 0, variance 1: not the identity only by its eps.
    torch.testing.assert_close(before, after, rtol=1e-2, atol=1e-2)
    stem = net.backbone.stem
    measured = stem.conv(
        torch.cat([batch[..., i::2, j::2] for j in (0, 1) for i in (0, 1)], 1)
    ).mean((0, 2, 3))
    torch.testing.assert_close(stem.norm.running_mean, measured, rtol=1e-3, atol=1e-3)


def test_classes_take_their_row_of_the_checkpoint(shared: Path) -> None:
    path = shared / "weights" / "yolox_nano.onnx"
    whole, ours = RoadNet(80), RoadNet(3)
    load_yolox(whole, path)
    load_yolox(ours, path, ["bus", "plate", "person"])
    for a, b in zip(whole.heads, ours.heads, strict=True):
        assert torch.equal(a.classes.weight[5], b.classes.weight[0])
        assert torch.equal(a.classes.weight[0], b.classes.weight[2])
        assert float(b.classes.bias[1].detach()) == pytest.approx(-4.595, abs=1e-3)


def test_a_file_of_another_network_is_refused(shared: Path) -> None:
    with pytest.raises(EngineError, match=r"fastestdet\.onnx: .*convolution"):
        load_yolox(RoadNet(80), shared / "weights" / "fastestdet.onnx")


def test_convolutions_are_listed_in_running_order() -> None:
    net = RoadNet(9)
    order = running_order(net)
    assert order[0] is net.backbone.stem.conv
    assert order[-1] is net.heads[-1].objectness
    assert len(order) == len(set(map(id, order))) == 113
