"""The face networks compute what the public files they start from compute."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnxruntime = pytest.importorskip("onnxruntime")

from engines.nets import face_anchor, face_free  # noqa: E402
from perception.errors import EngineError  # noqa: E402
from perception.models.anchors import anchor_boxes  # noqa: E402
from perception.models.yunet import joined  # noqa: E402


@pytest.fixture
def weights(root: Path) -> Path:
    folder = root.parent / "shared" / "weights"
    if not (folder / "ultralight_rfb_320.onnx").is_file():
        pytest.skip("needs the public checkpoints in ../shared/weights")
    return folder


def run(path: Path, feed: np.ndarray) -> dict[str, np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_outputs()]
    found = session.run(None, {session.get_inputs()[0].name: feed})
    return dict(zip(names, found, strict=True))


@torch.no_grad()
def test_face_free_starts_as_yunet(weights: Path) -> None:
    net = face_free.FaceFreeNet()
    face_free.load_yunet(net, weights / "yunet_n_dynamic.onnx")
    assert sum(p.numel() for p in net.parameters()) == 73_840
    picture = np.random.default_rng(0).uniform(0, 255, (1, 3, 96, 160)).astype(np.float32)
    wanted = joined(run(weights / "yunet_n_dynamic.onnx", picture))
    found = net(torch.from_numpy(picture))[0]
    found[:, 4:6] = found[:, 4:6].sigmoid()
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-3, atol=1e-3)
    with pytest.raises(EngineError, match="has no stored weight and bias"):
        face_free.load_yunet(net, weights / "ultralight_rfb_320.onnx")


@torch.no_grad()
def test_face_anchor_starts_as_ultra_light(weights: Path) -> None:
    net = face_anchor.FaceAnchorNet()
    face_anchor.load_ultralight(net, weights / "ultralight_rfb_320.onnx")
    picture = np.random.default_rng(0).uniform(-1, 1, (1, 3, 240, 320)).astype(np.float32)
    wanted = run(weights / "ultralight_rfb_320.onnx", picture)
    raw = net(torch.from_numpy(picture))[0].numpy()
    score = 1 / (1 + np.exp(-raw[:, 4]))
    np.testing.assert_allclose(score, wanted["scores"][0, :, 1], rtol=1e-3, atol=1e-4)
    anchors = anchor_boxes((320, 240), face_anchor.STRIDES, face_anchor.SIZES)
    centre = anchors[:, :2] + raw[:, :2] * 0.1 * anchors[:, 2:]
    half = anchors[:, 2:] * np.exp(raw[:, 2:4] * 0.2) / 2
    boxes = np.concatenate([centre - half, centre + half], axis=1) / (320, 240, 320, 240)
    # The file cuts its anchors of 256 pixels to the height of its input; ours stay square.
    same = anchors[:, 3] <= 240
    np.testing.assert_allclose(boxes[same], wanted["boxes"][0][same], rtol=1e-3, atol=1e-3)
    with pytest.raises(EngineError, match="expected"):
        face_anchor.load_ultralight(net, weights / "yunet_n_320.onnx")


@pytest.mark.parametrize("net", [face_free.FaceFreeNet, face_anchor.FaceAnchorNet])
@torch.no_grad()
def test_any_input_size_gives_one_row_per_cell_or_anchor(net: type) -> None:
    for width, height in ((64, 32), (96, 160)):
        found = net()(torch.zeros(2, 3, height, width))
        if net is face_free.FaceFreeNet:
            cells = sum((width // s) * (height // s) for s in face_free.STRIDES)
            assert found.shape == (2, cells, 16)
        else:
            anchors = anchor_boxes((width, height), face_anchor.STRIDES, face_anchor.SIZES)
            assert found.shape == (2, len(anchors), 5)
