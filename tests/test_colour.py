import av
import av.video.reformatter
import cv2
import numpy as np
import pytest

from perception.colour import (
    as_nv12,
    bgr_to_planes,
    nv12,
    planes_copy,
    planes_to_bgr,
    planes_to_bgr_resized,
)
from perception.types import Planes

MATRICES = [(matrix, full) for matrix in ("bt601", "bt709", "bt2020") for full in (False, True)]
# BT.601-7 and BT.709-6: 75 % colour bars as stored, 8 bit limited range (yellow, cyan, green, magenta, red, blue).
BARS_BGR = [(0, 191, 191), (191, 191, 0), (0, 191, 0), (191, 0, 191), (0, 0, 191), (191, 0, 0)]
BARS_601 = [
    (162, 44, 142),
    (131, 156, 44),
    (112, 72, 58),
    (84, 184, 198),
    (65, 100, 212),
    (35, 212, 114),
]
BARS_709 = [
    (168, 44, 136),
    (145, 147, 44),
    (133, 63, 52),
    (63, 193, 204),
    (51, 109, 212),
    (28, 212, 120),
]


def flat(y: int, u: int, v: int, matrix: str, full_range: bool, size=(8, 6)) -> Planes:
    width, height = size
    half = ((height + 1) // 2, (width + 1) // 2)
    return Planes(
        np.full((height, width), y, np.uint8),
        np.full(half, u, np.uint8),
        np.full(half, v, np.uint8),
        matrix=matrix,
        full_range=full_range,
    )


def smooth(size: tuple[int, int]) -> np.ndarray:
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / 31), np.cos(y / 23), np.sin((x + y) / 41)]
    return np.stack([128 + 90 * wave for wave in waves], axis=-1).astype(np.uint8)


@pytest.mark.parametrize(("matrix", "bars"), [("bt601", BARS_601), ("bt709", BARS_709)])
def test_colour_bars_of_the_standards_come_out_right(matrix, bars):
    for stored, shown in zip(bars, BARS_BGR, strict=True):
        image = planes_to_bgr(flat(*stored, matrix, False))
        assert np.abs(image.astype(int) - shown).max() <= 3


@pytest.mark.parametrize(("matrix", "full_range"), MATRICES)
def test_black_and_white_are_black_and_white(matrix, full_range):
    black, white = (0, 255) if full_range else (16, 235)
    for level, shown in ((black, 0), (white, 255)):
        image = planes_to_bgr(flat(level, 128, 128, matrix, full_range))
        assert np.abs(image.astype(int) - shown).max() <= 1


