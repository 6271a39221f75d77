"""Crop classifiers: tracks stay whole, calibration is measured, a tiny run learns and exports."""

from __future__ import annotations

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")
pytest.importorskip("tensorboard")

from engines import train_classifier as training  # noqa: E402
from engines.data import crops  # noqa: E402
from engines.nets.crops import CropNet, cool  # noqa: E402
from perception.card import EngineCard  # noqa: E402
from perception.errors import ConfigError, InputError  # noqa: E402


def archive(path: Path, *, extra: str | None = None) -> Path:
    """Two classes of signs, six tracks each, three pictures a track: red and blue squares."""
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as file:
        for label, colour in ((0, (0, 0, 220)), (1, (220, 0, 0))):
            for track in range(6):
                for number in range(3):
                    image = rng.integers(90, 140, (24, 24, 3)).astype(np.uint8)
                    image[4:20, 4:20] = colour
                    data = cv2.imencode(".jpg", image)[1].tobytes()
                    file.writestr(f"{label:02d}/{track:05d}_{number:02d}.jpg", data)
        if extra:
            file.writestr(extra, b"no picture")
    return path


def test_tracks_are_never_split(tmp_path: Path) -> None:
    train_set, judge_set = crops.sign_crops(archive(tmp_path / "a.zip"), 16)
    assert (len(train_set), len(judge_set)) == (30, 6)
    assert np.bincount(judge_set.labels).tolist() == [3, 3]
    assert train_set.pictures.shape == (30, 16, 16, 3)


@pytest.mark.parametrize(
    ("extra", "message"),
    [("00/00000_99.jpg", "cannot be decoded"), ("00/picture.jpg", r"must be CC/TTTTT_FF\.jpg")],
)
def test_a_broken_entry_is_named(tmp_path: Path, extra: str, message: str) -> None:
    with pytest.raises(
        InputError, match=rf"a\.zip: {extra.replace('.', chr(92) + '.')}: .*{message}"
    ):
        crops.sign_crops(archive(tmp_path / "a.zip", extra=extra), 16)


def test_missing_archive_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such archive"):
        crops.sign_crops(tmp_path / "b.zip", 16)


def test_crop_shows_the_box_with_its_margin() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    image[40:60, 30:70] = 255
    square = crops.crop(image, np.array([30, 40, 70, 60], np.float32), 48)
    bright = square[..., 0] > 128
    share = 1 / (1 + 2 * crops.MARGIN)
    assert bright.mean() == pytest.approx(share**2, abs=0.06)
    assert bright[24, 24] and not bright[0, 0]


def test_crops_of_nothing_touch_no_object(rectangles: Path) -> None:
    found = crops.background(
        rectangles, 8, label=3, avoid=["car", "person"], most=30, judging=False
    )
    assert 0 < len(found) <= 30 and set(found.labels) == {3}
    # Cars are white and people black on grey: a crop that touched one would show it.
    assert found.pictures.min() > 60 and found.pictures.max() < 160


def test_perfectly_calibrated_scores_have_no_error() -> None:
    score = np.repeat([0.55, 0.75, 0.95], 20)
    right = np.concatenate([np.arange(20) < 20 * s for s in (0.55, 0.75, 0.95)])
    assert training.calibration_error(score, right) == pytest.approx(0, abs=1e-9)
    assert training.calibration_error(np.full(10, 0.9), np.zeros(10, bool)) == pytest.approx(0.9)


def test_temperature_undoes_overconfidence() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1, (4000, 5))
    scores = training.softmax(logits)
    labels = np.array([rng.choice(5, p=row) for row in scores])
    assert training.best_temperature(3 * logits, labels) == pytest.approx(3, rel=0.1)


def test_cooling_divides_the_logits() -> None:
    net = CropNet(4, width=4).eval()
    picture = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        before = net(picture)
        cool(net, 2.0)
        torch.testing.assert_close(net(picture), before / 2)


def test_unknown_kind_is_refused(tmp_path: Path) -> None:
    recipe = tmp_path / "x.toml"
    recipe.write_text('name = "x"\nkind = "sign"\nroad = "."\n')
    with pytest.raises(ConfigError, match="did you mean 'signs'"):
        training.read_table(training.ClassifierRecipe, recipe)


def test_a_tiny_run_learns_and_exports(tmp_path: Path, rectangles: Path) -> None:
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    recipe = training.ClassifierRecipe(
        name="tiny", kind="signs", road="", epochs=40, batch=16, width=4, side=16, rate=0.01
    )
    train_set, judge_set = crops.sign_crops(archive(tmp_path / "a.zip"), 16)
    grey = crops.Crops(np.full((6, 16, 16, 3), 110, np.uint8), np.full(6, 2))
    train_set, judge_set = crops.join(train_set, grey), crops.join(judge_set, grey)
    net = training.fit(recipe, train_set, 3)
    logits = training.predict(net, judge_set)
    text, metric = training.judge(logits, judge_set.labels, ("red", "blue", "none"))
    assert metric["accuracy"] > 0.9 and "6 objects, 6 crops of nothing" in text
    training.write(net, tmp_path / "tiny.onnx", recipe, ("red", "blue", "none"), metric)
    props = {p.key: p.value for p in onnx.load(str(tmp_path / "tiny.onnx")).metadata_props}
    card = EngineCard.from_metadata(props, where="tiny")
    assert card is not None and card.classes[2] == card.decoder["reject"] == "none"
    session = onnxruntime.InferenceSession(
        str(tmp_path / "tiny.onnx"), providers=["CPUExecutionProvider"]
    )
    found = session.run(None, {"images": training.tensor(judge_set.pictures).numpy()})[0]
    np.testing.assert_allclose(found, logits, rtol=1e-3, atol=1e-3)
