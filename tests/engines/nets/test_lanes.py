from __future__ import annotations

import copy
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from engines.nets.lanes import ConvUnit, LanesNet, Rise, settle  # noqa: E402
from engines.nets.twinlite import TwinLite, load_twinlite, thin  # noqa: E402
from engines.nets.twinlite_fit import TAPS, solve  # noqa: E402
from perception.errors import EngineError, InputError  # noqa: E402
from perception.evaluation.lanes import mask_iou  # noqa: E402


def lively() -> LanesNet:
    """A network whose normalisations are more than the identity."""
    torch.manual_seed(0)
    net = LanesNet().eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.2)
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 1.5)
    return net


@pytest.mark.parametrize("size", [(64, 96), (96, 32)])
def test_any_multiple_of_32_comes_out_at_half_size(size: tuple[int, int]) -> None:
    with torch.no_grad():
        assert lively()(torch.rand(2, 3, *size)).shape == (2, 2, size[0] // 2, size[1] // 2)


def test_folding_changes_nothing() -> None:
    net = lively()
    folded = copy.deepcopy(net)
    folded.fold()
    assert folded.folded and not net.folded
    x = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        assert torch.allclose(net(x), folded(x), atol=1e-4)


def test_settling_keeps_the_function_and_fills_in_the_statistics() -> None:
    net = lively()
    for module in net.modules():
        if isinstance(module, (ConvUnit, Rise)):
            module.norm.running_mean.zero_()
            module.norm.running_var.fill_(1)
    x = torch.rand(3, 3, 64, 96)
    with torch.no_grad():
        before = net(x)
        settle(net, x)
        assert torch.allclose(net(x), before, atol=1e-3)
        inner = net.first.conv(x)
    assert torch.allclose(net.first.norm.running_mean, inner.mean(dim=(0, 2, 3)), atol=1e-4)


def test_what_is_not_twinlitenet_is_refused(bright_engine: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="is not TwinLiteNet"):
        TwinLite(bright_engine)
    with pytest.raises(InputError, match="no such checkpoint"):
        TwinLite(tmp_path / "none.onnx")


def test_a_layer_is_solved_exactly_where_it_can_be_and_stays_where_nothing_is_known() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 6))
    x[:, 5] = 0  # an input that is always zero says nothing about its weight
    true, shift = rng.normal(size=(3, 6)), rng.normal(size=3)
    old = np.zeros((3, 6))
    old[:, 5] = 7
    weight, bias = solve(x, x @ true.T + shift, old, np.zeros(3))
    assert np.allclose(weight[:, :5], true[:, :5], atol=0.01) and np.allclose(weight[:, 5], 7)
    assert bias is not None and np.allclose(bias, shift, atol=0.01)


def test_a_convolution_of_low_rank_is_split_exactly() -> None:
    rng = np.random.default_rng(0)
    weight = np.einsum("orhw,ri->oihw", rng.normal(size=(5, 3, 3, 3)), rng.normal(size=(3, 8)))
    first, rest = thin(weight, rng.normal(size=(400, 8)), 3)
    assert first.shape == (3, 8) and rest.shape == (5, 3, 3, 3)
    assert np.allclose(np.einsum("orhw,ri->oihw", rest, first), weight, atol=1e-6)


@pytest.mark.slow
def test_the_public_weights_start_it_close_to_the_teacher(shared: Path) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    folder = shared / "data" / "road" / "gtsdb"
    images = [cv2.imread(str(path)) for path in sorted(folder.glob("*.webp"))[:3]]
    images = [cv2.resize(image, (640, 376))[8:368, :, ::-1] for image in images]
    pictures = np.stack([image.transpose(2, 0, 1) for image in images]).astype(np.float32) / 255
    path = shared / "weights" / "twinlitenet_360x640.onnx"
    net, twin = LanesNet(), TwinLite(path, more=[tap for tap, _ in TAPS.values()])
    kept = load_twinlite(net, twin, pictures)
    assert len(set(kept.second.tolist())) == 16 and len(set(kept.wide.tolist())) == 128
    _, lanes = overlaps(net, twin, pictures)
    assert lanes > 0.35, "a line moved by half its width has an overlap of 0.33"


def overlaps(net: LanesNet, twin: TwinLite, pictures: np.ndarray) -> np.ndarray:
    """Mean IoU with the teacher of the drivable area and of lane paint."""
    found = []
    for picture in pictures:
        logits = twin.run(picture[None], ["da", "ll"])
        with torch.no_grad():
            masks = net.eval()(torch.from_numpy(picture[None]))[0].numpy()
        found.append(
            [
                mask_iou(cv2.resize(mask, (640, 360)) > 0, both[1] > both[0])
                for mask, both in zip(masks, logits, strict=True)
            ]
        )
    return np.mean(found, axis=0)
