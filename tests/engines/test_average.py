"""Averages of checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")

from engines import checkpoint  # noqa: E402
from engines.average import average, main, shift_objectness  # noqa: E402
from engines.nets.road import RoadNet  # noqa: E402
from perception.errors import ConfigError  # noqa: E402
from perception.types import ROAD_CLASSES  # noqa: E402


def write(
    path: Path, seed: int, *, folded: bool, classes: tuple[str, ...] = ("car", "plate")
) -> str:
    torch.manual_seed(seed)
    net = RoadNet(len(classes), folded=folded)
    content = {"recipe": {}, "classes": list(classes), "name": "x", "recipe_sha256": "", "step": 1}
    checkpoint.save(path, {**content, "folded": folded, "mean": net.state_dict()})
    return str(path)


def test_share_one_is_the_first_and_half_lies_between(tmp_path: Path) -> None:
    one = write(tmp_path / "1.pt", 1, folded=True)
    two = write(tmp_path / "2.pt", 2, folded=False)
    first = checkpoint.load(one)["mean"]
    whole, half, none = (average(one, two, share=s)["mean"] for s in (1.0, 0.5, 0.0))
    for name, value in first.items():
        assert torch.equal(whole[name], value)
        torch.testing.assert_close(half[name], (whole[name] + none[name]) / 2)
    assert not torch.equal(none["heads.0.box.weight"], first["heads.0.box.weight"])


def test_a_class_the_start_does_not_know_is_the_firsts_alone(shared: Path, tmp_path: Path) -> None:
    one = write(tmp_path / "1.pt", 1, folded=True)
    start = str(shared / "weights" / "yolox_nano.onnx")
    mixed = average(one, start, share=0.5)["mean"]["heads.0.classes.weight"]
    first = checkpoint.load(one)["mean"]["heads.0.classes.weight"]
    assert torch.equal(mixed[1], first[1]) and not torch.equal(mixed[0], first[0])


def test_the_start_may_be_a_committed_engine(root: Path, tmp_path: Path) -> None:
    engine = str(root / "engines" / "weights" / "road.onnx")
    one = write(tmp_path / "1.pt", 1, folded=False, classes=ROAD_CLASSES)
    first, none = (average(one, engine, share=share)["mean"] for share in (1.0, 0.0))
    half = average(one, engine, share=0.5)["mean"]
    committed = onnx.load(engine).graph.initializer
    arrays = {item.name: onnx.numpy_helper.to_array(item) for item in committed}
    name = "heads.0.classes.weight"  # unlike the public file's, every row is known
    np.testing.assert_array_equal(none[name].numpy(), arrays[name])
    torch.testing.assert_close(half[name], (first[name] + none[name]) / 2)


def test_mistakes_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = write(tmp_path / "1.pt", 1, folded=True)
    other = write(tmp_path / "2.pt", 1, folded=True, classes=("car", "bus"))
    for arguments, message in (
        ([one, other, "-o", "x"], "has classes"),
        ([one, one, "--share", "2", "-o", "x"], "must be in 0..1"),
        ([one, str(tmp_path / "3.pt"), "-o", "x"], "no such checkpoint"),
    ):
        assert main(arguments) == 2
        assert message in capsys.readouterr().err


def test_objectness_is_moved_in_every_level_and_nothing_else(tmp_path: Path) -> None:
    one = write(tmp_path / "1.pt", 1, folded=True)
    out = str(tmp_path / "o.pt")
    assert main([one, one, "--objectness", "-0.25", "-o", out]) == 0
    before, after = average(one, one, share=0.5)["mean"], checkpoint.load(out)["mean"]
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert moved == [f"heads.{level}.objectness.bias" for level in range(3)]
    torch.testing.assert_close(after[moved[0]], before[moved[0]] - 0.25)


def test_a_network_without_objectness_cannot_be_moved() -> None:
    with pytest.raises(ConfigError, match="no objectness"):
        shift_objectness({"weight": torch.zeros(1)}, 0.5)
