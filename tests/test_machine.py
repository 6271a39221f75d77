"""What figures were measured on."""

from __future__ import annotations

import json

import numpy as np

from perception import machine as module
from perception.machine import machine, usable_cores


def test_the_machine_is_described_in_words_that_json_knows():
    found = machine()
    assert found["cores"] == usable_cores() >= 1
    assert found["versions"]["numpy"] == np.__version__
    assert found["cpu"] and json.loads(json.dumps(found)) == found


def test_what_is_not_there_is_null(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_GOVERNOR", tmp_path / "none")
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    found = machine()
    assert found["governor"] is None and found["gpu"] is None


def test_the_governor_is_read(monkeypatch, tmp_path):
    (tmp_path / "governor").write_text("performance\n")
    monkeypatch.setattr(module, "_GOVERNOR", tmp_path / "governor")
    assert machine()["governor"] == "performance"
