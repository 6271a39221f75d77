from __future__ import annotations

from pathlib import Path

import pytest

from perception.config import Config, installed_configs, load_config
from perception.errors import ConfigError, InputError


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[stages]\n", r"mine\.toml: not a TOML file"),
        ("[[stage]]\n", r"unknown table 'stage': did you mean 'stages'\?"),
        ("stages = 3\n", r"stages must be tables written as \[\[stages\]\]"),
        ("overlay = 3\n", r"overlay must be a table written as \[overlay\]"),
        ("[[stages]]\nengine = 'road'\n", r"\[\[stages\]\] number 1: a stage needs a type"),
        (
            "[[stages]]\ntype = 'detektor'\n",
            r"unknown stage type 'detektor': did you mean 'detector'\?",
        ),
        (
            "[[stages]]\ntype = 'detector'\nmin_scor = 1\n",
            r"unknown key 'min_scor': did you mean 'min_score'\?",
        ),
        (
            "[[stages]]\ntype = 'detector'\nmin_score = 3\n",
            r"min_score must be in 0\.\.1, but is 3",
        ),
        (
            "[[stages]]\ntype = 'tracker'\n",
            r"reads detections\.road, which no earlier stage writes",
        ),
    ],
)
def test_a_broken_configuration_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(write(tmp_path, text)).pipeline()


def test_an_unknown_engine_is_a_clear_request_error(tmp_path: Path) -> None:
    path = write(tmp_path, "[[stages]]\ntype = 'detector'\nengine = 'raod'\n")
    with pytest.raises(InputError, match="unknown engine 'raod'"):
        load_config(path).pipeline()


def test_a_missing_file_and_an_unknown_name_are_told_apart() -> None:
    with pytest.raises(InputError, match=r"nope\.toml: no such configuration file"):
        load_config("nope.toml")
    with pytest.raises(
        InputError, match=r"unknown configuration 'dashcm': did you mean 'dashcam'\?"
    ):
        load_config("dashcm")


def test_every_installed_configuration_is_readable() -> None:
    for name in installed_configs():
        assert load_config(name).stages


def test_the_command_lines_wishes_win() -> None:
    tables = ({"type": "detector", "engine": "road", "pixels": 9}, {"type": "tracker"})
    config = Config("here", tables)
    changed = config.changed(engine="x.onnx", family="yolox", min_score=0.5, track=False)
    assert changed.stages == (
        {"type": "detector", "engine": "x.onnx", "family": "yolox", "min_score": 0.5},
    )
    assert config.changed().stages == tables
