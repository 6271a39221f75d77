"""A trained classifier's temperature, figures and ONNX file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from torch import Tensor, nn

from engines.crop_sets import ClassifierRecipe, CropSets, Labelled
from engines.data.crop_augment import Spoiler
from engines.data.crops import MARGIN
from engines.graph import RELATIVE, gflops, write_graph
from engines.nets.crops import CropNet, cool
from perception.card import EngineCard, InputSpec
from perception.errors import EngineError
from perception.evaluation.classification import evaluate
from perception.models.classifier import softmax

MEAN, STD = 127.5, 64.0
F64 = npt.NDArray[np.float64]


def normalised(pictures: Tensor) -> Tensor:
    """0..255 -> what the network takes, as the card says."""
    return (pictures - MEAN) / STD


@torch.no_grad()
def predict(net: nn.Module, pictures: npt.NDArray[np.uint8]) -> F64:
    """Logits (N, classes) of crops (N, S, S, 3); the network is left in evaluation mode."""
    net.eval()
    device = next(net.parameters()).device
    parts = []
    for first in range(0, len(pictures), 512):
        part = torch.from_numpy(pictures[first : first + 512]).to(device)
        inputs = normalised(part.permute(0, 3, 1, 2).float())
        parts.append(net(inputs.contiguous(memory_format=torch.channels_last)).float().cpu())
    return np.asarray(torch.cat(parts).double().numpy())


def conclude(
    net: nn.Module,
    recipe: ClassifierRecipe,
    sets: CropSets,
    output: Path,
    *,
    confusion: str | None = None,
) -> str:
    """Set the temperature, judge, write the ONNX file; returns a report in Markdown.

    The temperature is set on groups of pictures that neither train nor judge.

    Raises:
        EngineError: ONNX Runtime computes something else than torch; the file is removed.
    """
    assert isinstance(net, CropNet)
    net = net.cpu().float().to(memory_format=torch.contiguous_format)
    held = spoiled(sets.calibrate, recipe)
    temperature = best_temperature(predict(net, held.pictures), held.labels)
    cool(net, temperature)
    classes = recipe.classes
    reports = {
        name: evaluate(
            crops.labels, softmax(predict(net, crops.pictures)), classes, reject=classes[-1]
        )
        for name, crops in sets.judge.items()
    }
    first = reports["judge"]
    metric = {
        "accuracy": round(first.accuracy, 4),
        "calibration_error": round(first.calibration_error, 4),
        "rejected": round(reports["rejects"].rejected, 4),
    }
    write(net, output, recipe, metric)
    if confusion is not None:
        Path(confusion).write_text(first.to_csv(), encoding="utf-8")
    lines = [f"temperature {temperature:.2f}, set on {len(sets.calibrate)} crops"]
    for name, report in reports.items():
        lines += ["", f"{name}:", report.summary(), "", report.confusions()]
    return "\n".join(lines)


def spoiled(crops: Labelled, recipe: ClassifierRecipe, *, times: int = 12) -> Labelled:
    """The crops as the recipe sets the temperature on them: some times over, spoiled each time anew."""
    if recipe.calibrate_strength <= 0:
        return crops
    never = torch.full((len(recipe.classes),), -1)
    spoiler = Spoiler(
        recipe.side,
        never,
        quarter_turns=recipe.quarter_turns,
        strength=recipe.calibrate_strength,
    )
    pictures, labels = torch.from_numpy(crops.pictures), torch.from_numpy(crops.labels)
    parts = []
    for number in range(times):
        rng = torch.Generator()
        rng.manual_seed(number)
        moved, _ = spoiler.moved(pictures, labels, rng, extent=1.0, widen=1.2)
        changed = (spoiler.spoiled(moved, rng) * 255).round().byte()
        parts.append(changed.permute(0, 2, 3, 1).numpy())
    return Labelled(np.concatenate(parts), np.tile(crops.labels, times))


def best_temperature(logits: F64, labels: npt.NDArray[np.int64]) -> float:
    """The temperature of the least cross entropy (Guo et al., arXiv:1706.04599, section 4.2)."""
    choices = np.exp(np.linspace(np.log(0.2), np.log(5), 200))
    rows = np.arange(len(labels))
    losses = [-np.log(softmax(logits / t)[rows, labels] + 1e-12).mean() for t in choices]
    return float(choices[int(np.argmin(losses))])


def write(
    net: CropNet, output: Path, recipe: ClassifierRecipe, metric: Mapping[str, float]
) -> None:
    """The ONNX file with its card; input `images` (B, 3, S, S), output `logits` (B, classes).

    Raises:
        EngineError: ONNX Runtime computes something else than torch; the file is removed.
    """
    side = recipe.side
    net.eval()
    card = EngineCard(
        name=recipe.name,
        family="classifier",
        task={"signs": "sign", "lights": "light"}[recipe.kind],
        classes=recipe.classes,
        input=InputSpec(
            size=(side, side),
            colour="bgr",
            mean=(MEAN, MEAN, MEAN),
            std=(STD, STD, STD),
            fit="stretch",
        ),
        decoder={
            "activated": False,
            "margin": MARGIN,
            "zoom": recipe.zoom,
            "reject": recipe.classes[-1],
        },
        data=[*DATA[recipe.kind], *([RENDERED] if recipe.rendered else [])],
        licence={
            "signs": "Apache-2.0; trained on GTSRB, which was published for research",
            "lights": "Apache-2.0",
        }[recipe.kind],
        metric=dict(metric),
        cost={
            "parameters": float(sum(p.numel() for p in net.parameters())),
            "gflops": round(gflops(net, side, side), 5),
        },
        recipe_sha256=recipe.sha256,
    )
    write_graph(
        net,
        output,
        card,
        example=torch.zeros(2, 3, side, side),
        name="logits",
        axes={"images": {0: "batch"}, "logits": {0: "batch"}},
    )
    check(net, output, side)


@torch.no_grad()
def check(net: CropNet, path: Path, side: int) -> None:
    """Compare ONNX Runtime with torch on random crops, in batches of one and three."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for batch in (1, 3):
        pictures = torch.randn(batch, 3, side, side)
        expected = net(pictures).numpy()
        found: Any = session.run(None, {"images": pictures.numpy()})[0]
        difference = np.abs(found - expected).max() / np.abs(expected).max()
        if not difference <= RELATIVE:
            path.unlink()
            raise EngineError(f"{path}: differs from torch by {difference:.1e}; it was removed")


RENDERED = {"name": "scenes of sample_videos/render.py", "licence": "Apache-2.0", "use": "training"}
_SIGNS_ROAD = {
    "name": "signs and lights on the road (signs_road)",
    "licence": "CC BY 4.0 as claimed by the re-publisher",
    "use": "training",
}
_ROAD = {"name": "road pictures (see road)", "licence": "CC BY 4.0, MIT", "use": "what is rejected"}
DATA: dict[str, list[dict[str, str]]] = {
    "signs": [
        {
            "name": "GTSRB training set (Stallkamp et al., 2012)",
            "licence": "published for research",
            "use": "training, judging by track",
        },
        _SIGNS_ROAD,
        _ROAD,
    ],
    "lights": [
        {"name": "traffic lights, Korea (tl_kr)", "licence": "CC BY 4.0", "use": "training"},
        {"name": "road traffic (RF100), Roboflow", "licence": "CC BY 4.0", "use": "training"},
        _SIGNS_ROAD,
        _ROAD,
        {"name": "traffic lights, Seoul", "licence": "public domain", "use": "judging"},
    ],
}
