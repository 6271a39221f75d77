"""What a label of a data source means in our classes, and what its absence means."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

# Labels that are not a class of ours by name. Several classes: one of them, unknown which.
MEANING: dict[str, tuple[str, ...]] = {
    "vehicle": ("car", "truck"),
    "tl_red": ("traffic_light",),
    "tl_yellow": ("traffic_light",),
    "tl_green": ("traffic_light",),
    "stop": ("traffic_sign",),
}
# Labelled in some pictures, wanted in none.
UNUSED = ("crosswalk",)
# A source that labels only some kinds of a class says nothing about the absence of that class.
PARTIAL_SIGNS = ("speed_", "stop")


def meaning(label: str) -> tuple[str, ...]:
    """Our classes that `label` may stand for; empty when it is not used.

    >>> meaning("vehicle"), meaning("speed_50"), meaning("crosswalk")
    (('car', 'truck'), ('traffic_sign',), ())
    """
    if label in UNUSED:
        return ()
    if label.startswith("speed_"):
        return ("traffic_sign",)
    return MEANING.get(label, (label,))


def known_classes(labelled: Sequence[str], classes: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Which classes (C,) a picture's source labels wholly: what is not boxed is not there.

    Args:
        labelled: the source's labels.
        classes: our classes.
    """
    known = np.zeros(len(classes), bool)
    partial = any(label.startswith(PARTIAL_SIGNS) for label in labelled)
    for label in labelled:
        if partial and (label.startswith(PARTIAL_SIGNS) or label.startswith("tl_")):
            continue
        for name in meaning(label):
            if name in classes:
                known[list(classes).index(name)] = True
    return known
