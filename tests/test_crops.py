from __future__ import annotations

import numpy as np
import pytest

from perception.card import InputSpec
from perception.colour import bgr_to_planes, planes_to_bgr
from perception.crops import as_input, cut, cut_boxes, whole
from perception.types import Frame


def ramp(width: int, height: int) -> np.ndarray:
    """Red grows to the right, green downwards: a pixel's colour says where it is."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 2] = np.arange(width)[None] * 2
    image[..., 1] = np.arange(height)[:, None] * 2
    return image


def test_a_whole_picture_of_the_right_size_is_left_as_it_is() -> None:
    image = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    assert (cut(image, whole(image), (24, 24)) == image).all()


@pytest.mark.parametrize("size", [(8, 8), (20, 20), (64, 48)])
def test_crop_pixels_come_from_where_the_box_is(size: tuple[int, int]) -> None:
    box = np.array([21.5, 30, 61.5, 70], np.float32)
    crop = cut(ramp(120, 100), box, size)
    x = 21.5 + (np.arange(size[0]) + 0.5) * 40 / size[0]
    y = 30 + (np.arange(size[1]) + 0.5) * 40 / size[1]
    # A pixel whose centre is at x has 2 * (x - 0.5) red.
    np.testing.assert_allclose(crop[0, :, 2], 2 * (x - 0.5), atol=1.5)
    np.testing.assert_allclose(crop[:, 0, 1], 2 * (y - 0.5), atol=1.5)


def test_margin_is_a_share_of_the_box() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    image[40:60, 30:70] = 255
    crop = cut(image, np.array([30, 40, 70, 60], np.float32), (48, 48), margin=0.25)
    bright = crop[..., 0] > 128
    assert bright.mean() == pytest.approx(1 / 1.5**2, abs=0.02)
    assert bright[24, 24] and not bright[0, 0]


def test_outside_the_picture_its_edge_goes_on() -> None:
    image = np.full((20, 20, 3), 7, np.uint8)
    image[:, 0] = 200
    crop = cut(image, np.array([-20, 0, 20, 20], np.float32), (40, 20))
    assert (crop[:, :19] == 200).all() and (crop[:, 25:] == 7).all()


def test_thin_stripes_are_averaged_when_a_crop_shrinks() -> None:
    image = np.zeros((160, 160, 3), np.uint8)
    image[:, ::2] = 255
    crop = cut(image, whole(image), (16, 16))
    assert np.abs(crop.astype(int) - 127).max() <= 1


def test_an_empty_box_gives_a_crop() -> None:
    assert cut(ramp(20, 20), np.array([5, 5, 5, 5], np.float32), (8, 8)).shape == (8, 8, 3)


def test_planes_and_picture_give_the_same_crops() -> None:
    planes = bgr_to_planes(ramp(120, 100), matrix="bt709")
    boxes = np.array([[10, 10, 50, 60], [-5, 80, 30, 110]], np.float32)
    from_planes = cut_boxes(Frame(planes=planes, to_bgr=planes_to_bgr), boxes, (32, 32), margin=0.1)
    from_picture = cut_boxes(Frame(planes_to_bgr(planes)), boxes, (32, 32), margin=0.1)
    assert from_planes.shape == (2, 32, 32, 3)
    difference = np.abs(from_planes.astype(int) - from_picture)
    assert np.percentile(difference, 95) <= 4


def test_the_whole_frame_is_not_converted_for_a_crop() -> None:
    def refuse(_: object) -> np.ndarray:
        raise AssertionError("the whole picture was converted")

    frame = Frame(planes=bgr_to_planes(ramp(40, 40)), to_bgr=refuse)
    assert len(cut_boxes(frame, np.array([[0, 0, 10, 10]], np.float32), (8, 8))) == 1


def test_input_is_normalised_in_the_order_of_the_card() -> None:
    crops = np.zeros((2, 4, 4, 3), np.uint8)
    crops[..., 2] = 100
    spec = InputSpec(size=(4, 4), colour="rgb", mean=(50.0, 0.0, 0.0), std=(25.0, 1.0, 1.0))
    values = as_input(crops, spec)
    assert values.shape == (2, 3, 4, 4) and values.dtype == np.float32
    assert (values[:, 0] == 2).all() and (values[:, 1:] == 0).all()
