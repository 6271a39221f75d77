"""The lanes family on drawn roads: it trains, exports, starts again from its export, and runs in the stage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")
pytest.importorskip("onnxruntime")

import engines.train as training  # noqa: E402
from engines import checkpoint  # noqa: E402
from engines.export import export  # noqa: E402
from engines.families import lanes  # noqa: E402
from engines.nets.lanes import LanesNet  # noqa: E402
from engines.nets.twinlite import load_lanes  # noqa: E402
from engines.recipe import Recipe, load_recipe  # noqa: E402
from perception.backends import open_engine  # noqa: E402
from perception.errors import ConfigError  # noqa: E402
from perception.models.lane_stage import LaneStage  # noqa: E402
from perception.types import Frame, FrameResult  # noqa: E402
from tests.engines.test_lane_data import write  # noqa: E402
from tests.lane_scenes import draw, line  # noqa: E402

CPU = torch.device("cpu")
RECIPE = """
name = "tiny"
family = "lanes"
classes = ["drivable", "lane"]
seed = 3
[data]
paths = ["{data}"]
[data.weights]
even = 1.0
[augment]
zoom = [0.9, 1.1]
light = 0.2
[train]
steps = 60
batch = 4
warmup = 3
rate = 4e-3
ema = 0.8
bf16 = false
sizes = [[96, 64]]
[validate]
every = 60
pixels = 6144
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    data = write(tmp_path / "data")
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE.format(data=data))
    return load_recipe(path)


def test_it_learns_exports_and_runs_in_the_stage(recipe: Recipe, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    _, before = lanes.judge(recipe, lanes.build(recipe).eval())
    last = training.train(recipe, tmp_path / "work", device=CPU)
    engine = tmp_path / "lanes.onnx"
    report = export(last, engine, metric={"lane_f1": 0.5})
    assert "640x352" in report
    net = LanesNet()
    load_lanes(net, engine, np.random.default_rng(0).random((2, 3, 360, 640), np.float32))
    _, after = lanes.judge(recipe, net.eval())
    assert set(after) == {"odd/drivable_iou", "odd/lane_f1"}
    assert before["odd/drivable_iou"] < 0.3 and after["odd/drivable_iou"] > 0.7
    opened = open_engine(engine, backend="onnxruntime")
    assert opened.card is not None and opened.card.family == "lanes"
    assert any("TwinLiteNet" in entry["name"] for entry in opened.card.data)
    stage = LaneStage(opened, pixels=96 * 64)
    result = FrameResult(Frame(draw([line(0.1, (640, 360)), line(0.9, (640, 360))]), path="a.png"))
    stage(result)
    stage.close()
    assert result.lanes is not None and len(result.lanes.drivable) == 1


def test_the_loss_is_zero_where_the_teacher_is_met(recipe: Recipe) -> None:
    batch = lanes.loader(recipe, (0, 1)).batch(0)

    class Parrot(torch.nn.Module):
        def forward(self, _: object) -> object:
            return torch.logit(batch.masks.float() / 255, eps=1e-6)

    found = lanes.losses(Parrot(), batch, device=CPU, bf16=False, add_up=lambda x: x)
    assert abs(float(found["drivable"])) < 1e-4 and abs(float(found["lane"])) < 1e-4
    assert float(found["overlap"]) < 0.02


def test_no_steps_keep_the_start(recipe: Recipe, tmp_path: Path) -> None:
    none = load_recipe(tmp_path / "tiny.toml", ["train.steps=0"])
    content = checkpoint.load(training.train(none, tmp_path / "none", device=CPU))
    assert content["step"] == 0 and (tmp_path / "none" / "best.pt").is_file()
    torch.manual_seed(none.seed)
    fresh = lanes.build(none).state_dict()
    assert all(torch.equal(value, fresh[name]) for name, value in content["mean"].items())


def test_recipes_that_cannot_work_are_refused(recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "tiny.toml"
    with pytest.raises(ConfigError, match=r"classes must be \['drivable', 'lane'\]"):
        lanes.build(load_recipe(path, ['classes=["lane"]']))
    with pytest.raises(ConfigError, match="nothing is left to judge by"):
        lanes.judge(load_recipe(path, ["data.weights={even=1,odd=1}"]), LanesNet())
