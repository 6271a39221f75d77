"""Puts things into a scene: vehicles, riders, people, signs, signals, trees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .geometry import Floats, Mesh, placed, rotation
from .people import CLOTHES, Looks, pose, random_looks
from .road import Road
from .scene import Colour, Item, Scene, Thing
from .signs import BOARD_COUNT, PLATE_COUNT, SIGN_NAMES
from .street import HOUSES, LIGHT_STATES
from .vehicles import PLATE_TURN, Model

PAINTS: tuple[tuple[Colour, float], ...] = (
    ((.78, .78, .77), 22), ((.022, .022, .024), 20), ((.16, .165, .17), 18), ((.42, .43, .44), 15),
    ((.035, .07, .19), 9), ((.36, .02, .02), 8), ((.09, .05, .03), 2), ((.03, .10, .05), 2),
    ((.55, .45, .30), 2), ((.65, .30, .03), 1), ((.60, .48, .05), 1), ((.10, .25, .42), 3))
LOADS: tuple[Colour, ...] = ((.80, .80, .79), (.75, .76, .78), (.08, .16, .40), (.50, .05, .05),
                             (.10, .30, .15), (.55, .52, .45), (.70, .45, .05), (.25, .27, .30))
BUS_PAINTS: tuple[Colour, ...] = ((.62, .08, .05), (.75, .75, .74), (.70, .50, .05),
                                  (.08, .22, .45), (.15, .40, .22), (.35, .36, .38))
WALLS: tuple[Colour, ...] = ((.55, .48, .38), (.60, .57, .52), (.38, .20, .14), (.45, .42, .40),
                             (.62, .50, .30), (.50, .34, .26), (.66, .64, .60), (.35, .36, .36))


def random_paint(rng: np.random.Generator) -> Colour:
    """Return a car colour, as often as it is seen on the road."""
    weights = np.array([weight for _, weight in PAINTS], float)
    colour = np.array(PAINTS[int(rng.choice(len(PAINTS), p=weights / weights.sum()))][0])
    return tuple(np.clip(colour * rng.uniform(.8, 1.25), .015, .85).tolist())


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
    paint: Colour = (.5, .5, .5)
    load: Colour = (.8, .8, .8)
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
                actor.paint = (LOADS[int(rng.integers(len(LOADS)))] if rng.random() < .6
                               else actor.paint)
                actor.load = LOADS[int(rng.choice(len(LOADS), p=[.3, .2, .1, .08, .08, .1, .07, .07]))]
            if kind in ("bicycle", "motorcycle"):
                actor.looks = random_looks(rng, helmet=kind == "motorcycle" or rng.random() < .4)
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
            pace = max(abs(actor.across), abs(actor.speed), .01)
            gait = actor.gait if pace > .1 else "stand"
            if actor.waits[0] <= time < actor.waits[1]:
                gait = "stand"
            phase = moved * pace * 4.2 + actor.seed
            self._person(matrix, actor.looks, gait, phase, actor.identity)
            self.scene.contacts.append((matrix[0, 3], matrix[2, 3], .36, .36, 0.0, .55))
            return
        self._vehicle(actor, matrix, time)

    def _person(self, matrix: Floats, looks: Looks | None, gait: str, phase: float,
                identity: int) -> None:
        assert looks is not None
        self.scene.things[identity] = Thing("person")
        for name, part, colour in pose(looks, gait, phase):
            self.scene.items.append(Item(f"person/{name}", matrix @ part, colour, identity))

    def _vehicle(self, actor: Actor, matrix: Floats, time: float) -> None:
        scene, model = self.scene, self.models[actor.model]
        identity = actor.identity
        brake = 1.0 if actor.brake[0] <= time < actor.brake[1] else 0.0
        lit = 1.0 if actor.lamps else 0.0
        state = (lit, lit, brake, (actor.seed % 97) / 97)
        scene.things[identity] = Thing(model.class_name)
        for index in range(len(model.body)):
            tint = actor.load if index else actor.paint
            scene.items.append(Item(f"{model.name}/body{index}", matrix, tint, identity, state))
        scene.items.append(Item(f"{model.name}/solid", matrix, actor.paint, identity, state))
        for index, (place, turn) in enumerate(model.plates):
            here = matrix @ placed(*place) @ PLATE_TURN[turn]
            if model.class_name == "motorcycle":
                here = here @ np.diag([.42, 1.6, 1, 1]).astype(np.float32)
            scene.things[identity + 1 + index] = Thing("plate", parent=identity)
            number = float((actor.seed * 7 + identity) % PLATE_COUNT)
            scene.items.append(Item("plate", here, identity=identity + 1 + index,
                                    state=(0, 0, 0, number)))
        if model.class_name in ("bicycle", "motorcycle"):
            assert actor.looks is not None
            _, _, moved = actor.place(time)
            gait = "ride" if model.class_name == "motorcycle" else "pedal"
            seat = (matrix @ placed(0, -.02 if gait == "ride" else -.04, -.27)) if gait == "ride" \
                else matrix @ placed(0, .0, -.28)
            self._person(seat, actor.looks, gait, moved * abs(actor.speed) * 1.1, identity + 3)
            scene.contacts.append((matrix[0, 3], matrix[2, 3], .3, model.length * .45,
                                   float(np.arctan2(matrix[0, 2], matrix[2, 2])), .5))
        else:
            scene.contacts.append((matrix[0, 3], matrix[2, 3], model.width / 2, model.length / 2,
                                   float(np.arctan2(matrix[0, 2], matrix[2, 2])), .88))
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
        strength = self.glow_scale * (1.0 if night else .12)
        if facing > .15 and actor.lamps:
            for place in model.front_lamps:
                at = matrix @ np.array([*place, 1.0], np.float32)
                power = strength * (1.2 if model.class_name == "bicycle" else 7.0) * facing ** 2
                radius = .95 if night else .35
                if len(model.front_lamps) == 1:
                    radius *= .25 if model.class_name == "bicycle" else .7
                scene.glows.append((*at[:3], radius, power, power * .95, power * .86))
        if facing < -.15:
            for place in model.rear_lamps:
                at = matrix @ np.array([*place, 1.0], np.float32)
                power = strength * (-facing) * (1.2 * float(actor.lamps) + 2.4 * brake)
                scene.glows.append((*at[:3], .50, power, power * .04, power * .03))

    def sign(self, name: str, sideways: float, z: float, *, size: float = .65, height: float = 2.3,
             pole: bool = True, turn: float = 0.0) -> None:
        """Add a sign that looks towards us."""
        x, deep, heading = self.road.at(sideways, z)
        identity = self.take()
        self.scene.things[identity] = Thing("traffic_sign", attributes={"sign": name})
        matrix = placed(x, height, deep, heading=heading + np.pi + turn, scale=(size, size, 1))
        self.scene.items.append(Item("sign", matrix, identity=identity,
                                     state=(0, x % 1, deep % 1, float(SIGN_NAMES.index(name)))))
        if pole:
            self.scene.items.append(Item("sign_pole", placed(
                x, 0, deep + .05, scale=(1, height + size / 2, 1))))

    def board(self, sideways: float, z: float, width: float, tall: float, height: float) -> None:
        """Add a direction board that looks towards us."""
        x, deep, heading = self.road.at(sideways, z)
        identity = self.take()
        self.scene.things[identity] = Thing("traffic_sign", attributes={"sign": "direction"})
        layer = float(len(SIGN_NAMES) + int(self.rng.integers(BOARD_COUNT)))
        matrix = placed(x, height, deep - .45, heading=heading + np.pi, scale=(width, tall, 1))
        self.scene.items.append(Item("sign", matrix, identity=identity,
                                     state=(0, .3, .6, layer)))

    def signal(self, sideways: float, z: float, state: str, *, height: float = 2.6,
               arm: float = 0.0, away: bool = False) -> None:
        """Add a traffic light on a pole; `arm` carries it that far to the left over the road."""
        x, deep, heading = self.road.at(sideways, z)
        here, _, _ = self.road.at(sideways - arm, z)
        identity = self.take()
        shown = "off" if away else state
        self.scene.things[identity] = Thing("traffic_light", attributes={"light": shown})
        matrix = placed(here, height, deep - .15, heading=heading + (0 if away else np.pi))
        power = 1.0 if self.scene.weather.night else 1.25
        self.scene.items.append(Item("signal", matrix, identity=identity,
                                     state=(power, 0, 0, LIGHT_STATES[state])))
        top = max(height + .5, 3.0)
        self.scene.items.append(Item("pole", placed(x, 0, deep, scale=(1, top, 1))))
        if arm:
            beam = placed(x, height + .35, deep) @ rotation("z", 90)
            self.scene.items.append(Item("pole", beam @ np.diag([1, arm, 1, 1]).astype(np.float32)))
        if not away and self.scene.weather.night:
            colours = {"red": (2.2, .12, .08), "yellow": (2.2, 1.2, .1), "green": (.15, 1.9, 1.0)}
            for index, name in enumerate(("red", "yellow", "green")):
                if state == name or (state == "red_yellow" and index < 2):
                    at = (here, height + .31 - .31 * index, deep - .3)
                    self.scene.glows.append((*at, .45, *colours[name]))

    def tree(self, x: float, z: float, height: float, layer: int, *, wide: float = 1.0) -> None:
        """Add a tree or bush that faces the camera."""
        eye = self.scene.camera
        heading = float(np.arctan2(eye.x - x, eye.z - z))
        tone = self.rng.uniform(.75, 1.1)
        season = self.rng.uniform(.9, 1.15)
        self.scene.items.append(Item("tree", placed(
            x, -.05, z, heading=heading, scale=(height * wide, height, 1)),
            (tone * season, tone, tone), state=(0, 0, 0, float(layer))))

    def house(self, sideways: float, z: float, index: int, *, side: int) -> float:
        """Add a house whose front is `sideways` from the middle; return its width."""
        width, _, depth = HOUSES[index]
        x, deep, heading = self.road.at(sideways + side * depth / 2, z)
        wall = np.array(WALLS[int(self.rng.integers(len(WALLS)))]) * self.rng.uniform(.75, 1.15)
        matrix = placed(x, 0, deep, heading=heading)
        seed = float(self.rng.random())
        self.scene.items.append(Item(f"house{index}", matrix, tuple(wall.tolist()),
                                     state=(0, 0, 0, seed)))
        if index not in (4, 5):
            roof = ((.30, .12, .07), (.10, .10, .11), (.20, .14, .11))[int(self.rng.integers(3))]
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
        self.scene.items.append(Item("lamp_post", matrix, state=(6.0 if night else .0, 0, 0, 0)))
        if night:
            at = matrix @ np.array([1.9, 8.2, 0, 1], np.float32)
            self.scene.lamps.append((*at[:3], .62, .46, .26))
            self.scene.glows.append((*at[:3], 1.3, 2.2, 1.6, .9))

    def prop(self, mesh: str, sideways: float, z: float, *, turn: float = 0.0,
             tint: Colour = CLOTHES[0], scale: tuple[float, float, float] = (1, 1, 1)) -> None:
        """Add a thing that has no truth of its own."""
        x, deep, heading = self.road.at(sideways, z)
        self.scene.items.append(Item(mesh, placed(x, 0, deep, heading=heading + turn, scale=scale),
                                     tint))
