"""Train a crop classifier: `python -m engines.train_classifier engines/recipes/signs.toml -o engines/weights/signs.onnx`.

Short enough (minutes on a CPU) to run in one go. Ends with accuracy, expected calibration error and the
worst confusions on crops that were not trained on, and writes the ONNX file with its card.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from engines.data import crops
from engines.data.crops import LIGHTS, NO_SIGN, SIGNS, Crops
from engines.ema import RunningMean
from engines.graph import RELATIVE, gflops, write_graph
from engines.nets.crops import CropNet, cool
from engines.recipe import read_table
from engines.train import learning_rate
from perception.card import EngineCard, InputSpec
from perception.errors import ConfigError, EngineError, PerceptionError, unknown
from perception.evaluation.detection import load_truth

MEAN, STD = 127.5, 64.0
KINDS = ("signs", "lights")


@dataclass(frozen=True)
class ClassifierRecipe:
    """How a classifier is made.

    Attributes:
        kind: "signs" or "lights".
        crops: GTSRB's archive, for signs.
        road: a folder of road pictures: lights, and crops of nothing.
        rendered: folders of rendered scenes, for lights.
        nothing: how many crops of nothing.
        epochs, batch, rate, width, side: as usual; `side` of the square input.
        flip: mirror half of the crops and lay some on their side (lights hang either way; never signs).
    """

    name: str
    kind: str
    road: str
    crops: str = ""
    rendered: tuple[str, ...] = ()
    nothing: int = 4000
    epochs: int = 8
    batch: int = 128
    rate: float = 3e-3
    width: int = 16
    side: int = 40
    flip: bool = False
    seed: int = 0
    sha256: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(unknown("kind of classifier", self.kind, KINDS))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m engines.train_classifier", description=__doc__)
    parser.add_argument("recipe", help="TOML file")
    parser.add_argument("-o", "--output", required=True, help="the ONNX file")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args(argv)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    try:
        recipe = read_table(ClassifierRecipe, arguments.recipe, arguments.set)
        train_set, judge_set, classes = load(recipe)
        net = fit(recipe, train_set, len(classes))
        logits = predict(net, judge_set)
        temperature = best_temperature(logits, judge_set.labels)
        cool(net, temperature)
        text, metric = judge(logits / temperature, judge_set.labels, classes)
        write(net, arguments.output, recipe, classes, metric)
    except PerceptionError as error:
        print(f"engines.train_classifier: {error}", file=sys.stderr)
        return 2
    print(f"temperature {temperature:.2f}\n{text}")
    return 0


def load(recipe: ClassifierRecipe) -> tuple[Crops, Crops, tuple[str, ...]]:
    """(training crops, judging crops, classes)."""
    side = recipe.side
    if recipe.kind == "signs":
        classes = (*SIGNS, NO_SIGN)
        train_set, judge_set = crops.sign_crops(recipe.crops, side)
        avoid = ["traffic_sign"]
    else:
        classes = LIGHTS
        truths = load_truth(recipe.road)
        train_set = crops.light_crops([t for t in truths if t.split == "train"], side)
        scenes = [crops.rendered_lights(folder, side) for folder in recipe.rendered]
        train_set = crops.join(train_set, *scenes)
        judge_set = crops.light_crops([t for t in truths if t.source == "lights_seoul"], side)
        avoid = ["traffic_light"]
    nothing = [
        crops.background(
            recipe.road,
            side,
            label=len(classes) - 1,
            avoid=avoid,
            most=recipe.nothing // (6 if judging else 1),
            judging=judging,
        )
        for judging in (False, True)
    ]
    return crops.join(train_set, nothing[0]), crops.join(judge_set, nothing[1]), classes


def fit(recipe: ClassifierRecipe, train_set: Crops, classes: int) -> CropNet:
    """Train; returns the running mean of the weights.

    Classes are drawn with the square root of their frequency, so that rare ones are seen.
    """
    torch.manual_seed(recipe.seed)
    places = recipe.side if recipe.kind == "signs" else None
    net = CropNet(classes, width=recipe.width, side=places)
    mean = RunningMean(net, decay=0.998)
    optimiser = torch.optim.AdamW(net.parameters(), lr=recipe.rate, weight_decay=0.01)
    counts = np.bincount(train_set.labels, minlength=classes)
    chance = 1 / np.sqrt(counts[train_set.labels])
    chance /= chance.sum()
    steps = max(1, len(train_set) * recipe.epochs // recipe.batch)
    bar = tqdm(range(steps), unit="step", disable=not sys.stderr.isatty())
    net.train()
    for step in bar:
        rng = np.random.default_rng((recipe.seed, step))
        rows = rng.choice(len(train_set), recipe.batch, p=chance)
        pictures = np.stack([spoil(train_set.pictures[r], rng, flip=recipe.flip) for r in rows])
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, steps, min(100, steps // 10 + 1), recipe.rate, 0.02)
        with torch.autocast("cpu", torch.bfloat16):
            logits = net(tensor(pictures))
        labels = torch.from_numpy(train_set.labels[rows])
        loss = functional.cross_entropy(logits.float(), labels, label_smoothing=0.05)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        mean.update(net, step)
        bar.set_postfix(loss=f"{loss.item():.3f}")
    found = mean.net
    assert isinstance(found, CropNet)
    return found


def spoil(image: npt.NDArray[np.uint8], rng: np.random.Generator, *, flip: bool) -> Any:
    """Moved, turned, relit, blurred: what a detector's box and a camera do to a sign."""
    side = image.shape[0]
    angle, scale = rng.normal(0, 0.08), np.exp(rng.normal(0, 0.1))
    sheer = rng.normal(0, 0.08)
    c, s = np.cos(angle) * scale, np.sin(angle) * scale
    matrix = np.array([[c, -s + sheer, 0], [s, c, 0]])
    matrix[:, 2] = side / 2 - matrix[:, :2] @ [side / 2, side / 2] + rng.normal(0, 0.06 * side, 2)
    image = cv2.warpAffine(image, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)
    if flip and rng.random() < 0.5:
        image = image[:, ::-1]
    if flip and rng.random() < 0.4:
        image = np.rot90(image, int(rng.choice([1, 3])))
    image = np.ascontiguousarray(image)
    if rng.random() < 0.2:
        small = int(rng.integers(side // 3, side))
        image = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
        image = cv2.resize(image, (side, side))
    gain = np.exp(rng.normal(0, 0.3)) * rng.uniform(0.92, 1.08, 3)
    shifted = (image.astype(np.float32) - 100) * np.exp(rng.normal(0, 0.2)) + 100
    noise = rng.normal(0, rng.uniform(0, 8), image.shape)
    return np.clip(shifted * gain + noise, 0, 255).astype(np.uint8)


def tensor(pictures: npt.NDArray[np.uint8]) -> Tensor:
    """(N, S, S, 3) uint8 -> (N, 3, S, S) float32, as the card says."""
    stacked = torch.from_numpy(pictures).permute(0, 3, 1, 2).float()
    return ((stacked - MEAN) / STD).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def predict(net: CropNet, crops_: Crops) -> npt.NDArray[np.float64]:
    """Logits (N, classes)."""
    net.eval()
    parts = [net(tensor(crops_.pictures[i : i + 256])) for i in range(0, len(crops_), 256)]
    return torch.cat(parts).double().numpy()


def best_temperature(logits: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> float:
    """The temperature of the least cross entropy (Guo et al., arXiv:1706.04599, section 4.2)."""
    choices = np.exp(np.linspace(np.log(0.2), np.log(5), 200))
    rows = np.arange(len(labels))
    losses = [-np.log(softmax(logits / t)[rows, labels] + 1e-12).mean() for t in choices]
    return float(choices[int(np.argmin(losses))])


def softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Scores (N, classes) that add up to 1."""
    raised = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(raised / raised.sum(1, keepdims=True), np.float64)


def calibration_error(
    score: npt.NDArray[np.float64], right: npt.NDArray[np.bool_], *, bins: int = 15
) -> float:
    """Expected calibration error (Naeini et al., 2015): mean gap of score and accuracy over bins."""
    number = np.minimum((score * bins).astype(int), bins - 1)
    gaps = [
        abs(score[number == b].mean() - right[number == b].mean()) * (number == b).mean()
        for b in range(bins)
        if (number == b).any()
    ]
    return float(sum(gaps))


def judge(
    logits: npt.NDArray[np.float64], labels: npt.NDArray[np.int64], classes: Sequence[str]
) -> tuple[str, dict[str, float]]:
    """A report and the card's figures; the last class is "nothing"."""
    scores = softmax(logits)
    found = scores.argmax(1)
    right = found == labels
    real = labels != len(classes) - 1
    metric = {
        "accuracy": round(float(right[real].mean()), 4),
        "rejected_nothing": round(float(right[~real].mean()) if (~real).any() else 1.0, 4),
        "calibration_error": round(calibration_error(scores.max(1), right), 4),
    }
    lines = [f"- {name}: {value}" for name, value in metric.items()]
    lines.append(f"- judged: {int(real.sum())} objects, {int((~real).sum())} crops of nothing")
    pairs: dict[tuple[int, int], int] = {}
    for wanted, got in zip(labels[~right], found[~right], strict=True):
        pairs[int(wanted), int(got)] = pairs.get((int(wanted), int(got)), 0) + 1
    lines += ["", "| is | called | times | of |", "| --- | --- | --- | --- |"]
    for (wanted, got), times in sorted(pairs.items(), key=lambda item: -item[1])[:12]:
        of = int((labels == wanted).sum())
        lines.append(f"| {classes[wanted]} | {classes[got]} | {times} | {of} |")
    return "\n".join(lines), metric


def write(
    net: CropNet,
    output: str | Path,
    recipe: ClassifierRecipe,
    classes: Sequence[str],
    metric: dict[str, float],
) -> None:
    """The ONNX file with its card; output `logits` (B, classes).

    Raises:
        EngineError: ONNX Runtime computes something else than torch; the file is removed.
    """
    output = Path(output)
    side = recipe.side
    net.eval()
    card = EngineCard(
        name=recipe.name,
        family="classifier",
        task={"signs": "sign", "lights": "light"}[recipe.kind],
        classes=tuple(classes),
        input=InputSpec(
            size=(side, side),
            colour="bgr",
            mean=(MEAN, MEAN, MEAN),
            std=(STD, STD, STD),
            fit="stretch",
        ),
        decoder={"activated": False, "margin": crops.MARGIN, "reject": classes[-1]},
        data=DATA[recipe.kind],
        licence={
            "signs": "Apache-2.0; trained on GTSRB, which was published for research",
            "lights": "Apache-2.0",
        }[recipe.kind],
        metric=metric,
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
    pictures = torch.randn(3, 3, side, side)
    with torch.no_grad():
        expected = net(pictures).numpy()
    session = onnxruntime.InferenceSession(str(output), providers=["CPUExecutionProvider"])
    found = session.run(None, {"images": pictures.numpy()})[0]
    difference = np.abs(found - expected).max() / np.abs(expected).max()
    if not difference <= RELATIVE:
        output.unlink()
        raise EngineError(f"{output}: differs from torch by {difference:.1e}; the file was removed")


DATA: dict[str, list[dict[str, str]]] = {
    "signs": [
        {"name": "GTSRB training set", "licence": "for research", "use": "training, judging"},
        {"name": "road pictures (see road)", "licence": "CC BY 4.0", "use": "crops of nothing"},
    ],
    "lights": [
        {"name": "traffic lights, Korea (tl_kr)", "licence": "CC BY 4.0", "use": "training"},
        {"name": "speed signs on the road", "licence": "CC BY 4.0 as claimed", "use": "training"},
        {"name": "scenes of sample_videos/render.py", "licence": "Apache-2.0", "use": "training"},
        {"name": "traffic lights, Seoul", "licence": "public domain", "use": "judging"},
    ],
}


if __name__ == "__main__":
    sys.exit(main())
