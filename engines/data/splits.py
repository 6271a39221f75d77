"""What is held back from training beyond the sources' own eval splits.

Plates are one long recording: its last fifth is held back, with a gap before it, so that no car is on
both sides. German dashcam frames (GTSDB) have a group each: every eighth group, by a checksum.
"""

from __future__ import annotations

import zlib
from pathlib import Path

PLATES_FROM = 309
PLATES_GAP = 5


def held_back(source: str, group: str, path: Path) -> bool:
    """Whether a picture judges rather than trains."""
    if source == "plates":
        return int(path.stem) >= PLATES_FROM
    return source == "gtsdb" and zlib.crc32(group.encode()) % 8 == 0


def trainable(source: str, group: str, path: Path) -> bool:
    """Whether a picture of a train split may be trained on."""
    if source == "plates" and int(path.stem) >= PLATES_FROM - PLATES_GAP:
        return False
    return not held_back(source, group, path)
