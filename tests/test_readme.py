"""What README.md tells people to type is typed here."""

from __future__ import annotations

import re
import shlex
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from perception.cli import main

av = pytest.importorskip("av")
README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.split(" #")[0].strip()
    for line in README.splitlines()
    if line.startswith("    perception ")
]
PYTHON = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
# These wait for a camera or a network; tests/sources has their tests.
LIVE = ("rtsp://", "http://", "/dev/video", " 0 ", "--page", "--show", "--live", " - ")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: Path) -> Path:
    """A folder with what the examples name: drive.mp4, recordings/, pictures/, yolox_nano.onnx."""
    cv2 = pytest.importorskip("cv2")
    picture = np.full((96, 160, 3), 90, np.uint8)
    with av.open(str(tmp_path / "drive.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for index in range(6):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = index, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    for folder in ("recordings", "pictures"):
        (tmp_path / folder).mkdir()
    shutil.copy(tmp_path / "drive.mp4", tmp_path / "recordings")
    cv2.imwrite(str(tmp_path / "pictures/a.jpg"), picture)
    shutil.copy(shared / "weights/yolox_nano.onnx", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_there_are_examples_to_run() -> None:
    assert len(COMMANDS) >= 6
    assert len(PYTHON) >= 2


@pytest.mark.parametrize("command", [c for c in COMMANDS if not any(word in c for word in LIVE)])
def test_a_command_of_the_readme_works(
    command: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(shlex.split(command)[1:]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("code", PYTHON)
def test_a_python_example_of_the_readme_works(code: str, place: Path) -> None:
    exec(compile(code, "README.md", "exec"), {})


def test_the_make_targets_exist(root: Path) -> None:
    makefile = (root / "Makefile").read_text()
    for target in re.findall(r"^    make (\w+)", README, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)
