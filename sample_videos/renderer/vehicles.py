"""Cars, vans and plates, and the list of all four-wheeled models."""

from __future__ import annotations

import numpy as np

from .bodies import BODIES, VIEWS, Body, shell
from .geometry import COLUMNS, Mesh, box, ellipsoid, merged, rotation
from .lorries import box_truck, bus, semi, tanker, tipper
from .model import GLOSSY, Model
from .wheels import wheels_of

CARGO_STYLES = 6


def livery_layers() -> dict[str, dict[str, int]]:
    """Return the layer of every livery picture: body name to view to layer."""
    layers: dict[str, dict[str, int]] = {}
    index = 0
    for name in BODIES:
        layers[name] = {}
        for view in VIEWS:
            layers[name][view] = index
            index += 1
    for style in range(CARGO_STYLES):
        layers[f"cargo{style}"] = {view: index + i for i, view in enumerate(("side", "rear"))}
        layers[f"cargo{style}"]["front"] = layers[f"cargo{style}"]["top"] = layers["hatchback"][
            "top"
        ]
        index += 2
    return layers


def _mirrors(body: Body) -> list[Mesh]:
    z = body.length / 2 - body.length * 0.315
    if body.kind == "van":
        z = body.length / 2 - 1.25
    y = body.belt + 0.10
    x = body.width / 2 + 0.06
    return [
        ellipsoid((0.10, 0.075, 0.06), (s * x, y, z), rings=5, sides=8).painted((1, 1, 1), GLOSSY)
        for s in (-1, 1)
    ]


def plate_mesh() -> Mesh:
    """Make a number plate, 0.52 by 0.11 m, that looks along +z."""
    mesh = Mesh(np.zeros((6, COLUMNS), np.float32))
    corners = [(-1, -1), (1, -1), (1, 1), (-1, -1), (1, 1), (-1, 1)]
    for row, (x, y) in zip(mesh.data, corners, strict=True):
        row[:8] = (x * 0.26, y * 0.056, 0, 0, 0, 1, (1 - x) / 2, (y + 1) / 2)
        row[9:] = (1, 1, 1, 0)
    return mesh


def _car(body: Body, layers: dict[str, dict[str, int]], coarse: bool) -> Model:
    half = body.length / 2
    solid = wheels_of(body, coarse=coarse)
    if not coarse:
        solid += _mirrors(body)
    if body.kind == "pickup":
        solid.append(box((1.5, 0.02, 1.5), (0, 1.135, -half + 0.98)).painted((0.02, 0.02, 0.02)))
    solid.append(
        box((body.width * 0.86, 0.10, body.length * 0.9), (0, body.floor - 0.02, 0)).painted(
            (0.015, 0.015, 0.015)
        )
    )
    front_y = body.floor + 0.30
    rear_y = body.belt - 0.18 if body.kind != "van" else 0.62
    nose = body.profile[0][1] - 0.13
    lamp_x = body.width * 0.40
    return Model(
        body.name,
        "car",
        body.length,
        body.width,
        body.height,
        [shell(body, layers[body.name], stations=8 if coarse else 40)],
        merged(*solid),
        [((0, front_y, half + 0.012), 0.0), ((0, rear_y, -half - 0.012), 180.0)],
        [(s * lamp_x, nose, half) for s in (-1, 1)],
        [(s * lamp_x, body.belt - 0.14, -half) for s in (-1, 1)],
    )


def build_models(*, coarse: bool = False) -> dict[str, Model]:
    """Build every four-wheeled model, `coarse` ones for far away."""
    layers = livery_layers()
    models = [
        _car(body, layers, coarse)
        for body in BODIES.values()
        if body.kind in ("car", "van", "pickup")
    ]
    models += [bus(BODIES["city_bus"], layers, coarse), bus(BODIES["coach"], layers, coarse)]
    models += [
        box_truck(f"box_truck{i}", load, i, layers, coarse)
        for i, load in enumerate((4.4, 6.2, 5.4, 7.2, 6.8, 5.0))
    ]
    models += [semi(f"semi{i}", i, layers, coarse) for i in range(CARGO_STYLES)]
    models.append(tipper(layers, coarse))
    models.append(tanker(layers, coarse))
    return {model.name: model for model in models}


PLATE_TURN = {0.0: np.eye(4, dtype=np.float32), 180.0: rotation("y", 180)}


"""Matrices of plates that look ahead and back."""
