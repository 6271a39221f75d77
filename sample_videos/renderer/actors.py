"""Those who move: what they look like and where they are at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .people import Looks
from .scene import Colour

# fmt: off
PAINTS: tuple[tuple[Colour, float], ...] = (
    ((.78, .78, .77), 22), ((.022, .022, .024), 20), ((.16, .165, .17), 18), ((.42, .43, .44), 15),
    ((.035, .07, .19), 9), ((.36, .02, .02), 8), ((.09, .05, .03), 2), ((.03, .10, .05), 2),
    ((.55, .45, .30), 2), ((.65, .30, .03), 1), ((.60, .48, .05), 1), ((.10, .25, .42), 3))
# fmt: on

LOADS: tuple[Colour, ...] = (
    (0.80, 0.80, 0.79),
    (0.75, 0.76, 0.78),
    (0.08, 0.16, 0.40),
    (0.50, 0.05, 0.05),
    (0.10, 0.30, 0.15),
    (0.55, 0.52, 0.45),
    (0.70, 0.45, 0.05),
    (0.25, 0.27, 0.30),
)


BUS_PAINTS: tuple[Colour, ...] = (
    (0.62, 0.08, 0.05),
    (0.75, 0.75, 0.74),
    (0.70, 0.50, 0.05),
    (0.08, 0.22, 0.45),
    (0.15, 0.40, 0.22),
    (0.35, 0.36, 0.38),
)


def random_paint(rng: np.random.Generator) -> Colour:
    """Return a car colour, as often as it is seen on the road."""
    weights = np.array([weight for _, weight in PAINTS], float)
    colour = np.array(PAINTS[int(rng.choice(len(PAINTS), p=weights / weights.sum()))][0])
    return tuple(np.clip(colour * rng.uniform(0.8, 1.25), 0.015, 0.85).tolist())


def travelled(pace: tuple[tuple[float, float], ...], time: float) -> float:
    """Return the metres gone by `time` at speeds that change linearly between (time, speed)."""
    total, (last, speed) = 0.0, pace[0]
    for at, wanted in pace[1:]:
        if time <= at:
            share = (time - last) / (at - last)
            return total + (time - last) * (speed + (speed + (wanted - speed) * share)) / 2
        total += (at - last) * (speed + wanted) / 2
        last, speed = at, wanted
    return total + (time - last) * speed


@dataclass(slots=True)
class Actor:
    """Something that moves, or could.

    Attributes:
        kind: vehicle, bicycle, motorcycle or person.
        model: the vehicle's model; person for a walker.
        identity: its identity; plates and riders take the next ones.
        sideways, z: place at time 0, in metres along the road.
        speed: metres per second along the road; negative comes towards us.
        across: metres per second to the right.
        turn: radians relative to the direction of travel.
        gait: for people: walk, run, stand.
        brake: between these times (s) the brake lamps are on.
        lamps: lamps are lit.
    """

    kind: str
    model: str
    identity: int
    sideways: float
    z: float
    speed: float = 0.0
    across: float = 0.0
    turn: float = 0.0
    paint: Colour = (0.5, 0.5, 0.5)
    load: Colour = (0.8, 0.8, 0.8)
    looks: Looks | None = None
    gait: str = "walk"
    brake: tuple[float, float] = (1e9, 1e9)
    lamps: bool = False
    seed: int = 0
    backwards: bool = False
    waits: tuple[float, float] = (-1e9, -1e9)
    pace: tuple[tuple[float, float], ...] = ()
    shift: tuple[float, float, float] = (0.0, 1.0, 0.0)

    def place(self, time: float) -> tuple[float, float, float]:
        """Return sideways, z and the time it has been moving.

        `pace` holds (time, speed) pairs and overrides `speed`; `shift` is a lane change:
        from this time, until this time, by this many metres to the right.
        """
        start, end = self.waits
        moved = time - min(max(time - start, 0.0), end - start)
        along = travelled(self.pace, time) if self.pace else self.speed * moved
        part = min(max((time - self.shift[0]) / (self.shift[1] - self.shift[0]), 0.0), 1.0)
        ease = part * part * (3 - 2 * part)
        return self.sideways + self.across * moved + self.shift[2] * ease, self.z + along, moved
