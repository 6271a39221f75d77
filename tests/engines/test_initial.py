"""A training can start from an engine that was exported before."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from engines.families import road  # noqa: E402
from engines.initial import exported_card, load_exported  # noqa: E402
from engines.nets.road import RoadNet  # noqa: E402
from engines.recipe import Data, Recipe, Train  # noqa: E402
from perception.errors import ConfigError, InputError  # noqa: E402
from perception.types import ROAD_CLASSES  # noqa: E402

PICTURES = torch.linspace(0, 255, 2 * 3 * 96 * 64).reshape(2, 3, 96, 64)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_a_net_starts_as_the_engine_it_was_exported_to(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = RoadNet(2).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    # No two parts alike, as in a trained network: the exporter keeps equal arrays once.
    for parameter in net.parameters():
        parameter.data += 0.01 * torch.randn_like(parameter)
    recipe = Recipe("tiny", Data(), Train(steps=1), classes=("car", "person"))
    path = tmp_path / "tiny.onnx"
    road.write(net, path, recipe, {})
    with torch.no_grad():
        wanted = net(PICTURES)
        fresh = RoadNet(2)
        load_exported(fresh, path, recipe.classes, lambda: [PICTURES, PICTURES + 3])
        torch.testing.assert_close(fresh.eval()(PICTURES), wanted, rtol=1e-3, atol=1e-3)
        folded = RoadNet(2, folded=True)
        load_exported(folded, path, recipe.classes)
        torch.testing.assert_close(folded(PICTURES), wanted, rtol=1e-3, atol=1e-3)
    assert float(fresh.backbone.stem.norm.running_var.max()) > 1.5, "the statistics are measured"
    with pytest.raises(ConfigError, match="has classes"):
        load_exported(RoadNet(2), path, ("car", "bus"))
    other = torch.nn.Conv2d(3, 2, 1)
    with pytest.raises(ConfigError, match="another network: weight must have shape"):
        load_exported(other, path, recipe.classes)


def test_the_committed_engine_can_be_trained_on(root: Path) -> None:
    net = RoadNet(len(ROAD_CLASSES), folded=True)
    load_exported(net, root / "engines/weights/road.onnx", ROAD_CLASSES)


def test_what_is_no_engine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file to start from"):
        exported_card(tmp_path / "no.onnx")
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(InputError, match="not an ONNX file"):
        exported_card(tmp_path / "text.onnx")
