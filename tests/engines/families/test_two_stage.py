"""The two-stage family on drawn rectangles: it trains, exports, and runs as the product runs it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")
pytest.importorskip("onnxruntime")

import engines.train as training  # noqa: E402
from engines import checkpoint  # noqa: E402
from engines.export import export  # noqa: E402
from engines.families import road, two_stage  # noqa: E402
from engines.figures.two_stage import report  # noqa: E402
from engines.nets.road import RoadNet  # noqa: E402
from engines.nets.two_stage import TwoStageNet  # noqa: E402
from engines.recipe import load_recipe  # noqa: E402
from engines.validate import read, road_card  # noqa: E402
from perception.backends import open_engine  # noqa: E402
from perception.errors import ConfigError, EngineError  # noqa: E402
from perception.evaluation.detection import load_truth  # noqa: E402
from perception.geometry import iou  # noqa: E402
from perception.models.detector import Detector  # noqa: E402

CPU = torch.device("cpu")
CLASSES = ("car", "person")
RECIPE = """
name = "tiny"
family = "two_stage"
classes = ["car", "person"]
seed = 3
[net]
proposals = 12
size = [96, 64]
[data]
paths = ["{data}"]
[data.weights]
rectangles = 1.0
[augment]
mosaic = 0.0
zoom = [1.0, 1.0]
light = 0.0
noise = 0.0
blur = 0.0
rain = 0.0
[train]
steps = 2
batch = 2
warmup = 1
sizes = [[96, 64]]
[validate]
every = 60
pixels = 6144
"""

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorboard.*")


@pytest.fixture
def recipe_file(rectangles: Path, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE.format(data=rectangles.as_posix()))
    return path


def measured(net: torch.nn.Module) -> None:
    """Give a fresh network's normalisations real statistics, so that its cells differ, and leave it in eval mode."""
    net.train()
    with torch.no_grad():
        for _ in range(12):
            small = torch.rand(4, 3, 8, 12) * 255
            net(torch.nn.functional.interpolate(small, scale_factor=8.0, mode="bilinear"))
    for name, parameter in net.named_parameters():
        if name.endswith("objectness.weight"):
            torch.nn.init.normal_(parameter)
    net.eval()


def road_engine(path: Path) -> Path:
    """A road engine that knows nothing yet."""
    torch.manual_seed(0)
    net = RoadNet(2)
    measured(net)
    road.write_onnx(net, path, replace(road_card(CLASSES), cost={"gflops": 1.0}))
    return path


def test_learns_rectangles_exports_and_finds_them_in_the_product(
    recipe_file: Path, tmp_path: Path
) -> None:
    recipe = load_recipe(
        recipe_file,
        ["train.steps=60", "train.batch=8", "train.rate=0.004", "train.ema=0.9", "train.warmup=5"],
    )
    last = training.train(recipe, tmp_path / "work", device=CPU)
    lines = (tmp_path / "work" / "train.csv").read_text().splitlines()
    names, first, final = (lines[i].split(",") for i in (0, 1, -1))
    for name in ("loss", "second_classes", "classes"):
        column = names.index(name)
        assert float(final[column]) < float(first[column]), f"{name} falls"
    output = tmp_path / "tiny.onnx"
    text = export(last, output)
    assert text.count("96x64") == 3
    stage = Detector(output, min_score=0.2)
    assert stage.card.family == "two_stage" and stage.card.cost["gflops"] > 0
    found_cars = 0
    truths = [t for t in load_truth(recipe.data.paths[0]) if t.split == "eval"]
    for truth in truths:
        found = stage.model(read(truth))
        overlap = iou(found.xyxy, np.asarray(truth.xyxy, np.float32))
        found_cars += bool(len(found)) and bool((overlap > 0.5).any())
    stage.close()
    assert found_cars >= len(truths) - 1, "chance finds none"
    shown = report(
        data=recipe.data.paths, engine=output, reference=road_engine(tmp_path / "r.onnx")
    )
    assert "| road_two_stage 96x64 |" in shown and "| road 96x64, padded |" in shown
    assert "AP50 per GFLOP" in shown


