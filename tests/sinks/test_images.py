from fractions import Fraction

import cv2
import numpy as np
import pytest

from perception.errors import InputError
from perception.sinks.images import ImagesSink
from perception.sources import SourceInfo, open_source
from perception.types import Frame, FrameResult

INFO = SourceInfo("made", (32, 24), Fraction(1), kind="pictures")


def write(path, level: int):
    path.parent.mkdir(exist_ok=True)
    assert cv2.imwrite(str(path), np.full((24, 32, 3), level, np.uint8))
    return path


def test_pictures_keep_their_names_and_pixels(tmp_path):
    for name, level in (("a.png", 10), ("b.jpg", 200)):
        write(tmp_path / "in" / name, level)
    sink = ImagesSink(tmp_path / "out" / "deep")
    source = open_source(tmp_path / "in")
    sink.open(source.info)
    for frame in source:
        sink.write(FrameResult(frame))
    sink.finish({})
    sink.close()
    written = sorted((tmp_path / "out" / "deep").iterdir())
    assert [path.name for path in written] == ["a.png", "b.jpg"]
    assert [int(cv2.imread(str(path))[0, 0, 0]) for path in written] == pytest.approx(
        [10, 200], abs=2
    )


def test_what_draw_returns_is_what_is_written(tmp_path):
    sink = ImagesSink(tmp_path, draw=lambda result: 255 - result.frame.image)
    sink.open(INFO)
    sink.write(FrameResult(Frame(np.full((24, 32, 3), 30, np.uint8), path="x/a.png")))
    assert abs(int(cv2.imread(str(tmp_path / "a.png"))[5, 5, 1]) - 225) <= 2


def test_pictures_of_one_name_from_two_folders_are_told_apart(tmp_path):
    sink = ImagesSink(tmp_path / "out")
    sink.open(INFO)
    for folder in ("left", "right"):
        path = write(tmp_path / folder / "a.png", 1)
        sink.write(FrameResult(Frame(np.zeros((24, 32, 3), np.uint8), path=str(path))))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "a_2.png"]


def test_frames_of_a_video_are_numbered(tmp_path):
    sink = ImagesSink(tmp_path)
    sink.open(INFO)
    sink.write(FrameResult(Frame(np.zeros((24, 32, 3), np.uint8), index=12)))
    assert [path.name for path in tmp_path.iterdir()] == ["frame_000012.png"]


def test_an_input_is_never_overwritten(tmp_path):
    path = write(tmp_path / "in" / "a.png", 99)
    sink = ImagesSink(tmp_path / "in")
    sink.open(INFO)
    (frame,) = open_source(path)
    with pytest.raises(InputError, match="would overwrite the input picture"):
        sink.write(FrameResult(frame))
    assert cv2.imread(str(path))[0, 0, 0] == 99


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "out").write_bytes(b"x")
    with pytest.raises(InputError, match="must be a folder for pictures, but is a file"):
        ImagesSink(tmp_path / "out")
