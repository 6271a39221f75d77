"""What there is to draw: things, who they are, the light, the camera."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .camera import Camera
from .geometry import Floats, Mesh
from .road import Road

Colour = tuple[float, float, float]

CLASSES = (
    "car",
    "truck",
    "bus",
    "motorcycle",
    "bicycle",
    "person",
    "traffic_light",
    "traffic_sign",
    "plate",
)


@dataclass(slots=True)
class Item:
    """One mesh at one place.

    Attributes:
        mesh: a name known to the renderer or in `Scene.meshes`.
        matrix: 4x4 from the mesh to the world.
        tint: colour where the mesh asks for it.
        identity: whose pixels these are; 0 nobody's.
        state: front lamps, rear lamps, brake lamps, picture or seed.
    """

    mesh: str
    matrix: Floats
    tint: Colour = (1.0, 1.0, 1.0)
    identity: int = 0
    state: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)


@dataclass(slots=True)
class Thing:
    """Somebody or something with a true box.

    Attributes:
        class_name: one of `CLASSES`.
        parent: identity of what it belongs to (a plate's vehicle), or 0. The parent's box
            takes these pixels in.
        attributes: the kind of a sign, the state of a light.
    """

    class_name: str
    parent: int = 0
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Weather:
    """Light and air, in linear units in which white paper in the sun is about 3."""

    name: str = "day"
    sun_direction: tuple[float, float, float] = (0.4, 0.7, 0.3)
    sun: Colour = (2.5, 2.35, 2.1)
    zenith: Colour = (0.22, 0.42, 0.90)
    horizon: Colour = (0.72, 0.84, 1.0)
    ground: Colour = (0.26, 0.25, 0.23)
    haze: Colour = (0.72, 0.80, 0.90)
    haze_density: float = 0.0012
    clouds: tuple[float, float, float] = (0.4, 1.5, 0.0)
    skyline: float = 0.25
    wet: float = 0.0
    night: bool = False
    beam: float = 0.0
    exposure: float = 0.75


@dataclass(slots=True)
class Scene:
    """Everything in one picture.

    Attributes:
        meshes: meshes of this scene alone: name to (program, mesh).
        glows: (x, y, z, radius, r, g, b) of halos round lamps.
        lamps: (x, y, z, r, g, b) of street lamps that light their surroundings.
        contacts: (x, z, half width, half length, heading, darkness) of shade under things.
    """

    camera: Camera
    road: Road
    weather: Weather
    items: list[Item] = field(default_factory=list)
    things: dict[int, Thing] = field(default_factory=dict)
    meshes: dict[str, tuple[str, Mesh]] = field(default_factory=dict)
    glows: list[tuple[float, ...]] = field(default_factory=list)
    lamps: list[tuple[float, ...]] = field(default_factory=list)
    contacts: list[tuple[float, ...]] = field(default_factory=list)

    def nearest_lamps(self, limit: int = 6) -> list[tuple[float, ...]]:
        """Return the lamps that matter most: ahead of the camera and near."""
        ahead = self.camera.axes()[2]
        eye = self.camera.eye

        def rank(lamp: tuple[float, ...]) -> float:
            to = np.array(lamp[:3]) - eye
            distance = float(np.linalg.norm(to))
            return distance + (25.0 if float(to @ ahead) < 0 else 0.0)

        return sorted(self.lamps, key=rank)[:limit]
