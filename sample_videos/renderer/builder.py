"""Puts things into a scene: vehicles, riders, people, signs, signals, trees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .actors import BUS_PAINTS, LOADS, Actor, random_paint
from .geometry import Floats, Mesh, placed, rotation
from .model import Model
from .people import CLOTHES, Looks, pose, random_looks
from .plates import PLATE_COUNT
from .road import Road
from .scene import Colour, Item, Scene, Thing
from .signs import BOARD_COUNT, SIGN_NAMES
from .street import HOUSES, LIGHT_STATES
from .vehicles import PLATE_TURN

WALLS: tuple[Colour, ...] = (
    (0.55, 0.48, 0.38),
    (0.60, 0.57, 0.52),
    (0.38, 0.20, 0.14),
    (0.45, 0.42, 0.40),
    (0.62, 0.50, 0.30),
    (0.50, 0.34, 0.26),
    (0.66, 0.64, 0.60),
    (0.35, 0.36, 0.36),
)


@dataclass(slots=True)
class Builder:
    """A scene under construction.

    Attributes:
        scene: the scene.
        models: the vehicle models by name.
        rng: the source of chance.
        next_identity: the next free identity.
        glow_scale: strength of the halos.
        origin: where along the road the scenery begins.
    """

    scene: Scene
    models: dict[str, Model]
    rng: np.random.Generator
    next_identity: int = 1
    glow_scale: float = 1.0
    origin: float = 0.0

    @property
    def road(self) -> Road:
        """Return the road."""
        return self.scene.road

    def take(self, count: int = 1) -> int:
        """Return the first of `count` new identities."""
        first = self.next_identity
        self.next_identity += count
        return first

    def actor(self, model: str, sideways: float, z: float, **more: object) -> Actor:
        """Return a new actor with random looks; `more` overrides."""
        rng = self.rng
        if model == "person":
            actor = Actor("person", model, self.take(), sideways, z, looks=random_looks(rng))
        else:
            kind = self.models[model].class_name
            actor = Actor(kind, model, self.take(4), sideways, z)
            actor.paint = random_paint(rng)
            if kind == "bus":
                actor.paint = BUS_PAINTS[int(rng.integers(len(BUS_PAINTS)))]
            if kind == "truck":
                actor.paint = (
                    LOADS[int(rng.integers(len(LOADS)))] if rng.random() < 0.6 else actor.paint
                )
                actor.load = LOADS[
                    int(rng.choice(len(LOADS), p=[0.3, 0.2, 0.1, 0.08, 0.08, 0.1, 0.07, 0.07]))
                ]
            if kind in ("bicycle", "motorcycle"):
                actor.looks = random_looks(rng, helmet=kind == "motorcycle" or rng.random() < 0.4)
        actor.seed = int(rng.integers(1000))
        for name, value in more.items():
            setattr(actor, name, value)
        return actor

    def matrix(self, actor: Actor, time: float) -> Floats:
        """Return where an actor stands at a time."""
        sideways, along, _ = actor.place(time)
        x, z, heading = self.road.at(sideways, along)
        heading += actor.turn + (np.pi if actor.speed < 0 or actor.backwards else 0.0)
        if actor.kind == "person" and actor.across and not actor.speed:
            heading = float(self.road.heading(along)) + np.sign(actor.across) * np.pi / 2
        return placed(x, 0.0, z, heading=heading)

    def add(self, actor: Actor, time: float = 0.0) -> None:
        """Add an actor as it is at a time."""
        matrix = self.matrix(actor, time)
        distance = matrix[:3, 3] - self.scene.camera.eye
        if float(np.hypot(distance[0], distance[2])) > 260:
            return
        if actor.kind == "person":
            _, _, moved = actor.place(time)
            pace = max(abs(actor.across), abs(actor.speed), 0.01)
            gait = actor.gait if pace > 0.1 else "stand"
            if actor.waits[0] <= time < actor.waits[1]:
                gait = "stand"
            phase = moved * pace * 4.2 + actor.seed
            self._person(matrix, actor.looks, gait, phase, actor.identity)
            self.scene.contacts.append((matrix[0, 3], matrix[2, 3], 0.36, 0.36, 0.0, 0.55))
            return
        self._vehicle(actor, matrix, time)

    def _person(
        self, matrix: Floats, looks: Looks | None, gait: str, phase: float, identity: int
    ) -> None:
        assert looks is not None
        self.scene.things[identity] = Thing("person")
        for name, part, colour in pose(looks, gait, phase):
            self.scene.items.append(Item(f"person/{name}", matrix @ part, colour, identity))

    def _vehicle(self, actor: Actor, matrix: Floats, time: float) -> None:
        scene, model = self.scene, self.models[actor.model]
        identity = actor.identity
        brake = 1.0 if actor.brake[0] <= time < actor.brake[1] else 0.0
        lit = 1.0 if actor.lamps else 0.0
        # From 2 on, the light inside is on: a bus.
        inside = 2.0 if model.class_name == "bus" and actor.lamps else 0.0
        state = (lit, lit, brake, (actor.seed % 97) / 97 + inside)
        scene.things[identity] = Thing(model.class_name)
        for index in range(len(model.body)):
            tint = actor.load if index else actor.paint
            scene.items.append(Item(f"{model.name}/body{index}", matrix, tint, identity, state))
        scene.items.append(Item(f"{model.name}/solid", matrix, actor.paint, identity, state))
        for index, (place, turn) in enumerate(model.plates):
            here = matrix @ placed(*place) @ PLATE_TURN[turn]
            if model.class_name == "motorcycle":
                here = here @ np.diag([0.42, 1.6, 1, 1]).astype(np.float32)
            scene.things[identity + 1 + index] = Thing("plate", parent=identity)
            number = float((actor.seed * 7 + identity) % PLATE_COUNT)
            scene.items.append(
                Item("plate", here, identity=identity + 1 + index, state=(0, 0, 0, number))
            )
        if model.class_name in ("bicycle", "motorcycle"):
            assert actor.looks is not None
            _, _, moved = actor.place(time)
            gait = "ride" if model.class_name == "motorcycle" else "pedal"
            seat = (
                (matrix @ placed(0, -0.02 if gait == "ride" else -0.04, -0.27))
                if gait == "ride"
                else matrix @ placed(0, 0.0, -0.28)
            )
            self._person(seat, actor.looks, gait, moved * abs(actor.speed) * 1.1, identity + 3)
            scene.contacts.append(
                (
                    matrix[0, 3],
                    matrix[2, 3],
                    0.3,
                    model.length * 0.45,
                    float(np.arctan2(matrix[0, 2], matrix[2, 2])),
                    0.5,
                )
            )
        else:
            scene.contacts.append(
                (
                    matrix[0, 3],
                    matrix[2, 3],
                    model.width / 2,
                    model.length / 2,
                    float(np.arctan2(matrix[0, 2], matrix[2, 2])),
                    0.88,
                )
            )
        self._lamps(actor, model, matrix, brake)

    def _lamps(self, actor: Actor, model: Model, matrix: Floats, brake: float) -> None:
        """Add the halos of lit lamps that look towards the camera."""
        scene = self.scene
        if not (actor.lamps or brake):
            return
        to_eye = scene.camera.eye - matrix[:3, 3]
        ahead = matrix[:3, 2]
        facing = float(ahead @ to_eye) / (float(np.linalg.norm(to_eye)) or 1.0)
        night = scene.weather.night
        strength = self.glow_scale * (1.0 if night else 0.12)
        if facing > 0.15 and actor.lamps:
            for place in model.front_lamps:
                at = matrix @ np.array([*place, 1.0], np.float32)
                power = strength * (1.2 if model.class_name == "bicycle" else 5.5) * facing**2
                radius = 0.95 if night else 0.35
                if len(model.front_lamps) == 1:
                    radius *= 0.25 if model.class_name == "bicycle" else 0.7
                scene.glows.append((*at[:3], radius, power, power * 0.95, power * 0.86))
        if facing < -0.15:
            for place in model.rear_lamps:
                at = matrix @ np.array([*place, 1.0], np.float32)
                power = strength * (-facing) * (1.2 * float(actor.lamps) + 2.4 * brake)
                scene.glows.append((*at[:3], 0.50, power, power * 0.04, power * 0.03))

    def sign(
        self,
        name: str,
        sideways: float,
        z: float,
        *,
        size: float = 0.65,
        height: float = 2.3,
        pole: bool = True,
        turn: float = 0.0,
    ) -> None:
        """Add a sign that looks towards us."""
        x, deep, heading = self.road.at(sideways, z)
        identity = self.take()
        self.scene.things[identity] = Thing("traffic_sign", attributes={"sign": name})
        matrix = placed(x, height, deep, heading=heading + np.pi + turn, scale=(size, size, 1))
        self.scene.items.append(
            Item(
                "sign",
                matrix,
                identity=identity,
                state=(0, x % 1, deep % 1, float(SIGN_NAMES.index(name))),
            )
        )
        if pole:
            self.scene.items.append(
                Item("sign_pole", placed(x, 0, deep + 0.05, scale=(1, height + size / 2, 1)))
            )

    def board(self, sideways: float, z: float, width: float, tall: float, height: float) -> None:
        """Add a direction board that looks towards us."""
        x, deep, heading = self.road.at(sideways, z)
        identity = self.take()
        self.scene.things[identity] = Thing("traffic_sign", attributes={"sign": "direction"})
        layer = float(len(SIGN_NAMES) + int(self.rng.integers(BOARD_COUNT)))
        matrix = placed(x, height, deep - 0.45, heading=heading + np.pi, scale=(width, tall, 1))
        self.scene.items.append(Item("sign", matrix, identity=identity, state=(0, 0.3, 0.6, layer)))

    def signal(
        self,
        sideways: float,
        z: float,
        state: str,
        *,
        height: float = 2.6,
        arm: float = 0.0,
        away: bool = False,
    ) -> None:
        """Add a traffic light on a pole; `arm` carries it that far to the left over the road."""
        x, deep, heading = self.road.at(sideways, z)
        here, _, _ = self.road.at(sideways - arm, z)
        identity = self.take()
        shown = "off" if away else state
        self.scene.things[identity] = Thing("traffic_light", attributes={"light": shown})
        matrix = placed(here, height, deep - 0.15, heading=heading + (0 if away else np.pi))
        power = 1.0 if self.scene.weather.night else 1.25
        self.scene.items.append(
            Item("signal", matrix, identity=identity, state=(power, 0, 0, LIGHT_STATES[state]))
        )
        top = max(height + 0.5, 3.0)
        self.scene.items.append(Item("pole", placed(x, 0, deep, scale=(1, top, 1))))
        if arm:
            beam = placed(x, height + 0.35, deep) @ rotation("z", 90)
            self.scene.items.append(Item("pole", beam @ np.diag([1, arm, 1, 1]).astype(np.float32)))
        if not away and self.scene.weather.night:
            colours = {
                "red": (2.2, 0.12, 0.08),
                "yellow": (2.2, 1.2, 0.1),
                "green": (0.15, 1.9, 1.0),
            }
            for index, name in enumerate(("red", "yellow", "green")):
                if state == name or (state == "red_yellow" and index < 2):
                    at = (here, height + 0.31 - 0.31 * index, deep - 0.3)
                    self.scene.glows.append((*at, 0.45, *colours[name]))

    def tree(self, x: float, z: float, height: float, layer: int, *, wide: float = 1.0) -> None:
        """Add a tree or bush that faces the camera."""
        eye = self.scene.camera
        heading = float(np.arctan2(eye.x - x, eye.z - z))
        tone = self.rng.uniform(0.75, 1.1)
        season = self.rng.uniform(0.9, 1.15)
        self.scene.items.append(
            Item(
                "tree",
                placed(x, -0.05, z, heading=heading, scale=(height * wide, height, 1)),
                (tone * season, tone, tone),
                state=(0, 0, 0, float(layer)),
            )
        )

    def house(self, sideways: float, z: float, index: int, *, side: int) -> float:
        """Add a house whose front is `sideways` from the middle; return its width."""
        width, _, depth = HOUSES[index]
        x, deep, heading = self.road.at(sideways + side * depth / 2, z)
        wall = np.array(WALLS[int(self.rng.integers(len(WALLS)))]) * self.rng.uniform(0.75, 1.15)
        matrix = placed(x, 0, deep, heading=heading)
        seed = float(self.rng.random())
        self.scene.items.append(
            Item(f"house{index}", matrix, tuple(wall.tolist()), state=(0, 0, 0, seed))
        )
        if index not in (4, 5):
            roof = ((0.30, 0.12, 0.07), (0.10, 0.10, 0.11), (0.20, 0.14, 0.11))[
                int(self.rng.integers(3))
            ]
            self.scene.items.append(Item(f"roof{index}", matrix, roof))
        return width

    def strip(self, name: str, kind: str, mesh: Mesh) -> None:
        """Add a mesh that belongs to this scene alone."""
        self.scene.meshes[name] = (kind, mesh)
        self.scene.items.append(Item(name, np.eye(4, dtype=np.float32)))

    def lamp_post(self, sideways: float, z: float, *, side: int) -> None:
        """Add a street lamp; it shines at night."""
        x, deep, heading = self.road.at(sideways, z)
        turn = heading + (0 if side < 0 else np.pi)
        night = self.scene.weather.night
        matrix = placed(x, 0, deep, heading=turn)
        self.scene.items.append(Item("lamp_post", matrix, state=(6.0 if night else 0.0, 0, 0, 0)))
        if night:
            at = matrix @ np.array([1.9, 8.2, 0, 1], np.float32)
            self.scene.lamps.append((*at[:3], 0.62, 0.46, 0.26))
            self.scene.glows.append((*at[:3], 1.3, 2.2, 1.6, 0.9))

    def prop(
        self,
        mesh: str,
        sideways: float,
        z: float,
        *,
        turn: float = 0.0,
        tint: Colour = CLOTHES[0],
        scale: tuple[float, float, float] = (1, 1, 1),
    ) -> None:
        """Add a thing that has no truth of its own."""
        x, deep, heading = self.road.at(sideways, z)
        self.scene.items.append(
            Item(mesh, placed(x, 0, deep, heading=heading + turn, scale=scale), tint)
        )
