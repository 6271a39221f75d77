"""Average checkpoints: `python -m engines.average tuned.pt start.pt --share 0.7 -o mixed.pt`.

Weights between a fine-tuned network and the one it started from often judge unseen pictures better than
either (Wortsman et al., "Robust fine-tuning of zero-shot models", arXiv:2109.01903). The start may be an
engine that was exported, or the public file that the family starts from. Networks with normalisations are folded first, since statistics do not average.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from engines import checkpoint
from engines.families import find_family
from engines.initial import exported_card, load_exported
from engines.nets.road import RoadNet
from engines.nets.yolox import COCO_ROWS, load_yolox
from engines.recipe import parse_recipe
from perception.errors import ConfigError, PerceptionError


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m engines.average", description=__doc__)
    parser.add_argument("first", help="a checkpoint")
    parser.add_argument(
        "second", help="a checkpoint, an engine, or the public file it started from"
    )
    parser.add_argument("--share", type=float, default=0.5, help="of the first, 0 to 1")
    parser.add_argument(
        "--objectness",
        type=float,
        default=0.0,
        metavar="LOGITS",
        help="added to a road detector's objectness: moves all its scores, so that a limit chosen for the "
        "engine before finds as many again",
    )
    parser.add_argument("-o", "--output", required=True)
    arguments = parser.parse_args(argv)
    try:
        content = average(arguments.first, arguments.second, share=arguments.share)
        shift_objectness(content["mean"], arguments.objectness)
        checkpoint.save(arguments.output, content)
    except PerceptionError as error:
        print(f"engines.average: {error}", file=sys.stderr)
        return 2
    print(f"{arguments.output}: {arguments.share:g} of {arguments.first}")
    return 0


def average(first: str, second: str, *, share: float) -> dict[str, Any]:
    """A checkpoint to export or to start from; not to resume."""
    if not 0 <= share <= 1:
        raise ConfigError(f"--share must be in 0..1, but is {share}")
    content = checkpoint.load(first)
    classes = content["classes"]
    recipe = parse_recipe(content["recipe"], first) if content["recipe"] else None
    if recipe is not None and recipe.family != "road":
        family = find_family(recipe.family)
        nets = [family.build(recipe), family.build(recipe)]
        for net, path in zip(nets, (first, second), strict=True):
            family.start(net, path, recipe, None)
            net.fold()
        states = [net.state_dict() for net in nets]
        mean = {name: states[1][name].lerp(value, share) for name, value in states[0].items()}
        return {**_kept(content), "mean": mean}
    one, two = folded(first, classes), folded(second, classes)
    state = two.state_dict()
    mean = {name: state[name].lerp(value, share) for name, value in one.state_dict().items()}
    if second.endswith(".onnx") and exported_card(second) is None:
        # A class that the start does not know is taken from the first alone.
        for name in mean:
            if ".classes." in name:
                known = [i for i, c in enumerate(classes) if c in COCO_ROWS]
                mixed = one.state_dict()[name].clone()
                mixed[known] = mean[name][known]
                mean[name] = mixed
    return {**_kept(content), "mean": mean}


def shift_objectness(state: dict[str, Tensor], logits: float) -> None:
    """Add `logits` to the objectness of every level of a road detector's weights, in place.

    Raises:
        ConfigError: the network has no objectness.
    """
    if not logits:
        return
    names = [name for name in state if name.endswith(".objectness.bias")]
    if not names:
        raise ConfigError("--objectness is for road detectors; this network has no objectness")
    for name in names:
        state[name] = state[name] + logits


def _kept(content: dict[str, Any]) -> dict[str, Any]:
    kept = {key: content[key] for key in ("classes", "name", "recipe", "recipe_sha256", "step")}
    return {**kept, "folded": True, "best": -1.0}


def folded(path: str, classes: Sequence[str]) -> RoadNet:
    """The network of a checkpoint (its running mean), of an engine or of YOLOX-nano, without normalisations."""
    net = RoadNet(len(classes))
    if path.endswith(".onnx"):
        if exported_card(path) is not None:
            net.fold()
            load_exported(net, path, classes)
            return net
        load_yolox(net, path, classes)
        net.fold()
        return net
    content = checkpoint.load(path)
    if content["classes"] != list(classes):
        raise ConfigError(
            f"{path}: has classes {content['classes']}, but the other {list(classes)}"
        )
    if content["folded"]:
        net.fold()
    net.load_state_dict(content["mean"])
    net.fold()
    return net


if __name__ == "__main__":
    sys.exit(main())
