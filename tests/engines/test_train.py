"""Training on a tiny data set: it learns, goes on exactly after a kill, stops on nonsense, exports."""

from __future__ import annotations

import csv
import itertools
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")

import engines.train as training  # noqa: E402
from engines import checkpoint  # noqa: E402
from engines.families import road  # noqa: E402
from engines.recipe import load_recipe  # noqa: E402
from perception.errors import ConfigError, InputError, RunError  # noqa: E402

CPU = torch.device("cpu")
RECIPE = """
name = "tiny"
classes = ["car", "person"]
seed = 3
[data]
paths = ["{data}"]
[data.weights]
rectangles = 1.0
[train]
steps = 4
batch = 2
accumulate = 2
warmup = 1
sizes = [[64, 64], [96, 64]]
[validate]
every = 2
pixels = 6144
"""

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorboard.*")


@pytest.fixture
def recipe_file(rectangles: Path, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE.format(data=rectangles.as_posix()))
    return path


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def weights(path: Path) -> dict[str, torch.Tensor]:
    content = checkpoint.load(path)
    return {f"{part}.{k}": v for part in ("net", "mean") for k, v in content[part].items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_killed_run_goes_on_exactly(
    recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe(recipe_file)
    whole = training.train(recipe, tmp_path / "whole", device=CPU)
    real, calls = road.detection_loss, []

    def dies_in_step_three(*arguments: object, **options: object) -> object:
        calls.append(1)
        if len(calls) > 2 * 2 + 1:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(road, "detection_loss", dies_in_step_three)
    with pytest.raises(KeyboardInterrupt):
        training.train(recipe, tmp_path / "killed", device=CPU)
    assert checkpoint.load(tmp_path / "killed" / "last.pt")["step"] == 2
    monkeypatch.setattr(road, "detection_loss", real)
    resumed = training.train(recipe, tmp_path / "killed", device=CPU)
    assert same(weights(whole), weights(resumed))
    rows = read_rows(tmp_path / "killed" / "validation.csv")
    assert sorted({int(row["step"]) for row in rows}) == [2, 4]
    assert {row["figure"].split("/")[1] for row in rows} == {"car", "person"}


def test_time_limit_leaves_a_checkpoint_to_go_on_from(recipe_file: Path, tmp_path: Path) -> None:
    recipe = load_recipe(recipe_file)
    last = training.train(recipe, tmp_path / "work", device=CPU, minutes=0)
    assert checkpoint.load(last)["step"] == 1


def test_loss_that_is_no_number_stops_and_keeps_the_last_good_state(
    recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe(recipe_file)
    last = training.train(recipe, tmp_path / "work", device=CPU, minutes=0)
    before = weights(last)

    def broken(raw: torch.Tensor, *_: object, **__: object) -> dict[str, torch.Tensor]:
        return {"total": raw.sum() * float("nan")}

    monkeypatch.setattr(road, "detection_loss", broken)
    with pytest.raises(
        RunError, match=r"step 1: the loss is nan; the last good state is .*last\.pt"
    ):
        training.train(recipe, tmp_path / "work", device=CPU)
    assert same(before, weights(last))


def test_another_recipe_does_not_go_on_in_the_same_folder(
    recipe_file: Path, tmp_path: Path
) -> None:
    training.train(load_recipe(recipe_file), tmp_path / "work", device=CPU, minutes=0)
    other = load_recipe(recipe_file, ["train.rate=0.5"])
    with pytest.raises(ConfigError, match="made by another recipe"):
        training.train(other, tmp_path / "work", device=CPU)


def test_init_takes_the_weights_and_refuses_another_net(recipe_file: Path, tmp_path: Path) -> None:
    recipe = load_recipe(recipe_file)
    first = training.train(recipe, tmp_path / "a", device=CPU, minutes=0)
    net = road.build(recipe)
    road.start(net, str(first), recipe, None)  # type: ignore[arg-type]
    wanted = checkpoint.load(first)["mean"]
    assert all(torch.equal(value, wanted[name]) for name, value in net.state_dict().items())
    with pytest.raises(ConfigError, match="has classes"):
        road.start(net, str(first), replace(recipe, classes=("car", "bus")), None)  # type: ignore[arg-type]


def test_a_tiny_run_learns_and_its_export_computes_the_same(
    recipe_file: Path, tmp_path: Path
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    from engines.export import export
    from perception.backends import open_engine
    from perception.models.anchor_free import AnchorFree

    recipe = load_recipe(
        recipe_file,
        [
            "train.steps=60",
            "train.batch=8",
            "train.accumulate=1",
            "train.rate=0.004",
            "train.ema=0.9",
            "train.warmup=5",
            "validate.every=60",
            "train.sizes=[[96, 64]]",
            "augment={mosaic=0.0, zoom=[1.0, 1.0], light=0.0, noise=0.0, blur=0.0, rain=0.0}",
        ],
    )
    last = training.train(recipe, tmp_path / "work", device=CPU)
    rows = read_rows(tmp_path / "work" / "validation.csv")
    car = next(row for row in rows if row["figure"].endswith("/car/ap50"))
    assert float(car["value"]) > 0.15, "chance is below 0.05"
    report = export(last, tmp_path / "tiny.onnx", metric={"car_ap50": 0.5})
    assert report.count("| 1 |") == 2 and report.count("| 2 |") == 1
    engine = open_engine(tmp_path / "tiny.onnx")
    assert engine.card is not None and engine.card.classes == ("car", "person")
    assert engine.card.metric == {"car_ap50": 0.5} and engine.card.recipe_sha256 == recipe.sha256
    detector = AnchorFree(engine, engine.card, min_score=0.2, pixels=6144)
    from engines.validate import read
    from perception.evaluation.detection import load_truth

    truth = load_truth(recipe.data.paths[0])[0]
    assert len(detector(read(truth))) > 0
    engine.close()
    assert onnxruntime.__version__


def test_damaged_and_foreign_checkpoints_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    checkpoint.save(path, {"step": 1})
    assert checkpoint.load(path) == {"step": 1}
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        checkpoint.load(path)
    torch.save({"step": 1}, path)
    with pytest.raises(InputError, match="not a checkpoint of this project"):
        checkpoint.load(path)
    with pytest.raises(InputError, match="no such checkpoint"):
        checkpoint.load(tmp_path / "b.pt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("train.stepps=3", "did you mean 'steps'"),
        ("dat={}", "did you mean 'data'"),
        ("train=3", "must be a table"),
        ("nonsense", "must be table.key=value"),
    ],
)
def test_recipes_with_mistakes_are_refused(recipe_file: Path, change: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe(recipe_file, [change])


def test_command_says_what_is_wrong_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert training.main([str(tmp_path / "no.toml"), "--work", str(tmp_path)]) == 2
    assert "no such recipe" in capsys.readouterr().err


def test_learning_rate_warms_up_and_falls_to_its_last_share() -> None:
    rates = [training.learning_rate(step, 100, 10, 1.0, 0.05) for step in range(101)]
    assert rates[0] == 0.1 and rates[9] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[100] == pytest.approx(0.05)


def test_learning_rate_follows_the_clock_where_that_is_ahead() -> None:
    late = training.learning_rate(20, 1000, 10, 1.0, 0.05, least=0.9)
    assert late == pytest.approx(training.learning_rate(901, 1000, 10, 1.0, 0.05), abs=1e-9)
    assert training.learning_rate(500, 1000, 10, 1.0, 0.05, least=0.1) == pytest.approx(
        training.learning_rate(500, 1000, 10, 1.0, 0.05)
    )
    assert training.learning_rate(500, 1000, 10, 1.0, 0.05, least=7.0) == pytest.approx(0.05)
    assert training.learning_rate(5, 1000, 10, 1.0, 0.05, least=0.9) == pytest.approx(0.6)


def test_an_annealed_run_is_slow_at_its_end(
    recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = itertools.count()
    monkeypatch.setattr(training.time, "monotonic", lambda: next(ticks) * 0.1)
    recipe = load_recipe(recipe_file, ["train.steps=100000", "validate.every=100000"])
    training.train(recipe, tmp_path / "run", device=CPU, minutes=0.02, anneal=True)
    content = checkpoint.load(tmp_path / "run" / "last.pt")
    rate = content["optimiser"]["param_groups"][0]["lr"]
    assert rate < 0.5 * recipe.train.rate


def test_frozen_parts_keep_their_weights_and_statistics(recipe_file: Path, tmp_path: Path) -> None:
    recipe = load_recipe(recipe_file, ['train.frozen=["backbone.stem"]'])
    last = training.train(recipe, tmp_path / "work", device=CPU, minutes=0)
    torch.manual_seed(recipe.seed)
    fresh = road.build(recipe).state_dict()
    net = checkpoint.load(last)["net"]
    stem = [name for name in net if name.startswith("backbone.stem")]
    assert stem and all(torch.equal(net[name], fresh[name]) for name in stem)
    assert not torch.equal(net["heads.0.box.weight"], fresh["heads.0.box.weight"])
