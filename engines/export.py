"""Export a checkpoint: `python -m engines.export runs/road/best.pt -o engines/weights/road.onnx`.

One file with a dynamic batch, height and width (multiples of 32), the normalisations folded into the
convolutions, the card in its metadata, and a parity report against torch at several sizes.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from engines import checkpoint
from engines.nets.road import RoadNet
from engines.validate import road_card
from perception.card import EngineCard
from perception.errors import EngineError, PerceptionError

OPSET = 17
# (batch, width, height) at which the export must agree with torch.
PARITY_SIZES = ((1, 640, 384), (1, 416, 256), (2, 320, 480))
RELATIVE = 1e-3
DATA = [
    {
        "name": "YOLOX-nano checkpoint (Megvii), trained on COCO",
        "licence": "Apache-2.0",
        "use": "initial weights, teacher for unlabelled classes",
    },
    {"name": "highway (utidar), Roboflow Universe", "licence": "CC BY 4.0", "use": "training"},
    {"name": "road traffic (RF100), Roboflow", "licence": "CC BY 4.0", "use": "training"},
    {"name": "GTSDB (fotchi re-publication)", "licence": "CC BY 4.0 as claimed", "use": "training"},
    {"name": "speed signs on the road", "licence": "CC BY 4.0 as claimed", "use": "training"},
    {"name": "traffic lights, Korea (tl_kr)", "licence": "CC BY 4.0", "use": "training"},
    {"name": "plates day ride (lucian)", "licence": "MIT", "use": "training"},
]
RENDERED = {"name": "scenes of sample_videos/render.py", "licence": "Apache-2.0", "use": "training"}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m engines.export", description=__doc__)
    parser.add_argument("checkpoint")
    parser.add_argument("-o", "--output", required=True, help="the ONNX file")
    parser.add_argument("--metric", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--rendered", action="store_true", help="rendered scenes were trained on")
    arguments = parser.parse_args(argv)
    try:
        metric = {name: float(value) for name, value in (m.split("=") for m in arguments.metric)}
        report = export(
            arguments.checkpoint,
            arguments.output,
            metric=metric,
            data=[*DATA, RENDERED] if arguments.rendered else DATA,
        )
    except PerceptionError as error:
        print(f"engines.export: {error}", file=sys.stderr)
        return 2
    print(report)
    return 0


def export(
    source: str | Path,
    output: str | Path,
    *,
    metric: Mapping[str, float] | None = None,
    data: Sequence[Mapping[str, str]] = (),
) -> str:
    """Write the ONNX file of a checkpoint's running mean; returns the parity report.

    Raises:
        InputError: no such checkpoint, or it is damaged.
        EngineError: ONNX Runtime computes something else than torch; the file is removed.
    """
    content = checkpoint.load(source)
    net = RoadNet(len(content["classes"]), folded=content["folded"])
    net.load_state_dict(content["mean"])
    net.eval()
    card = replace(
        road_card(content["classes"]),
        data=[dict(entry) for entry in data],
        metric=dict(metric or {}),
        cost={
            "parameters": float(sum(p.numel() for p in net.parameters())),
            "gflops": round(gflops(net, 640, 384), 3),
        },
        recipe_sha256=content["recipe_sha256"],
    )
    write_onnx(net, output, card)
    return parity(net, Path(output))


def write_onnx(net: RoadNet, output: str | Path, card: EngineCard) -> None:
    """The road network's graph with its card."""
    width, height = card.input.size
    write_graph(
        net,
        output,
        card,
        example=torch.zeros(1, 3, height, width),
        name="predictions",
        axes={
            "images": {0: "batch", 2: "height", 3: "width"},
            "predictions": {0: "batch", 1: "cells"},
        },
    )


def write_graph(
    net: torch.nn.Module,
    output: str | Path,
    card: EngineCard,
    *,
    example: torch.Tensor,
    name: str,
    axes: dict[str, dict[int, str]],
) -> None:
    """A network of input `images` and one output as an ONNX file with its card."""
    output = Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
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
            output_names=[name],
            dynamic_axes=axes,
        )
    model = onnx.load(str(output))
    onnx.helper.set_model_props(model, card.to_metadata())
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(output))


@torch.no_grad()
def parity(net: RoadNet, path: Path) -> str:
    """Compare ONNX Runtime with torch on random pictures; a Markdown table.

    Raises:
        EngineError: they differ by more than `RELATIVE` of the output's scale.
    """
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    lines = ["| batch | size | largest difference | of scale |", "| --- | --- | --- | --- |"]
    rng = np.random.default_rng(0)
    for batch, width, height in PARITY_SIZES:
        pictures = rng.uniform(0, 255, (batch, 3, height, width)).astype(np.float32)
        expected = net(torch.from_numpy(pictures)).numpy()
        found = session.run(None, {"images": pictures})[0]
        if found.shape != expected.shape:
            raise EngineError(
                f"{path}: at {width}x{height} the output must have shape {expected.shape}, "
                f"but has {found.shape}"
            )
        difference = float(np.abs(found - expected).max())
        share = difference / float(np.abs(expected).max())
        lines.append(f"| {batch} | {width}x{height} | {difference:.2e} | {share:.2e} |")
        if not share <= RELATIVE:
            path.unlink()
            raise EngineError(
                f"{path}: differs from torch by {share:.1e} of the output's scale at "
                f"{width}x{height}, more than {RELATIVE}; the file was removed"
            )
    return "\n".join(lines)


def gflops(net: torch.nn.Module, width: int, height: int) -> float:
    """Billions of multiplications and additions of one picture's convolutions."""
    total = 0

    def count(module: torch.nn.Conv2d, _: object, output: torch.Tensor) -> None:
        nonlocal total
        total += 2 * module.weight.numel() * output.shape[2] * output.shape[3]

    hooks = [
        module.register_forward_hook(count)
        for module in net.modules()
        if isinstance(module, torch.nn.Conv2d)
    ]
    with torch.no_grad():
        net(torch.zeros(1, 3, height, width))
    for hook in hooks:
        hook.remove()
    return total / 1e9


if __name__ == "__main__":
    sys.exit(main())
