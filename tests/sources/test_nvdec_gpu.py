"""Decoding on a real NVIDIA GPU: `pytest -m gpu`."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception.sources.file import FileSource
from perception.types import Frame

pytestmark = pytest.mark.gpu
FRAMES = 60


@pytest.fixture(params=["day_highway.mp4", "night_rain.mp4"])
def clip(request: pytest.FixtureRequest, root: Path) -> Path:
    return root / "sample_videos" / str(request.param)


def frames_of(source: FileSource, count: int = FRAMES) -> list[Frame]:
    try:
        return list(islice(source, count))
    finally:
        source.close()


def on_gpu(path: Path) -> FileSource:
    pytest.importorskip("PyNvVideoCodec", exc_type=Exception)
    try:
        source = FileSource(path, decode="nvdec")
    except InputError as error:
        pytest.skip(f"needs an NVIDIA GPU that decodes: {error}")
    if source.decoder != "nvdec":
        source.close()
        pytest.skip("needs PyNvVideoCodec and an NVIDIA GPU")
    return source


def test_the_gpu_decodes_the_same_pixels_at_the_same_times(clip: Path) -> None:
    ours = frames_of(on_gpu(clip))
    want = frames_of(FileSource(clip, decode="cpu"))

    assert [frame.pts for frame in ours] == [frame.pts for frame in want]
    for mine, other in zip(ours, want, strict=True):
        assert mine.device is not None and mine.size == other.size
        assert mine.planes is not None and other.planes is not None
        for name in "yuv":
            assert np.array_equal(getattr(mine.planes, name), getattr(other.planes, name)), mine


def test_the_whole_file_comes_and_adds_up(clip: Path) -> None:
    source = on_gpu(clip)
    count = sum(1 for _ in source)
    source.close()

    assert count == source.decoded == source.claimed and source.corrupt == 0


def test_without_the_package_pyav_decodes_there(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perception.sources.nvdec.obstacle", lambda *_: "not installed")
    try:
        ours = frames_of(FileSource(clip, decode="nvdec"))
    except InputError as error:
        pytest.skip(f"needs an NVIDIA GPU that decodes: {error}")
    want = frames_of(FileSource(clip, decode="cpu"))

    assert [frame.pts for frame in ours] == [frame.pts for frame in want]
    assert ours[-1].planes is not None and want[-1].planes is not None
    assert np.array_equal(ours[-1].planes.u, want[-1].planes.u)
