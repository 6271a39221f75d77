"""A network as an ONNX file with its card, and the proof that the file computes what torch computes."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from engines.recipe import Recipe
from engines.rewrite import dense_transposed, focus_as_convolution
from perception.card import EngineCard
from perception.errors import EngineError

OPSET = 17
RELATIVE = 1e-3  # largest difference from torch, of an output's scale
# Of the input of a network that takes any size and any number of pictures.
PICTURE_AXES = {0: "batch", 2: "height", 3: "width"}


def trained_card(
    card: EngineCard,
    net: nn.Module,
    recipe: Recipe,
    *,
    data: Sequence[dict[str, str]],
    metric: dict[str, float],
) -> EngineCard:
    """A family's card with what is known after training; the cost is of one picture of the card's size."""
    return replace(
        card,
        data=list(data),
        metric=metric,
        cost={
            "parameters": float(sum(p.numel() for p in net.parameters())),
            "gflops": round(gflops(net, *card.input.size), 3),
        },
        recipe_sha256=recipe.sha256,
    )


def write_any_size(
    net: nn.Module, output: str | Path, card: EngineCard, *, name: str, axes: dict[int, str]
) -> None:
    """A network that takes any batch, height and width as an ONNX file with its card.

    Args:
        name: of the output.
        axes: the output's dimensions that may vary, and their names.
    """
    width, height = card.input.size
    write_graph(
        net,
        output,
        card,
        example=torch.zeros(1, 3, height, width),
        name=name,
        axes={"images": PICTURE_AXES, name: axes},
    )


def write_graph(
    net: nn.Module,
    output: str | Path,
    card: EngineCard,
    *,
    example: Tensor,
    name: str | Sequence[str],
    axes: dict[str, dict[int, str]],
) -> None:
    """A network of input `images` as an ONNX file with its card.

    Normalisations are folded where the network can, so that the file's weights bear the names of the
    network's parts, and an engine can start a training (`engines.initial`).

    Args:
        example: an input of the shape to trace with.
        name: of the output, or one for each.
        axes: by input and output: the dimensions that may vary, and their names.
    """
    output = Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    net = copy.deepcopy(net).cpu().eval()
    if hasattr(net, "fold"):
        net.fold()
    with warnings.catch_warnings():
        # The traced exporter is the one whose graphs TensorRT 8.6 takes; torch calls it legacy.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            net,
            (example,),
            str(output),
            opset_version=OPSET,
            dynamo=False,
            input_names=["images"],
            output_names=[name] if isinstance(name, str) else list(name),
            dynamic_axes=axes,
        )
    model = onnx.load(str(output))
    focus_as_convolution(model)
    dense_transposed(model)
    onnx.helper.set_model_props(model, card.to_metadata())
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(output))


@torch.no_grad()
def parity(net: nn.Module, path: Path, sizes: Sequence[tuple[int, int, int]]) -> str:
    """Compare ONNX Runtime with torch on random pictures of (batch, width, height); a Markdown table.

    Raises:
        EngineError: an output differs by more than `RELATIVE` of its scale; the file is removed.
    """
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_outputs()]
    lines = ["| batch | size | largest difference | of scale |", "| --- | --- | --- | --- |"]
    rng = np.random.default_rng(0)
    net = copy.deepcopy(net).cpu().eval()
    for batch, width, height in sizes:
        pictures = rng.uniform(0, 255, (batch, 3, height, width)).astype(np.float32)
        wanted = net(torch.from_numpy(pictures))
        outputs = [wanted] if isinstance(wanted, Tensor) else list(wanted)
        shares, differences = [], []
        for name, tensor, found in zip(
            names, outputs, session.run(None, {"images": pictures}), strict=True
        ):
            expected = tensor.numpy()
            if found.shape != expected.shape:
                raise EngineError(
                    f"{path}: at {width}x{height} output {name} must have shape {expected.shape}, "
                    f"but has {found.shape}"
                )
            differences.append(float(np.abs(found - expected).max()))
            shares.append(differences[-1] / max(float(np.abs(expected).max()), 1e-9))
        share = max(shares)
        lines.append(f"| {batch} | {width}x{height} | {max(differences):.2e} | {share:.2e} |")
        if not share <= RELATIVE:
            path.unlink()
            raise EngineError(
                f"{path}: differs from torch by {share:.1e} of the output's scale at "
                f"{width}x{height}, more than {RELATIVE}; the file was removed"
            )
    return "\n".join(lines)


def gflops(net: nn.Module, width: int, height: int) -> float:
    """Billions of multiplications and additions of one picture's convolutions and dense layers."""
    total = 0

    def count(module: nn.Conv2d | nn.Linear, _: object, output: Tensor) -> None:
        nonlocal total
        # The first dimension is not always the picture: a box head works on proposals.
        positions = output.shape[0]
        if isinstance(module, nn.Conv2d):
            positions *= output.shape[2] * output.shape[3]
        total += 2 * module.weight.numel() * positions

    net = copy.deepcopy(net).cpu().eval()
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(count)
    with torch.no_grad():
        net(torch.zeros(1, 3, height, width))
    return total / 1e9
