"""What a vehicle consists of, and the kinds of its surfaces."""

from __future__ import annotations

from dataclasses import dataclass, field

from .geometry import Mesh

Place = tuple[float, float, float]


MATT, TINTED, CHROME, GLASS, GLOWING, GLOSSY, WHITE_LAMP, RED_LAMP = 0, 1, 2, 3, 5, 7, 8, 9


@dataclass(slots=True)
class Model:
    """A vehicle that can be placed in a scene.

    Attributes:
        name: what it is called; its meshes are named after it.
        class_name: car, truck, bus, motorcycle or bicycle.
        length, width, height: outer measures in metres.
        body: meshes textured with a livery, by the tint they take (0 cab, 1 load).
        solid: everything else.
        plates: (place, heading in degrees) of the number plates.
        front_lamps, rear_lamps: places of the lamps.
    """

    name: str
    class_name: str
    length: float
    width: float
    height: float
    body: list[Mesh] = field(default_factory=list)
    solid: Mesh = field(default_factory=Mesh)
    plates: list[tuple[Place, float]] = field(default_factory=list)
    front_lamps: list[Place] = field(default_factory=list)
    rear_lamps: list[Place] = field(default_factory=list)