def test_a_road_engine_becomes_the_first_stage_and_stays_as_it_is_where_frozen(
    recipe_file: Path, tmp_path: Path
) -> None:
    engine = road_engine(tmp_path / "road.onnx")
    recipe = load_recipe(recipe_file, ['train.frozen=["road"]', "net.stacked=true"])
    last = training.train(recipe, tmp_path / "work", device=CPU, init=str(engine))
    assert two_stage.build(recipe).stacked
    content = checkpoint.load(last)
    net = TwoStageNet(2)
    net.load_state_dict(content["net"])
    session = open_engine(engine)
    picture = np.random.default_rng(0).uniform(0, 255, (1, 3, 64, 96)).astype(np.float32)
    wanted = session.infer({"images": picture})["predictions"].copy()
    with torch.no_grad():
        _, raw = net.eval().first(torch.from_numpy(picture))
    np.testing.assert_allclose(raw.numpy(), wanted, rtol=1e-3, atol=1e-3)
    lines = (tmp_path / "work" / "train.csv").read_text().splitlines()
    assert "second_boxes" in lines[0] and "cells" not in lines[0].replace("second_cells", "")


def test_a_road_checkpoint_becomes_the_first_stage_too(recipe_file: Path, tmp_path: Path) -> None:
    plain = ['family="road"', "net={}"]
    last = training.train(load_recipe(recipe_file, plain), tmp_path / "road", device=CPU)
    recipe = load_recipe(recipe_file)
    net = two_stage.build(recipe)
    two_stage.start(net, str(last), recipe, two_stage.loader(recipe, (0, 1)))
    wanted = checkpoint.load(last)["mean"]
    assert all(torch.equal(value, wanted[name]) for name, value in net.road.state_dict().items())
    checkpoint.save(last, checkpoint.load(last) | {"folded": True})
    with pytest.raises(ConfigError, match="export it and start from the ONNX file"):
        two_stage.start(net, str(last), recipe, two_stage.loader(recipe, (0, 1)))


def test_an_exported_engine_and_a_checkpoint_start_the_next_training(
    recipe_file: Path, tmp_path: Path
) -> None:
    recipe = load_recipe(recipe_file)
    last = training.train(recipe, tmp_path / "work", device=CPU)
    export(last, tmp_path / "tiny.onnx")
    loader = two_stage.loader(recipe, (0, 1))
    picture, rois = torch.rand(1, 3, 64, 96) * 255, torch.tensor([[0.0, 8, 8, 40, 56]])
    outputs = []
    for path in (last, tmp_path / "tiny.onnx"):
        net = two_stage.build(recipe)
        two_stage.start(net, str(path), recipe, loader)
        with torch.no_grad():
            levels, raw = net.eval().first(picture)
            outputs.append([raw, *net.second(net.merge(levels), rois)])
    for a, b in zip(*outputs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def test_file_that_computes_something_else_is_removed(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = TwoStageNet(2, proposals=12).eval()
    measured(net)
    net.size = (96, 64)
    path = tmp_path / "two.onnx"
    two_stage.write_static(net, path, two_stage.two_stage_card(CLASSES, net.size))
    assert two_stage.parity(net, path).count("96x64") == 3
    torch.nn.init.normal_(net.head.classes.weight)
    with pytest.raises(EngineError, match=r"two\.onnx: differs from torch .* removed"):
        two_stage.parity(net, path)
    assert not path.exists()


def test_unknown_setting_of_the_net_is_refused(recipe_file: Path) -> None:
    recipe = load_recipe(recipe_file, ["net.proposal=3"])
    with pytest.raises(ConfigError, match="did you mean 'proposals'"):
        two_stage.build(recipe)
