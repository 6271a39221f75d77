"""Where the cache is on each platform and when it cannot be written; files are whole or not there."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from perception.backends.cache_folder import cache_folder, writable_cache, write_atomically
from perception.errors import EngineError


@pytest.mark.parametrize("step", ["write", "rename"])
def test_a_failed_write_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    target = tmp_path / "a.plan"
    target.write_bytes(b"old")

    def fail(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync" if step == "write" else "replace", fail)
    with pytest.raises(EngineError, match="cannot be written: No space left"):
        write_atomically(target, b"new")

    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_ctrl_c_in_a_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a.plan", b"new")

    assert list(tmp_path.iterdir()) == []


def test_the_cache_folder_is_the_platform_s(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PERCEPTION_CACHE", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "perception"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "perception"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_folder() == Path.home() / "Library" / "Caches" / "perception"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert cache_folder() == tmp_path / "local" / "perception"
    monkeypatch.setenv("PERCEPTION_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"


def test_an_unwritable_folder_that_was_asked_for_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PERCEPTION_CACHE", str(tmp_path / "file"))

    with pytest.raises(EngineError, match=r"\(from PERCEPTION_CACHE\) cannot be written"):
        writable_cache()


def test_an_unwritable_default_folder_becomes_a_temporary_one_with_one_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.delenv("PERCEPTION_CACHE", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    folder = writable_cache()

    assert folder.is_dir() and folder.parent == tmp_path and writable_cache() == folder
    (record,) = caplog.records
    assert "built again at the next start" in record.message


def test_a_writable_folder_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PERCEPTION_CACHE", str(tmp_path / "deep" / "cache"))

    assert writable_cache() == tmp_path / "deep" / "cache" / "tensorrt"
    assert list(writable_cache().iterdir()) == []