@pytest.mark.parametrize(("matrix", "full_range"), MATRICES)
@pytest.mark.parametrize("size", [(96, 64), (97, 65)])
def test_a_smooth_picture_survives_the_way_there_and_back(matrix, full_range, size):
    image = smooth(size)
    planes = bgr_to_planes(image, matrix=matrix, full_range=full_range)
    assert planes.size == size
    assert planes.u.shape == ((size[1] + 1) // 2, (size[0] + 1) // 2)
    error = np.abs(planes_to_bgr(planes).astype(int) - image)
    assert error.mean() < 1.5
    assert np.percentile(error, 99) <= 6


@pytest.mark.parametrize(("matrix", "full_range"), MATRICES)
def test_conversion_agrees_with_libswscale(matrix, full_range):
    planes = bgr_to_planes(smooth((96, 64)), matrix=matrix, full_range=full_range)
    frame = av.VideoFrame(96, 64, "yuv420p")
    for plane, values in zip(frame.planes, (planes.y, planes.u, planes.v), strict=True):
        lines = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        lines[:, : plane.width] = values
    names = {"bt601": "ITU601", "bt709": "ITU709", "bt2020": "BT2020"}
    if names[matrix] not in av.video.reformatter.Colorspace.__members__:
        pytest.skip(f"PyAV {av.__version__} has no name for {matrix}")
    space = av.video.reformatter.Colorspace[names[matrix]]
    theirs = frame.reformat(
        format="bgr24",
        src_colorspace=space,
        dst_colorspace=space,
        src_color_range="JPEG" if full_range else "MPEG",
        dst_color_range="JPEG",
        interpolation="BILINEAR",
    ).to_ndarray()
    error = np.abs(planes_to_bgr(planes).astype(int) - theirs)
    assert error.mean() < 1.5
    assert np.percentile(error, 99) <= 5


@pytest.mark.parametrize("size", [(48, 32), (60, 40), (24, 16), (150, 100), (41, 17)])
def test_resizing_planes_first_gives_the_picture_one_gets_by_resizing_it_last(size):
    image = smooth((96, 64))
    planes = bgr_to_planes(image)
    found = planes_to_bgr_resized(planes, size)
    assert found.shape == (size[1], size[0], 3)
    wanted = cv2.resize(
        image, size, interpolation=cv2.INTER_AREA if size[0] < 96 else cv2.INTER_LINEAR
    )
    assert np.abs(found.astype(int) - wanted).mean() < 3


def test_shrinking_averages_thin_lines_instead_of_losing_them():
    planes = flat(16, 128, 128, "bt709", False, size=(128, 128))
    planes.y[:, ::4] = 235
    small = planes_to_bgr_resized(planes, (32, 32))
    assert 50 < small.mean() < 78
    assert small.std() < 3


def test_a_copy_can_be_drawn_on_without_changing_the_original():
    planes = flat(100, 128, 128, "bt709", False)
    planes.y.flags.writeable = False
    copy = planes_copy(planes)
    copy.y[:] = 0
    assert planes.y.min() == 100
    assert (copy.matrix, copy.full_range) == ("bt709", False)


@pytest.mark.parametrize("size", [(64, 48), (65, 48), (64, 49), (1, 1)])
def test_a_picture_in_one_piece_is_found_as_one_array(size):
    width, height = size
    made = bgr_to_planes(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))
    assert as_nv12(made) is None
    luma, chroma = nv12(made)
    views = Planes(luma, chroma[..., 0], chroma[..., 1], made.matrix, made.full_range)
    assert all(np.array_equal(getattr(views, k), getattr(made, k)) for k in "yuv")
    whole = as_nv12(views)
    if width % 2 or height % 2:
        assert whole is None
        return
    assert whole.shape == (height * 3 // 2, width) and np.shares_memory(whole, luma)
    assert np.array_equal(whole[:height], made.y)
    assert np.array_equal(whole[height:].reshape(-1, width // 2, 2)[..., 1], made.v)
    # Cut, or with Cb and Cr the other way round, it is no such picture.
    assert as_nv12(Planes(luma[:-2], views.u[:-1], views.v[:-1])) is None
    assert as_nv12(Planes(luma, views.v, views.u)) is None


def one_after_the_other(planes, size):
    """Every plane brought to the size for itself: halved while it is twice as large, then bilinear."""
    parts = []
    for part in (planes.y, planes.u, planes.v):
        while part.shape[1] >= 2 * size[0] and part.shape[0] >= 2 * size[1]:
            half = part.shape[1] // 2, part.shape[0] // 2
            part = cv2.resize(part, half, interpolation=cv2.INTER_AREA)
        parts.append(cv2.resize(part, size, interpolation=cv2.INTER_LINEAR))
    stacked = np.dstack(parts).astype(int)
    scale = [
        [255 / 219, 0, 1.7927411],
        [255 / 219, -0.2132486, -0.5329093],
        [255 / 219, 2.1124018, 0],
    ]
    return np.clip((stacked - [16, 128, 128]) @ np.array(scale).T, 0, 255)[..., ::-1]


def decoded(image):
    planes = bgr_to_planes(image)
    for plane in (planes.y, planes.u, planes.v):
        plane.flags.writeable = False
    return planes


@pytest.mark.parametrize(
    "size", [(144, 80), (160, 90), (128, 72), (300, 170), (60, 40), (400, 200)]
)
def test_planes_side_by_side_give_what_they_give_one_after_the_other(size):
    planes = decoded(smooth((320, 180)))
    error = planes_to_bgr_resized(planes, size) - one_after_the_other(planes, size)
    assert np.abs(error).max() <= 1.01


def test_the_halves_kept_of_one_picture_are_never_shown_for_another():
    first, second = decoded(smooth((320, 180))), decoded(smooth((320, 180))[::-1])
    sizes = [(144, 80), (128, 72), (144, 80), (100, 56)]
    fresh = {
        (name, size): planes_to_bgr_resized(planes_copy(planes), size)
        for name, planes in (("first", first), ("second", second))
        for size in sizes
    }
    for size in sizes:
        for name, planes in (("first", first), ("first", first), ("second", second)):
            assert (planes_to_bgr_resized(planes, size) == fresh[name, size]).all()


def test_planes_that_may_be_drawn_on_are_looked_at_anew():
    planes = flat(100, 128, 128, "bt709", False, size=(128, 128))
    before = planes_to_bgr_resized(planes, (48, 48))
    planes.y[:] = 200
    assert planes_to_bgr_resized(planes, (48, 48)).min() > before.max()


def test_a_picture_can_be_made_in_a_part_of_a_larger_one():
    planes = decoded(smooth((320, 180)))
    for size in [(144, 80), (200, 100), (320, 180)]:
        larger = np.zeros((200, 340, 3), np.uint8)
        part = larger[5 : 5 + size[1], 7 : 7 + size[0]]
        assert planes_to_bgr_resized(planes, size, out=part) is not None
        assert (part == planes_to_bgr_resized(planes, size)).all()
        assert larger.sum() == part.sum()
