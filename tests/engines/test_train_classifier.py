"""Training a crop classifier: resumes exactly, learns, exports, and its file runs in the product."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")
pytest.importorskip("tensorboard")
pytest.importorskip("onnx")

from engines import train_classifier as training  # noqa: E402
from engines.classifier import best_temperature, conclude, predict, spoiled  # noqa: E402
from engines.crop_sets import ClassifierRecipe, CropSets, Labelled  # noqa: E402
from engines.data.crops import Crops, gtsrb  # noqa: E402
from engines.nets.crops import CropNet, cool  # noqa: E402
from engines.recipe import read_table  # noqa: E402
from perception.cli import main  # noqa: E402
from perception.errors import ConfigError, RunError  # noqa: E402
from perception.models.classifier import Classifier, softmax  # noqa: E402
from tests.engines.sign_archive import archive  # noqa: E402

CPU = torch.device("cpu")
TINY = ClassifierRecipe(
    name="tiny", kind="signs", road="", steps=40, batch=24, rate=0.01, side=16, ema=0.9,
    widths=(4, 8, 8, 8), embedding=16, shares={"nothing": 0.3},
)  # fmt: skip


@pytest.fixture
def sets(tmp_path: Path) -> CropSets:
    """Red squares are speed_20, blue ones speed_30; plain grey is none."""
    parts = gtsrb(archive(tmp_path / "a.zip"), 16)
    grey = Crops("nothing", np.full((8, 16, 16, 3), 110, np.uint8), np.full(8, 43))
    judge = Labelled(parts["judge"].pictures, parts["judge"].labels)
    rejects = Labelled(grey.pictures, grey.labels)
    both = Labelled(
        np.concatenate([judge.pictures, rejects.pictures]),
        np.concatenate([judge.labels, rejects.labels]),
    )
    return CropSets((parts["train"], grey), both, {"judge": judge, "rejects": rejects})


def weights(run: training.Training) -> np.ndarray:
    return np.concatenate([p.detach().numpy().ravel() for p in run.net.parameters()])


def test_a_killed_run_goes_on_bit_for_bit(sets: CropSets, tmp_path: Path) -> None:
    whole = training.Training(TINY, sets, tmp_path / "whole", CPU)
    for _ in range(6):
        whole.take_step()
    first = training.Training(TINY, sets, tmp_path / "parts", CPU)
    for _ in range(3):
        first.take_step()
    first.save()
    second = training.Training(TINY, sets, tmp_path / "parts", CPU)
    assert second.step == 3
    for _ in range(3):
        second.take_step()
    assert (weights(whole) == weights(second)).all()


def test_minutes_stop_and_the_same_command_goes_on(sets: CropSets, tmp_path: Path) -> None:
    assert not training.Training(TINY, sets, tmp_path, CPU).run(minutes=0)
    again = training.Training(TINY, sets, tmp_path, CPU)
    assert again.step == 1 and again.run() and again.step == TINY.steps


def test_a_checkpoint_of_another_recipe_is_refused(sets: CropSets, tmp_path: Path) -> None:
    training.Training(TINY, sets, tmp_path, CPU).save()
    with pytest.raises(ConfigError, match="was made by another recipe"):
        training.Training(replace(TINY, sha256="x"), sets, tmp_path, CPU)


def test_a_run_starts_from_the_mean_of_another(sets: CropSets, tmp_path: Path) -> None:
    first = training.Training(TINY, sets, tmp_path / "first", CPU)
    first.take_step()
    first.save()
    other = replace(TINY, rate=1e-4, sha256="other")
    path = str(tmp_path / "first" / "last.pt")
    second = training.Training(other, sets, tmp_path / "second", CPU, init=path)
    mean = first.mean.net.state_dict()
    assert all(torch.equal(value, mean[name]) for name, value in second.net.state_dict().items())
    assert second.step == 0
    wider = replace(TINY, widths=(8, 8, 8, 8))
    with pytest.raises(ConfigError, match="is a checkpoint of another net"):
        training.Training(wider, sets, tmp_path / "third", CPU, init=path)


def test_a_loss_that_is_not_a_number_stops_the_run(sets: CropSets, tmp_path: Path) -> None:
    run = training.Training(replace(TINY, rate=1e30), sets, tmp_path, CPU)
    with pytest.raises(RunError, match="the loss is nan"):
        run.run()
    assert not (tmp_path / "last.pt").exists()


def test_batches_hold_each_source_by_its_share(sets: CropSets) -> None:
    pictures, labels = training.Batches(TINY, sets.train, CPU)(0)
    assert pictures.shape == (24, 3, 16, 16)
    assert int((labels == 43).sum()) == round(0.3 * 24)


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"notihng": 0.3}, "unknown source of crops 'notihng': did you mean 'nothing'"),
        ({"nothing": 1.0}, "nothing is left for 'gtsrb'"),
    ],
)
def test_wrong_shares_are_refused(sets: CropSets, shares: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        training.Batches(replace(TINY, shares=shares), sets.train, CPU)


def test_the_temperature_may_be_set_on_spoiled_crops(sets: CropSets) -> None:
    assert spoiled(sets.calibrate, TINY) is sets.calibrate
    recipe = replace(TINY, calibrate_strength=1.0)
    found = spoiled(sets.calibrate, recipe, times=3)
    assert len(found) == 3 * len(sets.calibrate)
    assert found.pictures.dtype == np.uint8 and found.pictures.shape[1:] == (16, 16, 3)
    assert (found.pictures == spoiled(sets.calibrate, recipe, times=3).pictures).all()


def test_temperature_undoes_overconfidence() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1, (4000, 5))
    scores = softmax(logits).astype(np.float64)
    labels = np.array([rng.choice(5, p=row / row.sum()) for row in scores])
    assert best_temperature(3 * logits, labels) == pytest.approx(3, rel=0.1)


def test_cooling_divides_the_logits() -> None:
    net = CropNet(4, side=16, widths=(4, 4, 4, 4), embedding=8).eval()
    picture = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        before = net(picture)
        cool(net, 2.0)
        torch.testing.assert_close(net(picture), before / 2)


def test_unknown_kind_is_refused(tmp_path: Path) -> None:
    recipe = tmp_path / "x.toml"
    recipe.write_text('name = "x"\nkind = "sign"\nroad = "."\n')
    with pytest.raises(ConfigError, match="did you mean 'signs'"):
        read_table(ClassifierRecipe, recipe)


@pytest.mark.parametrize("name", ["signs", "lights"])
def test_the_projects_recipes_can_be_read(root: Path, name: str) -> None:
    recipe = read_table(ClassifierRecipe, root / "engines" / "recipes" / f"{name}.toml")
    assert recipe.name == name and sum(recipe.shares.values()) < 1


def test_a_tiny_run_learns_exports_and_classifies(
    sets: CropSets, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = training.Training(TINY, sets, tmp_path / "work", CPU)
    run.run()
    path, table = tmp_path / "tiny.onnx", tmp_path / "confusion.csv"
    text = conclude(run.mean.net, TINY, sets, path, confusion=str(table))
    assert "accuracy 1.0000 of 6 pictures" in text and "set on 14 crops" in text
    assert len(table.read_text(encoding="utf-8").splitlines()) == 45
    classifier = Classifier(path, backend="onnxruntime")
    assert classifier.card.metric["accuracy"] == 1.0
    assert "research" in classifier.card.licence
    assert classifier.classes[classifier.reject] == "none"
    judged = sets.judge["judge"]
    # The net that was written has cooled; the file says the same as torch.
    expected = softmax(predict(run.mean.net, judged.pictures))
    np.testing.assert_allclose(classifier.scores(judged.pictures), expected, atol=1e-3)
    classifier.close()
    picture = tmp_path / "sign.png"
    import cv2

    cv2.imwrite(str(picture), judged.pictures[0])
    assert main(["classify", str(path), str(picture), "--backend", "onnxruntime"]) == 0
    assert "speed_20\t0\t" in capsys.readouterr().out


@pytest.mark.slow
def test_the_command_trains_from_files(root: Path, shared: Path, tmp_path: Path) -> None:
    arguments = [
        str(root / "engines" / "recipes" / "lights.toml"), "--work", str(tmp_path / "work"),
        "-o", str(tmp_path / "lights.onnx"), "--device", "cpu",
        "--set", f"road={shared / 'data' / 'road'}", "--set", "rendered=[]",
        "--set", "shares={streetview = 0.2}", "--set", "nothing=50", "--set", "others=5",
        "--set", "steps=3", "--set", "batch=16",
    ]  # fmt: skip
    assert training.main(arguments) == 0
    assert Classifier(tmp_path / "lights.onnx", backend="onnxruntime").card.task == "light"


def test_a_missing_archive_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "x.toml"
    recipe.write_text('name = "x"\nkind = "signs"\nroad = "."\narchive = "no.zip"\n')
    status = training.main([str(recipe), "--work", str(tmp_path), "-o", str(tmp_path / "x.onnx")])
    assert status == 2 and "no.zip: no such archive of sign crops" in capsys.readouterr().err
