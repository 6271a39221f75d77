"""The command that prints every engine's figures."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from engines import evaluate
from engines.figures import road


def test_figures_of_the_chosen_engine_are_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(road, "report", lambda *, threads: f"measured with {threads}")
    assert evaluate.main(["road", "--threads", "2"]) == 0
    assert capsys.readouterr().out == "## road\n\nmeasured with 2\n\n"


def test_every_engine_has_figures() -> None:
    assert "road" in evaluate.NAMES


def test_unknown_engine_lists_the_known(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        evaluate.main(["boat"])
    assert stop.value.code == 2
    assert "road" in capsys.readouterr().err


def test_missing_data_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main(["--data", "nowhere"]) == 2
    assert "nowhere" in capsys.readouterr().err
