from __future__ import annotations

from pathlib import Path

import pytest

from perception.cli import main
from tests.sources.senders import transport_stream


def test_truth_without_a_rate_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "clip.mp4", "--gt", "clip.json"]) == 2
    assert "--gt is for --at-rate" in capsys.readouterr().err


def test_a_recording_at_its_rate_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip, config = tmp_path / "clip.ts", tmp_path / "nothing.toml"
    clip.write_bytes(transport_stream())
    config.write_text("stages = []\n")
    assert main(["bench", str(clip), "--at-rate", "-c", str(config)]) == 0
    assert "25 frames, " in capsys.readouterr().out
    assert main(["bench", str(clip), "--at-rate", "-c", str(config), "--gt", "none.json"]) == 2
    assert "none.json: no such file; give the truth" in capsys.readouterr().err
