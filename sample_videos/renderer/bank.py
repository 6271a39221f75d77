"""Keeps meshes and pictures on the graphics side."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .bodies import BODIES, VIEWS
from .canvas import HEIGHT, WIDTH
from .cargo import cargo
from .geometry import Floats, Mesh, from_grid
from .liveries import paint
from .model import Model
from .people import part_meshes
from .plates import plate_pictures
from .signs import sign_pictures
from .street import street_meshes
from .textures import foliage_pictures, noise_picture
from .two_wheelers import bicycle, motorcycle
from .vehicles import CARGO_STYLES, build_models, livery_layers, plate_mesh

VERTEX = "3f 3f 3f 4f"
VERTEX_NAMES = ("in_position", "in_normal", "in_uv", "in_colour")
INSTANCE = "4f 4f 4f 4f 4f/i"
INSTANCE_NAMES = ("row0", "row1", "row2", "tint", "params")


@dataclass(slots=True)
class Stored:
    """A mesh on the graphics side."""

    kind: str
    vertices: Any
    corners: Floats
    places: Any = None
    arrays: dict[int, Any] = field(default_factory=dict)


class MeshBank:
    """Meshes by name, each with the program that draws it, and the shared pictures."""

    def __init__(self, context: Any) -> None:
        """Build all meshes and pictures and upload them."""
        self.context = context
        self.stored: dict[str, Stored] = {}
        self.models: dict[str, Model] = build_models()
        for model in (
            bicycle(),
            motorcycle(),
            motorcycle("tourer"),
            motorcycle("scooter", scooter=True),
        ):
            self.models[model.name] = model
        coarse = build_models(coarse=True).values()
        for end, model in [*(("", m) for m in self.models.values()), *(("~", m) for m in coarse)]:
            for index, mesh in enumerate(model.body):
                self.add(f"{model.name}/body{index}{end}", "livery", mesh)
            self.add(f"{model.name}/solid{end}", "solid", model.solid)
        self.add("plate", "plate", plate_mesh())
        for name, mesh in part_meshes().items():
            self.add(f"person/{name}", "solid", mesh)
        for name, mesh in part_meshes(coarse=True).items():
            self.add(f"person/{name}~", "solid", mesh)
        for name, (kind, mesh) in street_meshes().items():
            self.add(name, kind, mesh)
        near = np.concatenate([-np.geomspace(500, 2, 6), [0], np.geomspace(2, 900, 10)])
        across = np.concatenate([-np.geomspace(600, 3, 7), np.geomspace(3, 600, 7)])
        x, z = np.meshgrid(across, near)
        self.add("ground", "ground", from_grid(np.stack([x, np.zeros_like(x), z], -1)))
        self._upload_pictures()

    def _upload_pictures(self) -> None:
        context = self.context
        layers = livery_layers()
        count = max(layer for views in layers.values() for layer in views.values()) + 1
        pictures = np.zeros((count, HEIGHT, WIDTH, 4), np.uint8)
        for name, body in BODIES.items():
            rng = np.random.default_rng(sum(map(ord, name)))
            for view in VIEWS:
                pictures[layers[name][view]] = paint(body, view, rng)
        for style in range(CARGO_STYLES):
            for view in ("side", "rear"):
                pictures[layers[f"cargo{style}"][view]] = cargo(view, style)
        self.noise = context.texture((512, 512), 4, noise_picture().tobytes())
        self.pictures = {
            "livery": self._array(pictures),
            "sign": self._array(sign_pictures()),
            "plate": self._array(plate_pictures()),
            "foliage": self._array(foliage_pictures()),
        }
        mipmaps = (context.LINEAR_MIPMAP_LINEAR, context.LINEAR)
        for texture in (self.noise, *self.pictures.values()):
            texture.build_mipmaps()
            texture.filter = mipmaps
        self.noise.use(0)

    def _array(self, pictures: np.ndarray) -> Any:
        count, height, width, _ = pictures.shape
        texture = self.context.texture_array((width, height, count), 4, pictures.tobytes())
        texture.repeat_x = texture.repeat_y = False
        return texture

    def bind_pictures(self, kind: str) -> None:
        """Make the pictures that a kind of mesh samples current."""
        unit = {"livery": 2, "sign": 3, "plate": 3, "foliage": 4}.get(kind)
        if unit is not None:
            self.pictures[kind].use(unit)

    def add(self, name: str, kind: str, mesh: Mesh) -> None:
        """Upload a mesh."""
        if not len(mesh.data):
            raise ValueError(f"mesh {name!r} must have triangles, but is empty")
        low, high = mesh.data[:, :3].min(0), mesh.data[:, :3].max(0)
        corners = np.array(
            [
                [x, y, z, 1]
                for x in (low[0], high[0])
                for y in (low[1], high[1])
                for z in (low[2], high[2])
            ],
            np.float32,
        )
        self.stored[name] = Stored(kind, self.context.buffer(mesh.data.tobytes()), corners)

    def remove(self, name: str) -> None:
        """Free a mesh."""
        stored = self.stored.pop(name)
        for array in stored.arrays.values():
            array.release()
        if stored.places is not None:
            stored.places.release()
        stored.vertices.release()

    def kind(self, name: str) -> str:
        """Return which program draws a mesh."""
        return self.stored[name].kind

    def corners(self, name: str) -> Floats:
        """Return the (8, 4) corners of a mesh's box."""
        return self.stored[name].corners

    def place(self, name: str, data: Floats) -> None:
        """Say where the instances of a mesh are: (N, 20) float32."""
        stored = self.stored[name]
        raw = np.ascontiguousarray(data).tobytes()
        if stored.places is None or stored.places.size < len(raw):
            for array in stored.arrays.values():
                array.release()
            stored.arrays.clear()
            if stored.places is not None:
                stored.places.release()
            stored.places = self.context.buffer(reserve=max(len(raw) * 2, 640))
        stored.places.orphan()
        stored.places.write(raw)

    def array(self, name: str, program: Any) -> Any:
        """Return the vertex array of a mesh for a program."""
        stored = self.stored[name]
        if program.glo not in stored.arrays:
            stored.arrays[program.glo] = self.context.vertex_array(
                program,
                [
                    (stored.vertices, VERTEX, *VERTEX_NAMES),
                    (stored.places, INSTANCE, *INSTANCE_NAMES),
                ],
                skip_errors=True,
            )
        return stored.arrays[program.glo]

    def render_alone(self, name: str, program: Any, data: Floats) -> None:
        """Draw instances whose rows carry a tile as well: (N, 28) float32."""
        stored = self.stored[name]
        buffer = self.context.buffer(np.ascontiguousarray(data).tobytes())
        array = self.context.vertex_array(
            program,
            [
                (stored.vertices, VERTEX, *VERTEX_NAMES),
                (buffer, INSTANCE.replace("/i", " 4f 4f/i"), *INSTANCE_NAMES, "fit", "limits"),
            ],
            skip_errors=True,
        )
        array.render(instances=len(data))
        array.release()
        buffer.release()
