"""The face detector with anchors: Ultra-Light RFB's shape, so that its public weights can start it.

SSD (Liu et al., arXiv:1512.02325) on a MobileNet of small width, with a receptive field block (Liu et al.,
"Receptive Field Block Net", arXiv:1711.07767, figure 4) at stride 8, as in Linzaer's Ultra-Light-Fast-
Generic-Face-Detector (MIT). The code is the project's own. Normalisations are folded away on loading.

The network takes RGB pictures, (B, 3, H, W) float (pixel - 127) / 128, and returns (B, anchors, 5) raw
numbers: the four corrections of an anchor and the logit of a face. Anchors: see
`perception.models.anchors.anchor_boxes`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from perception.errors import EngineError

STRIDES = (8, 16, 32, 64)
SIZES = ((10, 16, 24), (32, 48), (64, 96), (128, 192, 256))
VARIANCES = (0.1, 0.2)
MEAN, STD = 127.0, 128.0


def conv(
    channels_in: int, channels_out: int, kernel: int, *, stride: int = 1, spread: int = 1
) -> nn.Conv2d:
    """A convolution whose output has the input's size over `stride`; `spread` is its dilation."""
    return nn.Conv2d(
        channels_in, channels_out, kernel, stride, spread * (kernel // 2), dilation=spread
    )


class Separable(nn.Module):
    """Depthwise 3x3 and pointwise, each with its activation."""

    def __init__(self, channels_in: int, channels_out: int, *, stride: int = 1) -> None:
        super().__init__()
        self.depth = nn.Conv2d(channels_in, channels_in, 3, stride, 1, groups=channels_in)
        self.point = nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.point(functional.relu(self.depth(x))))


class Branch(nn.Module):
    """One branch of the receptive field block: activations follow all but the first and the last layer."""

    def __init__(self, *layers: nn.Conv2d) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        last = len(self.layers) - 1
        for number, layer in enumerate(self.layers):
            x = layer(x)
            if 0 < number < last:
                x = functional.relu(x)
        return x


