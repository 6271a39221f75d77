"""People: bodies of tapered limbs that walk, stand, ride and pedal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .geometry import Floats, Mesh, box, ellipsoid, lathe, merged, rotation, tube
from .model import MATT, TINTED

# fmt: off
SKINS = ((.78, .55, .43), (.66, .44, .33), (.48, .30, .21), (.26, .16, .11), (.83, .61, .50))
HAIRS = ((.03, .025, .02), (.10, .06, .03), (.28, .18, .08), (.45, .42, .38), (.02, .02, .02))
CLOTHES = ((.03, .03, .04), (.05, .07, .14), (.30, .30, .31), (.55, .53, .50), (.42, .05, .05),
           (.08, .16, .10), (.25, .18, .11), (.62, .50, .08), (.10, .22, .42), (.45, .16, .28),
           (.75, .75, .74), (.16, .10, .07))
# fmt: on
@dataclass(frozen=True, slots=True)
class Looks:
    """How a person looks: colours and measures."""

    height: float
    skin: tuple[float, float, float]
    hair: tuple[float, float, float]
    top: tuple[float, float, float]
    trousers: tuple[float, float, float]
    shoes: tuple[float, float, float]
    broad: float = 1.0
    helmet: bool = False
    skirt: bool = False
    bag: bool = False


def random_looks(rng: np.random.Generator, *, helmet: bool = False) -> Looks:
    """Return the looks of a random person."""
    child = rng.random() < 0.10 and not helmet
    pick = lambda table: table[int(rng.integers(len(table)))]  # noqa: E731
    return Looks(
        height=float(
            rng.normal(1.25, 0.1) if child else np.clip(rng.normal(1.72, 0.09), 1.5, 1.95)
        ),
        skin=pick(SKINS),
        hair=pick(HAIRS),
        top=pick(CLOTHES),
        trousers=pick(CLOTHES[:5] if rng.random() < 0.75 else CLOTHES),
        shoes=pick(((0.02, 0.02, 0.02), (0.6, 0.6, 0.6), (0.15, 0.08, 0.04))),
        broad=float(rng.normal(1.0, 0.1)),
        helmet=helmet,
        skirt=bool(rng.random() < 0.12) and not helmet,
        bag=bool(rng.random() < 0.25),
    )


def _limb(top: float, bottom: float, sides: int) -> Mesh:
    """Make a limb of length 1 that hangs from the origin, tapering from `top` to `bottom`."""
    profile = [
        (0.0, 0.10),
        (top * 0.75, 0.07),
        (top, -0.04),
        (top * 0.98, -0.35),
        ((top + bottom) / 2, -0.6),
        (bottom, -0.90),
        (bottom * 0.95, -1.02),
        (0.0, -1.08),
    ]
    if sides < 6:
        profile = [profile[0], profile[2], profile[5], profile[7]]
    turned = lathe(profile, sides=sides).rotated("z", 90)
    return turned.painted((1, 1, 1), TINTED)


def part_meshes(*, coarse: bool = False) -> dict[str, Mesh]:
    """Return the parts of a body, each drawn once for each person; `coarse` for far away."""
    sides = 5 if coarse else 8
    rings = 4 if coarse else 8
    # fmt: off
    torso = lathe([(0.0, -.09), (.146, -.09), (.152, .0), (.146, .08), (.133, .20), (.148, .34),
                   (.170, .44), (.166, .50), (.128, .55), (.065, .585), (.05, .60), (0.0, .60)],
                  sides=8 if coarse else 12)
    # fmt: on
    torso = torso.rotated("z", 90).scaled((1.04, 1, 0.72)).painted((1, 1, 1), TINTED)
    head = ellipsoid(
        (0.076, 0.115, 0.096), (0, 0.115, 0.015), rings=rings, sides=sides + 2
    ).painted((1, 1, 1), TINTED)
    neck = tube((0, -0.05, 0), (0, 0.05, 0), 0.048, sides=sides).painted((0.9, 0.88, 0.88), TINTED)
    face = (
        merged(head, neck)
        if coarse
        else merged(
            head,
            tube((0, -0.05, 0), (0, 0.05, 0), 0.048).painted((0.9, 0.88, 0.88), TINTED),
            ellipsoid((0.012, 0.02, 0.02), (0, 0.10, 0.11), rings=4, sides=6).painted(
                (0.95, 0.9, 0.9), TINTED
            ),
            *[
                ellipsoid(
                    (0.014, 0.009, 0.006), (s * 0.032, 0.135, 0.100), rings=4, sides=6
                ).painted((0.02, 0.015, 0.015), MATT)
                for s in (-1, 1)
            ],
        )
    )
    hair = ellipsoid((0.084, 0.095, 0.100), (0, 0.155, -0.010), rings=rings - 1, sides=sides)
    helmet = merged(
        ellipsoid((0.125, 0.135, 0.145), (0, 0.13, 0), rings=rings, sides=sides).painted(
            (1, 1, 1), TINTED
        ),
        ellipsoid((0.105, 0.05, 0.09), (0, 0.125, 0.075), rings=rings - 1, sides=sides).painted(
            (0.01, 0.01, 0.012), 3
        ),
    )
    skirt = lathe([(0.13, 0.05), (0.16, -0.05), (0.24, -0.55), (0.23, -0.56)], sides=10).rotated(
        "z", 90
    )
    return {
        "torso": torso,
        "head": face,
        "hair": hair.painted((1, 1, 1), TINTED),
        "helmet": helmet,
        "upper_arm": _limb(0.058, 0.046, sides),
        "fore_arm": _limb(0.046, 0.033, sides),
        "hand": ellipsoid((0.028, 0.065, 0.04), (0, -0.05, 0), rings=3, sides=sides).painted(
            (1, 1, 1), TINTED
        ),
        "thigh": _limb(0.094, 0.066, sides),
        "shin": _limb(0.067, 0.050, sides),
        "shoe": merged(
            ellipsoid((0.045, 0.045, 0.125), (0, 0.035, 0.055), rings=3, sides=sides)
        ).painted((1, 1, 1), TINTED),
        "skirt": skirt.painted((1, 1, 1), TINTED),
        "bag": merged(box((0.28, 0.40, 0.14), (0, 0.30, -0.19))).painted((1, 1, 1), TINTED),
    }


def _turn(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Floats:
    matrix = rotation("x", x)
    if y:
        matrix = rotation("y", y) @ matrix
    if z:
        matrix = rotation("z", z) @ matrix
    return matrix


def _at(x: float, y: float, z: float) -> Floats:
    matrix = np.eye(4, dtype=np.float32)
    matrix[:3, 3] = (x, y, z)
    return matrix


def _long(length: float, thick: float = 1.0) -> Floats:
    return np.diag(np.array([thick, length, thick, 1.0], np.float32))


def pose(looks: Looks, kind: str, phase: float) -> list[tuple[str, Floats, tuple[float, ...]]]:
    """Return the parts of a person: (part, matrix in the person's frame, colour).

    Args:
        looks: colours and measures.
        kind: walk, stand, ride (motorcycle) or pedal (bicycle).
        phase: radians; a walking or pedalling cycle is 2 pi.
    """
    swing = {"walk": 27.0, "run": 42.0}.get(kind, 0.0)
    lean, hips = {"ride": (16.0, 0.80), "pedal": (24.0, 0.93)}.get(kind, (2.0 + swing * 0.1, 0.93))
    bob = 0.02 * abs(np.cos(phase)) if swing else 0.0
    legs: list[tuple[float, float, float]] = []
    for side in (0.0, np.pi):
        angle = phase + side
        if swing:
            thigh = -swing * np.sin(angle) - 3
            knee = 6 + swing * 1.7 * max(0.0, np.cos(angle)) ** 1.5
            legs.append((thigh, knee, -8.0))
        elif kind == "ride":
            legs.append((-72.0, 85.0, 0.0))
        elif kind == "pedal":
            legs.append((-50.0 - 24 * np.sin(angle), 68.0 + 32 * np.sin(angle - 0.5), -10.0))
        else:
            legs.append((-2.0 + 4 * np.sin(side), 4.0, 0.0))
    parts: list[tuple[str, Floats, tuple[float, ...]]] = []
    pelvis = _at(0, hips + bob, 0)
    trunk = pelvis @ _turn(lean)
    wide = looks.broad
    parts.append(("torso", trunk @ np.diag([wide, 1, wide, 1]).astype(np.float32), looks.top))
    neck = trunk @ _at(0, 0.585, 0.015) @ _turn(-lean * 0.8)
    parts.append(("head", neck, looks.skin))
    if looks.helmet:
        parts.append(("helmet", neck, looks.hair))
    else:
        parts.append(("hair", neck, looks.hair))
    if looks.bag:
        parts.append(("bag", trunk, tuple(c * 0.6 for c in looks.trousers)))
    if looks.skirt and swing:
        parts.append(("skirt", pelvis, looks.trousers))
    for i, (s, (thigh, knee, ankle)) in enumerate(zip((-1, 1), legs, strict=True)):
        spread = 14 * s if kind == "ride" else 0
        hip = pelvis @ _at(s * 0.082, 0.0, 0) @ _turn(thigh, 0, spread)
        parts.append(("thigh", hip @ _long(0.44, wide), looks.trousers))
        joint = hip @ _at(0, -0.44, 0) @ _turn(knee)
        parts.append(
            ("shin", joint @ _long(0.42, wide), looks.skin if looks.skirt else looks.trousers)
        )
        parts.append(("shoe", joint @ _at(0, -0.47, 0) @ _turn(ankle), looks.shoes))
        if kind in ("ride", "pedal"):
            arm, elbow, out = -58.0 + lean * 0.2, -28.0, 10.0 * s
        elif swing:
            arm = swing * 0.8 * np.sin(phase + i * np.pi)
            elbow, out = -22.0 if kind == "walk" else -80.0, 7.0 * s
        else:
            arm, elbow, out = 3.0, -10.0, 6.0 * s
        shoulder = trunk @ _at(s * 0.170 * wide, 0.485, 0) @ _turn(arm, 0, out)
        parts.append(("upper_arm", shoulder @ _long(0.30, 1.08), looks.top))
        fore = shoulder @ _at(0, -0.30, 0) @ _turn(elbow)
        parts.append(("fore_arm", fore @ _long(0.26, 1.08), looks.top))
        parts.append(("hand", fore @ _at(0, -0.26, 0), looks.skin))
    size = looks.height / 1.74
    grow = np.diag([size, size, size, 1]).astype(np.float32)
    return [(name, grow @ matrix, colour) for name, matrix, colour in parts]
