"""Lofted vehicle bodies: a side profile, a plan and a tumblehome give one smooth shell."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .geometry import COLUMNS, Floats, Mesh, from_grid

VIEWS = ("side", "front", "rear", "top")


@dataclass(frozen=True, slots=True)
class Body:
    """Measures of a body in metres.

    Attributes:
        name: the name of the body and of its livery.
        length, width: outer measures.
        profile: (distance from the front end, height) pairs of the upper outline.
        belt: height of the shoulder line under the windows.
        floor: height of the underside.
        tumblehome: how far the side leans in, per metre above the belt.
        wheels: distances of the axles from the front end.
        wheel_radius: tyre radius.
        rounding: how much narrower the ends are than the middle, 0 for a box.
        kind: car, van, pickup, cab or bus; decides the livery.
        base: the body whose shape this one has, if it is a stretched copy.
    """

    name: str
    length: float
    width: float
    profile: tuple[tuple[float, float], ...]
    belt: float = 0.95
    floor: float = 0.2
    tumblehome: float = 0.28
    wheels: tuple[float, ...] = ()
    wheel_radius: float = 0.33
    rounding: float = 0.19
    kind: str = "car"
    base: str = ""

    @property
    def shape(self) -> str:
        """Return the name of the shape."""
        return self.base or self.name

    @property
    def height(self) -> float:
        """Return the greatest height."""
        return max(height for _, height in self.profile)

    def top(self, z: Floats | float) -> Floats:
        """Return the height of the outline at z (0 in the middle, forward positive)."""
        distances, heights = np.array(self.profile).T
        return np.interp(self.length / 2 - np.asarray(z), distances, heights).astype(np.float32)

    def half_width(self, z: Floats | float, y: Floats | float) -> Floats:
        """Return half the width at a place along the body and a height."""
        ahead = np.abs(np.asarray(z)) / (self.length / 2)
        ease = np.clip((ahead - 0.64) / 0.36, 0, 1) ** 2
        plan = self.width / 2 * (1 - self.rounding * ease)
        over = np.maximum(np.asarray(y) - self.belt, 0)
        under = np.clip((self.belt * 0.72 - np.asarray(y)) / self.belt, 0, 1)
        return (plan * (1 - 0.05 * under) - over * self.tumblehome).astype(np.float32)


def stretched(body: Body, name: str, length: float, height: float) -> Body:
    """Return a body of another length and height with the same shape."""
    along, up = length / body.length, height / body.height
    profile = tuple((d * along, h * up) for d, h in body.profile)
    return replace(
        body,
        name=name,
        base=body.shape,
        length=length,
        profile=profile,
        belt=body.belt * up,
        wheels=tuple(d * along for d in body.wheels),
    )


def _ring(body: Body, z: float) -> Floats:
    """Return the outline across the body at z: (points, 2) from below, over the top."""
    top = float(body.top(z))
    belt = min(body.belt, top - 0.06)
    rise = top - belt
    low = body.floor
    heights = [
        low,
        low + 0.05,
        low + (belt - low) * 0.35,
        low + (belt - low) * 0.7,
        belt - 0.03,
        belt + 0.01,
        belt + rise * 0.35,
        belt + rise * 0.7,
        top - min(0.07, rise * 0.25),
    ]
    half = [(float(body.half_width(z, y)), y) for y in heights]
    half[0] = (half[0][0] - 0.06, low)
    half[5] = (half[5][0] - 0.015, half[5][1])
    shoulder = half[-1][0]
    crown = 0.03 if rise > 0.3 else 0.02
    half += [
        (shoulder - 0.05, top - min(0.02, rise * 0.08)),
        (shoulder * 0.72, top),
        (shoulder * 0.36, top + crown * 0.8),
        (0.0, top + crown),
    ]
    outline = [(0.0, low), *half]
    mirror = [(-x, y) for x, y in reversed(outline[:-1])]
    return np.array(outline + mirror, np.float32)


def shell(body: Body, layers: dict[str, int], *, stations: int = 40) -> Mesh:
    """Make the body shell, each face textured from the side, the front, the rear or the top.

    Args:
        body: the measures.
        layers: the layer of the livery texture for each of `VIEWS`.
        stations: how finely the length is divided.
    """
    half = body.length / 2
    inner = np.concatenate(
        [
            np.linspace(-half + 0.05, half - 0.05, stations),
            [half - d for d, _ in body.profile if 0.05 < d < body.length - 0.05],
        ]
    )
    inner = np.unique(np.round(inner, 3))
    rings = []
    for z in inner:
        ring = _ring(body, float(z))
        rings.append(np.column_stack([ring, np.full(len(ring), z)]))
    for end, sign in ((0, -1.0), (-1, 1.0)):
        edge = rings[end]
        middle = np.array([0.0, (edge[:, 1].min() + edge[:, 1].max()) / 2, 0.0])
        caps = []
        for scale, reach in ((0.97, 0.025), (0.86, 0.042), (0.5, 0.05), (0.0, 0.052)):
            cap = middle + (edge - middle) * scale
            cap[:, 2] = edge[:, 2] + sign * reach
            caps.append(cap)
        rings = [*reversed(caps), *rings] if sign < 0 else [*rings, *caps]
    grid = np.stack(rings)
    mesh = from_grid(grid, outward=np.array([0, body.height / 2, 0]))
    return _textured(mesh, body, layers)


def _textured(mesh: Mesh, body: Body, layers: dict[str, int]) -> Mesh:
    data = mesh.data.reshape(-1, 3, COLUMNS)
    a, b, c = data[:, 0, :3], data[:, 1, :3], data[:, 2, :3]
    normal = np.cross(b - a, c - a)
    size = np.linalg.norm(normal, axis=1, keepdims=True)
    data = data[size[:, 0] > 1e-7]
    normal = (normal / np.maximum(size, 1e-9))[size[:, 0] > 1e-7]
    facing = np.sign(np.sum(normal * data[:, 0, 3:6], axis=1, keepdims=True))
    normal = normal * np.where(facing == 0, 1, facing)
    side = (np.abs(normal[:, 0]) > np.abs(normal[:, 2])) & (np.abs(normal[:, 0]) > 0.42)
    ends = np.abs(data[:, :, 2]).mean(1) > body.length / 2 - 0.08
    slope = 0.30 if body.kind in ("car", "van", "pickup") else 0.6
    lengthwise = (~side) & ((np.abs(normal[:, 2]) > slope) | (ends & (np.abs(normal[:, 2]) > 0.1)))
    front = lengthwise & (normal[:, 2] > 0)
    rear = lengthwise & (normal[:, 2] <= 0)
    x, y, z = data[..., 0], data[..., 1], data[..., 2]
    top_height = body.height + 0.05
    # The ends are narrower than the middle: a front or rear view is stretched over what is there.
    across = 2 * body.half_width(z, np.full_like(y, body.belt * 0.8))
    u = np.where(side[:, None], z / body.length + 0.5, x / across + 0.5)
    v = y / top_height
    layer = np.full(len(data), layers["top"], np.float32)
    layer[side], layer[front], layer[rear] = layers["side"], layers["front"], layers["rear"]
    on_top = ~(side | front | rear)
    u[on_top], v[on_top] = x[on_top] / body.width + 0.5, z[on_top] / body.length + 0.5
    data[..., 6], data[..., 7] = u, v
    data[..., 8] = layer[:, None]
    return Mesh(np.ascontiguousarray(data.reshape(-1, COLUMNS)))


def _car(
    name: str, length: float, width: float, profile: tuple[tuple[float, float], ...], **more: object
) -> Body:
    axles = (length * 0.19, length * 0.79)
    return replace(Body(name, length, width, profile, wheels=axles), **more)  # type: ignore[arg-type]


# fmt: off
BODIES: dict[str, Body] = {
    body.name: body
    for body in (
        _car("hatchback", 4.05, 1.77, (
            (0, .70), (.12, .78), (.5, .88), (1.0, .98), (1.35, 1.18), (1.8, 1.41), (2.2, 1.47),
            (2.7, 1.48), (3.3, 1.43), (3.62, 1.34), (3.93, .98), (4.05, .85)), belt=0.93),
        _car("sedan", 4.72, 1.84, (
            (0, .68), (.15, .76), (.6, .87), (1.25, .97), (1.65, 1.18), (2.05, 1.38), (2.5, 1.45),
            (3.0, 1.44), (3.4, 1.36), (4.0, 1.10), (4.3, 1.06), (4.6, 1.04), (4.72, .92)),
            belt=0.94, wheel_radius=0.335),
        _car("wagon", 4.75, 1.83, (
            (0, .68), (.15, .76), (.6, .87), (1.25, .97), (1.65, 1.18), (2.05, 1.39), (2.5, 1.47),
            (3.5, 1.46), (4.15, 1.40), (4.62, 1.02), (4.75, .85)), belt=0.94),
        _car("suv", 4.58, 1.90, (
            (0, .85), (.10, .95), (.5, 1.04), (1.15, 1.12), (1.5, 1.36), (1.85, 1.60), (2.3, 1.68),
            (3.2, 1.67), (3.9, 1.61), (4.15, 1.52), (4.45, 1.12), (4.58, .95)),
            belt=1.06, floor=0.25, wheel_radius=0.37, tumblehome=0.24),
        _car("minivan", 4.65, 1.85, (
            (0, .75), (.12, .86), (.85, 1.05), (1.35, 1.36), (1.8, 1.62), (2.3, 1.70), (3.5, 1.69),
            (4.25, 1.60), (4.58, 1.05), (4.65, .85)), belt=1.0, tumblehome=0.22),
        _car("van", 5.3, 2.0, (
            (0, .85), (.10, 1.0), (.45, 1.13), (.8, 1.28), (1.2, 1.68), (1.55, 1.98), (1.9, 2.10),
            (3.0, 2.14), (5.1, 2.12), (5.25, 2.0), (5.3, 1.6)),
            belt=1.15, tumblehome=0.13, rounding=0.09, wheel_radius=0.35, kind="van"),
        _car("pickup", 5.35, 1.92, (
            (0, .88), (.10, 1.0), (.5, 1.08), (1.35, 1.14), (1.75, 1.42), (2.1, 1.70), (2.5, 1.79),
            (3.3, 1.76), (3.5, 1.5), (3.6, 1.12), (5.2, 1.10), (5.35, 1.02)),
            belt=1.08, floor=0.3, wheel_radius=0.39, tumblehome=0.22, rounding=0.10, kind="pickup"),
        Body("cab", 2.25, 2.48, (
            (0, 2.35), (.12, 2.75), (.3, 2.98), (.6, 3.1), (2.1, 3.12), (2.25, 3.05)),
            belt=1.75, floor=0.42, tumblehome=0.04, rounding=0.05, wheel_radius=0.5,
            wheels=(1.38,), kind="cab"),
        Body("tall_cab", 2.3, 2.49, (
            (0, 2.55), (.15, 3.0), (.5, 3.45), (.9, 3.68), (2.15, 3.75), (2.3, 3.7)),
            belt=1.85, floor=0.40, tumblehome=0.04, rounding=0.05, wheel_radius=0.52,
            wheels=(1.4,), kind="cab"),
        Body("city_bus", 12.0, 2.55, (
            (0, 2.7), (.08, 2.95), (.25, 3.08), (.5, 3.12), (11.8, 3.12), (11.95, 3.0), (12, 2.8)),
            belt=1.2, floor=0.3, tumblehome=0.02, rounding=0.03, wheel_radius=0.48,
            wheels=(2.7, 8.8), kind="bus"),
        Body("coach", 12.4, 2.55, (
            (0, 2.5), (.12, 2.9), (.4, 3.4), (.8, 3.58), (12.1, 3.6), (12.3, 3.5), (12.4, 3.2)),
            belt=1.55, floor=0.32, tumblehome=0.02, rounding=0.04, wheel_radius=0.5,
            wheels=(2.8, 9.0), kind="bus"),
    )
}
# fmt: on

for _name, _of, _length, _height in (
    ("city_car", "hatchback", 3.55, 1.50),
    ("compact", "hatchback", 4.30, 1.46),
    ("saloon", "sedan", 4.95, 1.47),
    ("small_sedan", "sedan", 4.45, 1.47),
    ("estate", "wagon", 4.60, 1.46),
    ("crossover", "suv", 4.30, 1.58),
    ("large_suv", "suv", 4.95, 1.78),
    ("people_carrier", "minivan", 4.95, 1.85),
    ("small_van", "minivan", 4.40, 1.83),
    ("tall_van", "van", 5.95, 2.65),
):
    BODIES[_name] = stretched(BODIES[_of], _name, _length, _height)
BODIES["tall_van"] = replace(BODIES["tall_van"], wheel_radius=0.36, belt=1.30)
BODIES["city_car"] = replace(BODIES["city_car"], width=1.65)
