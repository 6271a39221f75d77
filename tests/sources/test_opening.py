from pathlib import Path

import pytest

from perception.sources import opening
from tests.clips import clip


@pytest.mark.parametrize(
    ("cores", "largest", "alone"), [(2, 10**9, True), (8, 10**9, False), (2, 100, False)]
)
def test_one_thread_decodes_only_small_pictures_on_few_cores(
    cores: int, largest: int, alone: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "usable_cores", lambda: cores)
    monkeypatch.setattr(opening, "FULL_HD", largest)
    path = tmp_path / "clip.mp4"
    path.write_bytes(clip())
    with opening.opened(path) as container:
        context = opening.video_stream(container, path).codec_context
        assert (context.thread_count == 1) is alone
