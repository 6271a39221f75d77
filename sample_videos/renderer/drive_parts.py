"""What the drives of the sample clips share."""

from __future__ import annotations

import numpy as np

from .builder import Builder

Pace = tuple[tuple[float, float], ...]


def waves(*rows: tuple[float, float, float]) -> np.ndarray:
    """Return road waves of (amplitude m, length m, phase), moved to pass the origin straight."""
    return np.array([(a, 2 * np.pi / length, p) for a, length, p in rows], np.float32)


def walkers(builder: Builder, time: float, sideways: float, count: int) -> None:
    """Add people who walk along a pavement."""
    rng = builder.rng
    for _ in range(count):
        z = float(rng.uniform(2, 120))
        actor = builder.actor(
            "person",
            sideways + float(rng.uniform(-1.1, 1.1)),
            z,
            speed=float(rng.choice([-1.35, 1.25, -1.1, 0.0])),
        )
        actor.turn = float(rng.uniform(-2, 2)) if not actor.speed else 0.0
        if 54 < z < 70:
            actor.z += 22
        builder.add(actor, time)
