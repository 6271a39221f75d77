from types import SimpleNamespace

import av
import numpy as np
import pytest

from perception.sources.decoded import Orientation, PlanesReader, orientation_of

ONE = 1 << 16
# a b c d of the display matrix, and what a player makes of the rows [[1, 2, 3], [4, 5, 6]].
MATRICES = {
    "as stored": ((1, 0, 0, 1), [[1, 2, 3], [4, 5, 6]]),
    "quarter turn clockwise": ((0, 1, -1, 0), [[4, 1], [5, 2], [6, 3]]),
    "quarter turn anticlockwise": ((0, -1, 1, 0), [[3, 6], [2, 5], [1, 4]]),
    "half turn": ((-1, 0, 0, -1), [[6, 5, 4], [3, 2, 1]]),
    "mirrored": ((-1, 0, 0, 1), [[3, 2, 1], [6, 5, 4]]),
    "upside down": ((1, 0, 0, -1), [[4, 5, 6], [1, 2, 3]]),
    "transposed": ((0, 1, 1, 0), [[1, 4], [2, 5], [3, 6]]),
}


def tagged(a: int, b: int, c: int, d: int) -> SimpleNamespace:
    matrix = [a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30]
    return SimpleNamespace(side_data={"DISPLAYMATRIX": np.array(matrix, np.int32).tobytes()})


@pytest.mark.parametrize("name", MATRICES)
def test_a_display_matrix_turns_pixels_as_players_do(name):
    numbers, shown = MATRICES[name]
    stored = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)
    orientation = orientation_of(tagged(*numbers))
    assert orientation.apply(stored).tolist() == shown
    assert orientation.shown((3, 2)) == (len(shown[0]), len(shown))


def test_without_a_display_matrix_nothing_is_turned():
    assert orientation_of(SimpleNamespace(side_data={})) == Orientation()


def frame(pixel_format: str, size: tuple[int, int] = (40, 30)) -> av.VideoFrame:
    width, height = size
    colours = np.zeros((height, width, 3), np.uint8)
    colours[:, : width // 2] = (200, 60, 30)
    colours[:, width // 2 :] = (20, 90, 210)
    return av.VideoFrame.from_ndarray(colours, "rgb24").reformat(
        format=pixel_format, dst_colorspace="ITU601", src_color_range="JPEG", dst_color_range="MPEG"
    )


@pytest.mark.parametrize(
    "pixel_format",
    ["yuv420p", "nv12", "yuv422p", "yuv444p", "yuv420p10le", "rgb24", "bgra", "gbrp"],
)
def test_every_pixel_format_becomes_planes_of_the_same_colours(pixel_format):
    from perception.colour import planes_to_bgr

    given = frame(pixel_format)
    planes = PlanesReader(given)(given)
    assert planes.matrix == "bt601"
    image = planes_to_bgr(planes).astype(int)
    assert np.abs(image[10, 5] - (30, 60, 200)).max() <= 4
    assert np.abs(image[10, 35] - (210, 90, 20)).max() <= 4


def test_line_padding_is_no_part_of_the_picture():
    given = frame("yuv420p", size=(38, 22))
    assert given.planes[0].line_size > 38
    planes = PlanesReader(given)(given)
    assert (planes.y.shape, planes.u.shape) == ((22, 38), (11, 19))


def test_a_frame_of_another_size_is_scaled_to_the_first_and_counted():
    reader = PlanesReader(frame("yuv420p"))
    planes = reader(frame("yuv420p", size=(80, 60)))
    assert planes.size == (40, 30)
    assert reader.rescaled == 1