class ReceptiveField(nn.Module):
    """Three dilated branches and a short cut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        few, some = channels // 8, channels // 4
        more = few // 2 * 3
        self.branches = nn.ModuleList(
            [
                Branch(conv(channels, few, 1), conv(few, some, 3), conv(some, some, 3, spread=2)),
                Branch(conv(channels, few, 1), conv(few, some, 3), conv(some, some, 3, spread=3)),
                Branch(
                    conv(channels, few, 1),
                    conv(few, more, 3),
                    conv(more, some, 3),
                    conv(some, some, 3, spread=5),
                ),
            ]
        )
        self.join = conv(3 * some, channels, 1)
        self.shortcut = conv(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        joined = self.join(torch.cat([branch(x) for branch in self.branches], dim=1))
        return functional.relu(joined + self.shortcut(x))


class Head(nn.Module):
    """Corrections and scores of one level's anchors."""

    def __init__(self, channels: int, anchors: int, *, separable: bool = True) -> None:
        super().__init__()
        self.anchors = anchors
        self.scores, self.boxes = (
            self._tower(channels, outputs * anchors, separable) for outputs in (1, 4)
        )

    @staticmethod
    def _tower(channels: int, outputs: int, separable: bool) -> nn.Sequential:
        if not separable:
            return nn.Sequential(conv(channels, outputs, 3))
        depth = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        return nn.Sequential(depth, nn.ReLU(), conv(channels, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        batch = x.shape[0]
        boxes = self.boxes(x).permute(0, 2, 3, 1).reshape(batch, -1, 4)
        scores = self.scores(x).permute(0, 2, 3, 1).reshape(batch, -1, 1)
        return torch.cat([boxes, scores], dim=2)


class FaceAnchorNet(nn.Module):
    """See the module's description."""

    folded = True

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 16, 3, stride=2)
        self.stage8 = nn.Sequential(
            Separable(16, 32),
            Separable(32, 32, stride=2),
            Separable(32, 32),
            Separable(32, 64, stride=2),
            Separable(64, 64),
            Separable(64, 64),
            ReceptiveField(64),
        )
        self.stage16 = nn.Sequential(
            Separable(64, 128, stride=2), Separable(128, 128), Separable(128, 128)
        )
        self.stage32 = nn.Sequential(Separable(128, 256, stride=2), Separable(256, 256))
        self.reduce64 = conv(256, 64, 1)
        self.stage64 = Separable(64, 256, stride=2)
        counts = [len(sizes) for sizes in SIZES]
        self.heads = nn.ModuleList(
            [
                Head(64, counts[0]),
                Head(128, counts[1]),
                Head(256, counts[2]),
                Head(256, counts[3], separable=False),
            ]
        )

    def fold(self) -> None:
        """Nothing to fold."""

    def forward(self, pictures: Tensor) -> Tensor:
        eight = self.stage8(functional.relu(self.stem(pictures)))
        sixteen = self.stage16(eight)
        thirtytwo = self.stage32(sixteen)
        last = self.stage64(functional.relu(self.reduce64(thirtytwo)))
        levels = (eight, sixteen, thirtytwo, last)
        return torch.cat([h(x) for h, x in zip(self.heads, levels, strict=True)], dim=1)


def load_ultralight(net: FaceAnchorNet, path: str | Path) -> None:
    """Copy the public RFB-320 file (MIT) into `net`; its two scores per anchor become one logit.

    Raises:
        EngineError: the file holds another network.
    """
    order = _running_order(net)
    layers = _layers_with_norms(path)
    if len(order) != len(layers):
        raise EngineError(f"{path}: expected {len(order)} convolutions, but it has {len(layers)}")
    scores = {head.scores[-1] for head in net.heads}
    for number, (layer, (weight, bias)) in enumerate(zip(order, layers, strict=True)):
        if layer in scores:
            # softmax(a, b)[1] = sigmoid(b - a)
            weight, bias = weight[1::2] - weight[::2], bias[1::2] - bias[::2]
        if tuple(layer.weight.shape) != weight.shape:
            raise EngineError(
                f"{path}: convolution {number} must have weight {tuple(layer.weight.shape)}, "
                f"but has {weight.shape}"
            )
        layer.weight.data.copy_(torch.from_numpy(weight.copy()))
        assert layer.bias is not None
        layer.bias.data.copy_(torch.from_numpy(bias.copy()))


def _running_order(net: FaceAnchorNet) -> list[nn.Conv2d]:
    """The convolutions in the order of the public file."""

    def convolutions(*modules: nn.Module) -> list[nn.Conv2d]:
        return [m for module in modules for m in module.modules() if isinstance(m, nn.Conv2d)]

    heads = [convolutions(head.scores, head.boxes) for head in net.heads]
    return [
        *convolutions(net.stem, net.stage8),
        *heads[0],
        *convolutions(net.stage16),
        *heads[1],
        *convolutions(net.stage32),
        *heads[2],
        *convolutions(net.reduce64, net.stage64),
        *heads[3],
    ]


def _layers_with_norms(path: str | Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weight and bias of every convolution, in order, with the normalisation after it merged in."""
    graph = onnx.load(str(path)).graph
    arrays = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    norms = {node.input[0]: node for node in graph.node if node.op_type == "BatchNormalization"}
    found = []
    try:
        for node in graph.node:
            if node.op_type != "Conv":
                continue
            weight = arrays[node.input[1]]
            bias = np.zeros(len(weight), np.float32)
            if len(node.input) > 2:
                bias = arrays[node.input[2]]
            norm = norms.get(node.output[0])
            if norm is not None:
                gamma, beta, mean, variance = (arrays[name] for name in norm.input[1:5])
                epsilon = next(a.f for a in norm.attribute if a.name == "epsilon")
                factor = gamma / np.sqrt(variance + epsilon)
                weight = weight * factor[:, None, None, None]
                bias = (bias - mean) * factor + beta
            found.append((weight.astype(np.float32), bias.astype(np.float32)))
    except (KeyError, StopIteration) as error:
        raise EngineError(f"{path}: a convolution has no stored weights ({error})") from error
    return found
