from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from perception.errors import InputError, RequestError
from perception.sources import open_source
from perception.sources.images import ImagesSource


def write(path: Path, level: int, size: tuple[int, int] = (32, 24)) -> Path:
    image = np.full((size[1], size[0], 3), level, np.uint8)
    assert cv2.imwrite(str(path), image)
    return path


def levels(source) -> list[int]:
    return [int(frame.image[0, 0, 0]) for frame in source]


def test_a_folder_is_read_in_natural_order(tmp_path):
    for number in (10, 9, 2, 1, 100):
        write(tmp_path / f"frame{number}.png", number)
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / ".hidden.png").write_bytes(b"")
    source = open_source(tmp_path)
    assert levels(source) == [1, 2, 9, 10, 100]
    assert (source.info.kind, source.info.size, source.info.frames) == ("pictures", (32, 24), 5)
    assert (source.claimed, source.decoded, source.corrupt, source.damage) == (5, 5, 0, [])


def test_every_picture_carries_its_path(tmp_path):
    first, second = write(tmp_path / "a.png", 1), write(tmp_path / "b.jpg", 2)
    assert [frame.path for frame in open_source(tmp_path)] == [str(first), str(second)]


def test_a_glob_takes_the_pictures_it_matches(tmp_path):
    for name in ("left_1.png", "left_2.png", "right_1.png"):
        write(tmp_path / name, 7)
    assert len(list(open_source(str(tmp_path / "left_*.png")))) == 2
    with pytest.raises(InputError, match="nothing matches"):
        open_source(str(tmp_path / "up_*.png"))


def test_one_picture_or_a_list_of_them_is_a_source(tmp_path):
    first, second = write(tmp_path / "a.png", 1), write(tmp_path / "b.png", 2)
    assert levels(open_source(first)) == [1]
    assert levels(open_source([second, first])) == [1, 2]
    with pytest.raises(InputError, match=r"gone\.png: no such file"):
        open_source([first, tmp_path / "gone.png"])


def test_fps_makes_pictures_a_sequence_in_time(tmp_path):
    for number in range(4):
        write(tmp_path / f"{number}.png", number)
    source = open_source(tmp_path, fps=29.97)
    assert source.info.kind == "video"
    assert source.info.rate == Fraction(29970, 1000)
    assert [frame.pts * frame.time_base for frame in source] == [
        i / source.info.rate for i in range(4)
    ]


def test_fps_of_a_sequence_must_make_sense(tmp_path):
    write(tmp_path / "a.png", 1)
    with pytest.raises(InputError, match="fps must be above 0 and at most 1000, but is -1"):
        open_source(tmp_path, fps=-1)


def test_fps_is_refused_for_a_video_file(tmp_path):
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"x")
    with pytest.raises(RequestError, match="fps is for pictures"):
        open_source(clip, fps=10)


def test_a_sequence_keeps_the_first_size_and_says_so(tmp_path):
    write(tmp_path / "1.png", 1)
    write(tmp_path / "2.png", 2, size=(64, 64))
    source = open_source(tmp_path, fps=5)
    assert {frame.size for frame in source} == {(32, 24)}
    assert source.damage == [f"{tmp_path / '2.png'}: is 64x64; scaled to 32x24"]
    assert {frame.size for frame in open_source(tmp_path)} == {(32, 24), (64, 64)}


def test_unreadable_pictures_are_skipped_counted_and_named(tmp_path):
    write(tmp_path / "1.png", 1)
    (tmp_path / "2.png").write_bytes(b"\x89PNG nonsense")
    (tmp_path / "3.png").write_bytes(b"")
    write(tmp_path / "4.png", 4)
    source = open_source(tmp_path, fps=10)
    frames = list(source)
    assert [frame.pts for frame in frames] == [0, 3]
    assert (source.claimed, source.decoded, source.corrupt) == (4, 2, 2)
    assert "2.png: is no picture that can be read" in source.damage[0]
    assert "3.png: the file is empty" in source.damage[1]


def test_exif_orientation_is_applied(tmp_path):
    upright = np.zeros((24, 32, 3), np.uint8)
    upright[:, :16] = 200
    coded, data = cv2.imencode(".jpg", upright)
    assert coded
    # An APP1 segment with one tag: Orientation (0x0112) = 6, a quarter turn clockwise to be shown.
    tag = bytes.fromhex("0112000300000001000600000000 0000".replace(" ", ""))
    body = b"Exif\0\0" + b"MM\0*\0\0\0\x08" + b"\0\x01" + tag
    segment = b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body
    path = tmp_path / "turned.jpg"
    path.write_bytes(data.tobytes()[:2] + segment + data.tobytes()[2:])
    (frame,) = open_source(path)
    assert frame.size == (24, 32)
    assert frame.image[:8].mean() > 150 > 50 > frame.image[-8:].mean()


def test_a_folder_without_pictures_is_refused(tmp_path):
    (tmp_path / "drive.mp4").write_bytes(b"x")
    with pytest.raises(
        InputError, match=r"no picture in this folder.*Videos are given by their own"
    ):
        open_source(tmp_path)


def test_nothing_but_broken_pictures_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="none of its 1 pictures can be read"):
        open_source(tmp_path)


def test_closing_ends_the_source(tmp_path):
    for number in range(4):
        write(tmp_path / f"{number}.png", number)
    source = ImagesSource([tmp_path])
    frames = iter(source)
    next(frames)
    source.close()
    source.close()
    assert list(frames) == []
    assert source.decoded == 1
