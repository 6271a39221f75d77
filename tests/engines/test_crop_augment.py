"""What is done to crops in training: the same for the same seed, labels follow mirrors, pictures stay pictures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from engines.data.crop_augment import Spoiler, _compressed, _cosines, amber  # noqa: E402


def seeded(number: int) -> object:
    rng = torch.Generator()
    rng.manual_seed(number)
    return rng


def halves(count: int) -> object:
    """Crops that are dark left and bright right."""
    pictures = torch.zeros(count, 24, 24, 3, dtype=torch.uint8)
    pictures[:, :, 12:] = 255
    return pictures


def test_a_mirrored_crop_gets_the_mirrored_label() -> None:
    spoiler = Spoiler(24, torch.tensor([1, 0]))
    labels = torch.zeros(64, dtype=torch.long)
    moved, found = spoiler.moved(halves(64), labels, seeded(0), extent=1.0, widen=1.0)
    bright_right = moved[:, 0, :, 12:].mean((1, 2)) > moved[:, 0, :, :12].mean((1, 2))
    assert (bright_right == (found == 0)).all()
    assert 10 < int(found.sum()) < 54


def test_what_has_no_mirror_is_not_mirrored() -> None:
    spoiler = Spoiler(24, torch.tensor([-1]))
    labels = torch.zeros(64, dtype=torch.long)
    moved, found = spoiler.moved(halves(64), labels, seeded(0), extent=1.0, widen=1.0)
    assert (found == 0).all()
    assert (moved[:, 0, :, 18:].mean((1, 2)) > moved[:, 0, :, :6].mean((1, 2))).all()


def test_without_strength_the_wanted_crop_comes_out() -> None:
    picture = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8))
    spoiler = Spoiler(16, torch.tensor([-1]), strength=0.0)
    moved, _ = spoiler.moved(
        picture, torch.zeros(1, dtype=torch.long), seeded(0), extent=0.5, widen=1.0
    )
    middle = picture[0, 8:24, 8:24].permute(2, 0, 1).float() / 255
    torch.testing.assert_close(moved[0], middle, atol=1e-4, rtol=0)


def test_quarter_turns_lay_crops_on_their_side() -> None:
    spoiler = Spoiler(24, torch.tensor([-1]), quarter_turns=1.0)
    labels = torch.zeros(32, dtype=torch.long)
    moved, _ = spoiler.moved(halves(32), labels, seeded(0), extent=1.0, widen=1.0)
    across = (moved[:, 0, :6].mean((1, 2)) - moved[:, 0, 18:].mean((1, 2))).abs()
    assert (across > 0.5).all()


def test_a_batch_is_a_function_of_its_seed_and_stays_in_range() -> None:
    spoiler = Spoiler(24, torch.tensor([-1]))
    pictures = torch.rand(20, 3, 24, 24)
    first, again, other = (spoiler.spoiled(pictures, seeded(n)) for n in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.shape == pictures.shape and float(first.min()) >= 0 and float(first.max()) <= 1
    assert torch.isfinite(first).all()


def test_red_lights_become_yellow_and_grey_stays() -> None:
    pictures = torch.full((3, 4, 4, 3), 90, dtype=torch.uint8)
    pictures[1:, :2] = torch.tensor([30, 40, 230], dtype=torch.uint8)
    painted = amber(pictures, torch.tensor([True, True, False]), seeded(0))
    assert torch.equal(painted[0], pictures[0]) and torch.equal(painted[2], pictures[2])
    assert torch.equal(painted[1, 2:], pictures[1, 2:])
    blue, green, red = painted[1, 0, 0].tolist()
    assert blue == 30 and red == 230 and 165 <= green <= 225


def test_cosines_are_orthonormal() -> None:
    basis = _cosines()
    torch.testing.assert_close(basis @ basis.T, torch.eye(8), atol=1e-6, rtol=0)


def test_compression_loses_about_what_jpeg_loses() -> None:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (6, 6, 3), np.uint8)
    image = cv2.resize(small, (40, 40), interpolation=cv2.INTER_CUBIC)
    picture = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    losses = []
    for seed in range(12):
        changed = _compressed(picture, seeded(seed))
        losses.append(float((changed - picture).abs().mean()) * 255)
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    real = []
    for quality in (15, 80):
        code = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        real.append(np.abs(cv2.imdecode(code, cv2.IMREAD_GRAYSCALE).astype(float) - grey).mean())
    assert 0.5 * real[1] < min(losses) and max(losses) < 2 * real[0]
