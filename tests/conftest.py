"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real clips, labelled data and public checkpoints that lie beside the repository, not in it."""
    folder = Path(os.environ.get("PERCEPTION_SHARED", ROOT.parent / "shared"))
    if not (folder / "clips").is_dir():
        pytest.skip(f"needs the real clips and data in {folder} (PERCEPTION_SHARED names another place)")
    return folder
