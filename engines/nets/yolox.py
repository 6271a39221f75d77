"""Start a `RoadNet` from the public YOLOX-nano checkpoint (Megvii, Apache-2.0) in its ONNX form.

The export has folded every batch normalisation into its convolution. Layers are matched in the order
in which they run, each shape checked, and the normalisations come back as the identity: measured
statistics over real pictures with gamma = sqrt(variance + eps), beta = mean, so that the network computes
what the checkpoint computes, and training has its normalisation again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from engines.nets.road import ConvUnit, RoadNet
from perception.errors import EngineError

# Rows of the COCO head (80 classes) that start ours; a class without one starts from nothing.
COCO_ROWS = {
    "person": 0,
    "bicycle": 1,
    "car": 2,
    "motorcycle": 3,
    "bus": 5,
    "truck": 7,
    "traffic_light": 9,
    "traffic_sign": 11,  # stop sign
}


def folded_layers(path: str | Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weight and bias of every convolution of the ONNX file, in running order."""
    graph = onnx.load(str(path)).graph
    arrays = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    try:
        return [
            (arrays[node.input[1]], arrays[node.input[2]])
            for node in graph.node
            if node.op_type == "Conv"
        ]
    except (KeyError, IndexError) as error:
        raise EngineError(
            f"{path}: a convolution has no stored weight and bias ({error})"
        ) from error


def running_order(net: RoadNet) -> list[nn.Conv2d]:
    """The convolutions of `net` in the order in which they run."""
    order: list[nn.Conv2d] = []
    hooks = [
        layer.register_forward_pre_hook(lambda module, _: order.append(module))
        for layer in net.modules()
        if isinstance(layer, nn.Conv2d)
    ]
    training = net.training
    with torch.no_grad():
        net.eval()(torch.zeros(1, 3, 64, 64))
    net.train(training)
    for hook in hooks:
        hook.remove()
    return order


def load_yolox(net: RoadNet, path: str | Path, classes: Sequence[str] | None = None) -> None:
    """Copy the checkpoint into `net`.

    Args:
        net: a fresh network. Its normalisations become the identity, with the folded bias in beta.
        path: yolox_nano.onnx.
        classes: names of `net`'s classes, to choose their rows; None takes all 80 as they are.

    Raises:
        EngineError: the file holds another network.
    """
    layers = folded_layers(path)
    units = {unit.conv: unit.norm for unit in net.modules() if isinstance(unit, ConvUnit)}
    class_layers = {head.classes for head in net.heads}
    order = running_order(net)
    if len(order) != len(layers):
        raise EngineError(f"{path}: expected {len(order)} convolutions, but it has {len(layers)}")
    for number, (layer, (weight, bias)) in enumerate(zip(order, layers, strict=True)):
        target = layer.weight.data
        if layer in class_layers and classes is not None:
            for row, name in enumerate(classes):
                if name in COCO_ROWS:
                    target[row] = torch.from_numpy(weight[COCO_ROWS[name]].copy())
                    layer.bias.data[row] = float(bias[COCO_ROWS[name]])
            continue
        if tuple(target.shape) != weight.shape:
            raise EngineError(
                f"{path}: convolution {number} must have weight {tuple(target.shape)}, "
                f"but has {weight.shape}"
            )
        target.copy_(torch.from_numpy(weight.copy()))
        if layer in units:
            norm = units[layer]
            norm.running_mean.zero_()
            norm.running_var.fill_(1.0)
            norm.weight.data.fill_((1.0 + norm.eps) ** 0.5)
            norm.bias.data.copy_(torch.from_numpy(bias.copy()))
        else:
            layer.bias.data.copy_(torch.from_numpy(bias.copy()))


@torch.no_grad()
def restore_normalisation(net: RoadNet, batches: Iterable[Tensor]) -> None:
    """Give every normalisation the statistics of its input over `batches`, keeping the function.

    With mean m and variance v of the folded output, and folded bias b (now in beta):
    gamma = sqrt(v + eps), beta = b + m gives the same output as before.
    """
    sums: dict[nn.BatchNorm2d, list[Tensor]] = {}
    norms = [unit.norm for unit in net.modules() if isinstance(unit, ConvUnit)]

    def measure(module: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
        x = inputs[0].double()
        sums.setdefault(module, []).append(
            torch.stack([x.mean((0, 2, 3)), (x * x).mean((0, 2, 3))])
        )

    hooks = [norm.register_forward_pre_hook(measure) for norm in norms]
    net.eval()
    for batch in batches:
        net(batch)
    for hook in hooks:
        hook.remove()
    for norm in norms:
        mean, square = torch.stack(sums[norm]).mean(0)
        variance = (square - mean * mean).clamp(min=1e-6)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.add_(mean)
