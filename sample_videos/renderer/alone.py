"""How much of a thing the picture could show were nothing in front of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from .bank import MeshBank
from .geometry import Floats
from .placing import instances
from .programs import Programs, assign
from .scene import Item

TILE, TILES_ACROSS = 48, 21


class Counter:
    """Draws each thing alone into a small tile of one atlas and counts its pixels.

    Args:
        context: a moderngl context.
        bank: the meshes.
        programs: the shader programs.
        size: (width, height) of the picture.
    """

    def __init__(
        self, context: Any, bank: MeshBank, programs: Programs, size: tuple[int, int]
    ) -> None:
        """Make the atlas."""
        self.context, self.bank, self.programs, self.size = context, bank, programs, size
        side = TILE * TILES_ACROSS
        self.tiles = context.framebuffer([context.texture((side, side), 1, dtype="u2")])

    def count(self, items: list[Item], lens: Floats) -> dict[int, tuple[float, float]]:
        """Draw each thing alone in a tile and count how much of it the picture could show."""
        boxes = extents(items, self.bank, lens)
        members = list(boxes)[: TILES_ACROSS * TILES_ACROSS]
        if not members:
            return {}
        side = TILE * TILES_ACROSS
        fits: dict[int, tuple[Floats, Floats]] = {}
        for slot, identity in enumerate(members):
            x0, y0, x1, y1 = boxes[identity]
            row, column = divmod(slot, TILES_ACROSS)
            low = np.array([column, row], np.float32) * TILE * 2 / side - 1
            scale = (TILE * 2 / side) / np.maximum([x1 - x0, y1 - y0], 1e-6)
            fit = np.concatenate([scale, low - np.array([x0, y0]) * scale]).astype(np.float32)
            limits = np.array([column, row, column + 1, row + 1], np.float32) * TILE
            fits[identity] = (fit, limits)
        self.tiles.use()
        self.tiles.clear(0.0, 0.0, 0.0, 0.0)
        self.context.disable(self.context.DEPTH_TEST)
        groups: dict[str, list[Item]] = {}
        for item in items:
            if item.identity in fits:
                groups.setdefault(item.mesh, []).append(item)
        for name, members_of in groups.items():
            data = np.concatenate(
                [
                    instances(members_of),
                    np.stack([np.concatenate(fits[item.identity]) for item in members_of]),
                ],
                axis=1,
            )
            kind = self.bank.kind(name)
            cut = ["CUTOUT"] if kind == "sign" else []
            program = self.programs.get("tile.frag", *cut, vertex="tile.vert")
            self.bank.bind_pictures(kind)
            assign(program, {"view_projection": lens, "pictures": 3})
            self.bank.render_alone(name, program, data)
        self.context.enable(self.context.DEPTH_TEST)
        raw = np.frombuffer(self.tiles.read(components=1, dtype="u2"), np.uint16)
        atlas = raw.reshape(side, side) > 0
        result = {}
        for slot, identity in enumerate(members):
            row, column = divmod(slot, TILES_ACROSS)
            mask = atlas[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]
            x0, y0, x1, y1 = boxes[identity]
            x = x0 + (np.arange(TILE) + 0.5) / TILE * (x1 - x0)
            y = y0 + (np.arange(TILE) + 0.5) / TILE * (y1 - y0)
            inside = mask & (np.abs(x) <= 1)[None, :] & (np.abs(y) <= 1)[:, None]
            area = ((x1 - x0) * self.size[0] / 2 / TILE) * ((y1 - y0) * self.size[1] / 2 / TILE)
            total = float(mask.sum())
            share = 1 - float(inside.sum()) / total if total else 1.0
            result[identity] = (float(inside.sum()) * area, share)
        return result


def extents(items: list[Item], bank: MeshBank, lens: Floats) -> dict[int, tuple[float, ...]]:
    """Return where each thing may be: identity to (x0, y0, x1, y1) in device coordinates."""
    result: dict[int, tuple[float, ...]] = {}
    for item in items:
        if not item.identity:
            continue
        corners = bank.corners(item.mesh) @ (lens @ item.matrix).T
        if (corners[:, 3] < 0.05).all():
            continue
        w = np.maximum(corners[:, 3:], 0.25)
        place = np.clip(corners[:, :2] / w, -4, 4)
        low, high = place.min(0), place.max(0)
        old = result.get(item.identity)
        if old:
            low, high = np.minimum(low, old[:2]), np.maximum(high, old[2:])
        result[item.identity] = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
    return {
        key: box
        for key, box in result.items()
        if box[0] < 1 and box[1] < 1 and box[2] > -1 and box[3] > -1
    }
