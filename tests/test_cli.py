from __future__ import annotations

from pathlib import Path

import pytest

import perception
from perception.cli import COMMANDS, main


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert f"perception {command}" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert perception.__version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "nope.mp4"], "nope.mp4: no such file"),
        (["run", "nope/*.png"], "nothing matches"),
        (["bench", "nope.mp4"], "nope.mp4"),
        (["track", "nope.txt", "-o", "out.txt"], "nope.txt"),
        (["eval", "tracking", "--gt", "nope", "--tracks", "nope"], "nope"),
        (["eval", "detection", "--gt", "nope"], "nope"),
        (["build", "nope"], "unknown engine 'nope'"),
    ],
)
def test_a_wrong_request_is_one_sentence_and_status_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str],
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("perception: ")
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir()), "nothing is left behind"


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "nope.mp4", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err
