"""Checkpoints: one file, written whole or not at all, checked by sha256, loaded without running code."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import torch

from perception.errors import InputError

MAGIC = b"road-perception-checkpoint/1 "


def save(path: str | Path, content: dict[str, Any]) -> None:
    """Write tensors, numbers, text, lists and dicts, after a line with their sha256."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save(content, buffer)
    payload = buffer.getvalue()
    digest = hashlib.sha256(payload).hexdigest().encode()
    waiting = path.with_name(path.name + ".part")
    waiting.write_bytes(MAGIC + digest + b"\n" + payload)
    os.replace(waiting, path)


def load(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint.

    Raises:
        InputError: no such file, not a checkpoint, or it differs from its sha256.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint")
    head, _, payload = path.read_bytes().partition(b"\n")
    if not head.startswith(MAGIC):
        raise InputError(f"{path}: not a checkpoint of this project")
    wanted, found = head[len(MAGIC) :].decode(), hashlib.sha256(payload).hexdigest()
    if wanted != found:
        raise InputError(
            f"{path}: damaged: its content has sha256 {found}, but should have {wanted}"
        )
    content = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    assert isinstance(content, dict)
    return content
