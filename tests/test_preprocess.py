from __future__ import annotations

import numpy as np
import pytest

from perception.card import InputSpec
from perception.colour import bgr_to_planes, planes_to_bgr, planes_to_bgr_resized
from perception.preprocess import Preprocessor, fitting_size
from perception.types import Frame


def gradient(width: int, height: int) -> np.ndarray:
    """Blue grows to the right, green downwards."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0] = np.linspace(0, 250, width).astype(np.uint8)
    picture[..., 1] = np.linspace(0, 250, height).astype(np.uint8)[:, None]
    return picture


@pytest.mark.parametrize("fit", ["letterbox", "letterbox_top_left", "stretch"])
@pytest.mark.parametrize("source", [(1280, 720), (540, 960), (321, 241), (64, 64)])
def test_a_point_goes_into_the_input_and_back(fit: str, source: tuple[int, int]) -> None:
    spec = InputSpec(size=(320, 192), fit=fit, pad=7)
    frame = Frame(gradient(*source))
    tensor, mapping = Preprocessor(spec)(frame)
    assert tensor.shape == (1, 3, 192, 320)
    box = np.array(
        [[source[0] * 0.25, source[1] * 0.4, source[0] * 0.5, source[1] * 0.8]], np.float32
    )
    inside = box * np.array(mapping.scale * 2) + np.array(mapping.offset * 2)
    assert mapping.to_source(inside.astype(np.float32)) == pytest.approx(box, abs=1e-3)
    # The picture really lies there: its colours at the mapped corner are the source's.
    x, y = inside[0, :2]
    blue, green = tensor[0, 0, int(y), int(x)], tensor[0, 1, int(y), int(x)]
    assert blue == pytest.approx(250 * 0.25, abs=5)
    assert green == pytest.approx(250 * 0.4, abs=5)


def test_padding_has_its_colour_and_stays_clean_when_the_source_changes_size() -> None:
    prepare = Preprocessor(InputSpec(size=(64, 64), fit="letterbox", pad=114))
    prepare(Frame(np.full((64, 64, 3), 255, np.uint8)))
    tensor, _ = prepare(Frame(np.full((32, 64, 3), 255, np.uint8)))
    assert (tensor[0, :, :16] == 114).all()
    assert (tensor[0, :, 16:48] == 255).all()
    assert (tensor[0, :, 48:] == 114).all()


def test_mean_std_and_colour_order() -> None:
    spec = InputSpec(size=(8, 8), colour="rgb", mean=(10, 20, 30), std=(2, 4, 5))
    picture = np.empty((8, 8, 3), np.uint8)
    picture[:] = (80, 60, 50)
    tensor, _ = Preprocessor(spec)(Frame(picture))
    assert tensor[0, :, 3, 3] == pytest.approx([(50 - 10) / 2, (60 - 20) / 4, (80 - 30) / 5])


@pytest.mark.parametrize("source", [(320, 180), (200, 300), (96, 64), (97, 65)])
@pytest.mark.parametrize("colour", ["bgr", "rgb"])
def test_planes_become_the_tensor_of_their_resized_picture(
    source: tuple[int, int], colour: str
) -> None:
    spec = InputSpec(
        size=(96, 64), colour=colour, mean=(10, 20, 30), std=(2, 4, 5), fit="letterbox", pad=50
    )
    planes = bgr_to_planes(gradient(*source))
    prepare = Preprocessor(spec)
    prepare(Frame(np.full((64, 96, 3), 255, np.uint8)))  # fills what the next picture pads
    tensor, _ = prepare(Frame(planes=planes, to_bgr=planes_to_bgr))
    _, (x, y, width, height) = prepare.place(source)
    canvas = np.full((64, 96, 3), 50, np.uint8)
    canvas[y : y + height, x : x + width] = planes_to_bgr_resized(planes, (width, height))
    ordered = canvas[..., ::-1] if colour == "rgb" else canvas
    wanted = (ordered.astype(np.float32) - np.float32(spec.mean)) * (1 / np.float32(spec.std))
    assert tensor.dtype == np.float32
    assert (tensor[0] == wanted.transpose(2, 0, 1)).all()


@pytest.mark.parametrize("source", [(1920, 1080), (480, 640), (3000, 100), (100, 3000), (1, 1)])
@pytest.mark.parametrize("pixels", [416 * 256, 640 * 384])
def test_the_fitting_size_stays_within_its_budget_and_beats_every_other(
    source: tuple[int, int], pixels: int
) -> None:
    def scale(size: tuple[int, int]) -> float:
        return min(size[0] / source[0], size[1] / source[1])

    chosen = fitting_size(source, pixels=pixels, multiple=32)
    assert chosen[0] % 32 == chosen[1] % 32 == 0
    assert chosen[0] * chosen[1] <= pixels
    best = max(
        scale((w, h))
        for w in range(32, pixels // 32 + 1, 32)
        for h in range(32, pixels // w + 1, 32)
    )
    assert scale(chosen) == pytest.approx(best)
