"""Draws a scene with OpenGL: shadow map, mirror image of the wet road, picture, identities."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .alone import Counter
from .bank import MeshBank
from .geometry import Floats
from .placing import instances, shadow_matrix
from .programs import Programs, assign
from .scene import Item, Scene


@dataclass(slots=True)
class Drawing:
    """A drawn scene.

    Attributes:
        light: (H, W, 3) float32 linear RGB, row 0 at the top.
        identities: (H, W) uint16, 0 where nobody is.
        alone: identity to (pixels it would have in the picture were nothing in front of it,
            share of it that lies outside the picture).
    """

    light: NDArray[np.float32]
    identities: NDArray[np.uint16]
    alone: dict[int, tuple[float, float]]


class Renderer:
    """Draws scenes of one picture size.

    Args:
        context: a moderngl context.
        size: (width, height) of the pictures.
        samples: samples per pixel for edges.
        scale: the picture is drawn this much larger inside.
        shadow_size: side of the shadow map.
    """

    def __init__(
        self,
        context: Any,
        size: tuple[int, int],
        *,
        samples: int = 4,
        scale: float = 1.0,
        shadow_size: int = 1024,
    ) -> None:
        """Compile nothing yet; programs are made when a scene first needs them."""
        self.context = context
        self.size = size
        self.inner = (round(size[0] * scale), round(size[1] * scale))
        samples = min(samples, context.max_samples)
        self.multi = context.framebuffer(
            [context.renderbuffer(self.inner, 4, samples=samples, dtype="f2")],
            context.depth_renderbuffer(self.inner, samples=samples),
        )
        self.flat = context.framebuffer([context.texture(self.inner, 4, dtype="f2")])
        self.mirror_texture = context.texture(
            (self.inner[0] // 2, self.inner[1] // 2), 4, dtype="f2"
        )
        self.mirror_texture.repeat_x = self.mirror_texture.repeat_y = False
        self.mirror = context.framebuffer(
            [self.mirror_texture],
            context.depth_renderbuffer((self.inner[0] // 2, self.inner[1] // 2)),
        )
        self.who = context.framebuffer(
            [context.texture(size, 1, dtype="u2")], context.depth_renderbuffer(size)
        )
        self.shadow_texture = context.depth_texture((shadow_size, shadow_size))
        self.shadow_texture.compare_func = "<="
        self.shadow_texture.repeat_x = self.shadow_texture.repeat_y = False
        self.shadow = context.framebuffer(depth_attachment=self.shadow_texture)
        self.bank = MeshBank(context)
        self.programs = Programs(context)
        self.counter = Counter(context, self.bank, self.programs, size)
        square = np.array([[-1, -1], [1, -1], [1, 1], [-1, -1], [1, 1], [-1, 1]], np.float32)
        self.square = context.buffer(square.tobytes())
        self.triangle = context.buffer(np.array([[-1, -1], [3, -1], [-1, 3]], np.float32).tobytes())
        self.coarse_below = 22.0 if size[0] < 1000 else 30.0
        self.soft = shadow_size >= 2048

    def draw(self, scene: Scene) -> Drawing:
        """Draw a scene and say who is where."""
        for name, (kind, mesh) in scene.meshes.items():
            self.bank.add(name, kind, mesh)
        items = self.wanted(scene)
        groups = self._upload(items)
        context = self.context
        context.disable(context.CULL_FACE | context.BLEND)
        context.enable(context.DEPTH_TEST)
        shadow_matrix = self._draw_shadow(scene, groups)
        lens = scene.camera.view_projection()
        flags = (["NIGHT"] if scene.weather.night else []) + (["SOFT"] if self.soft else [])
        uniforms = self._uniforms(scene, shadow_matrix)
        if scene.weather.wet > 0.3:
            self.mirror.use()
            self.mirror.clear(*scene.weather.haze, 1.0)
            flip = np.diag([1, -1, 1, 1]).astype(np.float32)
            eye = scene.camera.eye * np.array([1, -1, 1], np.float32)
            self._draw_items(groups, lens @ flip, flags, {**uniforms, "eye": eye})
            self._draw_sky(scene, scene.camera.rays() * np.array([[1], [-1], [1]], np.float32))
            self._draw_glows(scene, lens @ flip, flip=True)
            self.mirror_texture.use(6)
        self.multi.use()
        self.multi.clear(*scene.weather.haze, 1.0)
        self._draw_items(groups, lens, flags, uniforms)
        ground = [*flags, *(["WET"] if scene.weather.wet > 0.3 else [])]
        self._draw_ground(scene, lens, ground, uniforms)
        self._draw_sky(scene, scene.camera.rays())
        self._draw_contacts(scene, lens)
        self._draw_glows(scene, lens)
        context.copy_framebuffer(self.flat, self.multi)
        raw = np.frombuffer(self.flat.read(components=4, dtype="f2"), np.float16)
        light = raw.reshape(self.inner[1], self.inner[0], 4)[::-1, :, :3].astype(np.float32)
        identities = self._draw_identities(groups, lens)
        alone = self.counter.count(items, lens)
        for name in scene.meshes:
            self.bank.remove(name)
        return Drawing(light, identities, alone)

    def wanted(self, scene: Scene) -> list[Item]:
        """Return the items that matter to the picture; far ones take their coarse mesh."""
        eye, axes = scene.camera.eye, scene.camera.axes()
        places = np.array([item.matrix[:3, 3] for item in scene.items], np.float32) - eye
        ahead = places @ axes[2]
        beside = np.abs(places @ axes[0])
        half = np.tan(np.radians(scene.camera.field_of_view) / 2)
        far = scene.camera.focal / np.maximum(ahead, 0.1) < self.coarse_below
        seen = (ahead > -14) & (beside < np.maximum(ahead, 0) * half + 26)
        result = []
        for item, is_far, is_seen in zip(scene.items, far, seen, strict=True):
            if item.mesh in scene.meshes:
                result.append(item)
            elif is_seen:
                if is_far and f"{item.mesh}~" in self.bank.stored:
                    item = replace(item, mesh=f"{item.mesh}~")
                result.append(item)
        return result

    def _upload(self, items: list[Item]) -> dict[str, int]:
        groups: dict[str, list[Item]] = {}
        for item in items:
            groups.setdefault(item.mesh, []).append(item)
        for name, members in groups.items():
            self.bank.place(name, instances(members))
        return {name: len(members) for name, members in groups.items()}

    def _uniforms(self, scene: Scene, shadow_matrix: Floats) -> dict[str, Any]:
        weather = scene.weather
        sun = np.array(weather.sun_direction, np.float32)
        self.shadow_texture.use(1)
        values: dict[str, Any] = {
            "eye": scene.camera.eye,
            "sun_direction": sun / np.linalg.norm(sun),
            "sun_colour": weather.sun,
            "zenith": weather.zenith,
            "horizon": weather.horizon,
            "ground_light": weather.ground,
            "haze": weather.haze,
            "haze_density": weather.haze_density,
            "wet": weather.wet,
            "skyline": weather.skyline,
            "shadow_matrix": shadow_matrix,
            "noise": 0,
            "shadow_map": 1,
            "liveries": 2,
            "pictures": 3,
            "foliage": 4,
            "mirror_image": 6,
            "clouds": weather.clouds,
        }
        if weather.night:
            lamps = scene.nearest_lamps()
            filled = [*lamps, *[(0.0,) * 6] * (6 - len(lamps))]
            axes = scene.camera.axes()
            ahead = np.array([axes[2][0], 0, axes[2][2]], np.float32)
            values |= {
                "lamp_count": len(lamps),
                "lamp_position": [lamp[:3] for lamp in filled],
                "lamp_colour": [lamp[3:] for lamp in filled],
                "beam_origin": scene.camera.eye * np.array([1, 0, 1], np.float32)
                + np.array([0, 0.68, 0], np.float32)
                + ahead * 1.2,
                "beam_direction": ahead / np.linalg.norm(ahead),
                "beam_power": weather.beam,
            }
        return values

    def _draw_shadow(self, scene: Scene, groups: dict[str, int]) -> Floats:
        matrix = shadow_matrix(scene.camera, scene.weather)
        self.shadow.use()
        self.shadow.clear(depth=1.0)
        if max(scene.weather.sun) > 0.1:
            for name, count in groups.items():
                kind = self.bank.kind(name)
                cut = ["CUTOUT"] if kind in ("foliage", "sign") else []
                program = self.programs.get("identity.frag", *cut)
                assign(
                    program, {"view_projection": matrix, "pictures": 4 if kind == "foliage" else 3}
                )
                self.bank.bind_pictures(kind)
                self.bank.array(name, program).render(instances=count)
        return matrix

    def _draw_items(
        self, groups: dict[str, int], lens: Floats, flags: list[str], values: dict[str, Any]
    ) -> None:
        order = ("solid", "livery", "sign", "plate", "facade", "foliage")
        for kind in order:
            names = [name for name in groups if self.bank.kind(name) == kind]
            if not names:
                continue
            source = {"sign": "picture", "plate": "picture"}.get(kind, kind)
            program = self.programs.get(f"{source}.frag", *flags)
            self.bank.bind_pictures(kind)
            assign(program, {**values, "view_projection": lens})
            for name in names:
                self.bank.array(name, program).render(instances=groups[name])

    def _draw_ground(
        self, scene: Scene, lens: Floats, flags: list[str], values: dict[str, Any]
    ) -> None:
        road = scene.road
        lines = np.zeros((10, 4), np.float32)
        for row, line in zip(lines, road.lines, strict=False):
            width = -line.width if line.yellow else line.width
            row[:] = (line.place, width, line.dash, line.period)
        crossings = np.zeros((6, 4), np.float32)
        for row, crossing in zip(crossings, road.crossings, strict=False):
            row[:] = crossing
        program = self.programs.get("ground.frag", *flags)
        self.bank.place(
            "ground",
            instances(
                [
                    Item(
                        "ground",
                        np.array(
                            [
                                [1, 0, 0, scene.camera.x],
                                [0, 1, 0, 0],
                                [0, 0, 1, scene.camera.z],
                                [0, 0, 0, 1],
                            ],
                            np.float32,
                        ),
                    )
                ]
            ),
        )
        assign(
            program,
            {
                **values,
                "view_projection": lens,
                "wave": road.waves,
                "edges": road.edges,
                "verge": (*road.paving, road.built_up, road.bare),
                "line_count": len(road.lines),
                "lines": lines,
                "crossing_count": len(road.crossings),
                "crossings": crossings,
                "road_tone": road.tone,
                "grass_colour": road.grass,
                "screen": tuple(map(float, self.inner)),
            },
        )
        self.bank.array("ground", program).render(instances=1)

    def _draw_sky(self, scene: Scene, rays: Floats) -> None:
        program = self.programs.get("sky.frag", vertex="sky.vert")
        weather = scene.weather
        sun = np.array(weather.sun_direction, np.float32)
        assign(
            program,
            {
                "rays": rays,
                "sun_direction": sun / np.linalg.norm(sun),
                "sun_colour": weather.sun,
                "zenith": weather.zenith,
                "horizon": weather.horizon,
                "haze": weather.haze,
                "ground_light": weather.ground,
                "skyline": weather.skyline,
                "haze_density": weather.haze_density,
                "clouds": weather.clouds,
                "noise": 0,
            },
        )
        self.context.depth_func = "<="
        self._simple(program, self.triangle, 3)
        self.context.depth_func = "<"

    def _simple(
        self, program: Any, buffer: Any, count: int, extra: tuple[Any, ...] = (), instances: int = 1
    ) -> None:
        content = [(buffer, "2f", "in_position"), *([extra] if extra else [])]
        array = self.context.vertex_array(program, content, skip_errors=True)
        array.render(vertices=count, instances=instances)
        array.release()

    def _draw_glows(self, scene: Scene, lens: Floats, *, flip: bool = False) -> None:
        if not scene.glows:
            return
        data = np.array(scene.glows, np.float32)
        axes = scene.camera.axes()
        program = self.programs.get("glow.frag", vertex="glow.vert")
        sign = np.array([1, -1 if flip else 1, 1], np.float32)
        assign(program, {"view_projection": lens, "right": axes[0] * sign, "up": axes[1] * sign})
        self._blended(program, data, "4f 3f/i", ("place", "light"), additive=True)

    def _draw_contacts(self, scene: Scene, lens: Floats) -> None:
        if scene.contacts:
            program = self.programs.get("contact.frag", vertex="contact.vert")
            assign(program, {"view_projection": lens})
            data = np.array(scene.contacts, np.float32)
            self._blended(program, data, "4f 2f/i", ("place", "turn"), additive=False)

    def _blended(
        self, program: Any, data: Floats, layout: str, names: tuple[str, str], *, additive: bool
    ) -> None:
        context = self.context
        buffer = context.buffer(np.ascontiguousarray(data).tobytes())
        context.enable(context.BLEND)
        context.blend_func = (
            (context.ONE, context.ONE)
            if additive
            else (context.SRC_ALPHA, context.ONE_MINUS_SRC_ALPHA)
        )
        context.depth_mask = False  # type: ignore[attr-defined]
        self.context.fbo.depth_mask = False
        self._simple(program, self.square, 6, (buffer, layout, *names), len(data))
        self.context.fbo.depth_mask = True
        context.disable(context.BLEND)
        buffer.release()

    def _draw_identities(self, groups: dict[str, int], lens: Floats) -> NDArray[np.uint16]:
        self.who.use()
        self.who.clear(0.0, 0.0, 0.0, 0.0)
        for name, count in groups.items():
            kind = self.bank.kind(name)
            cut = ["CUTOUT"] if kind in ("foliage", "sign") else []
            program = self.programs.get("identity.frag", *cut)
            self.bank.bind_pictures(kind)
            assign(program, {"view_projection": lens, "pictures": 4 if kind == "foliage" else 3})
            self.bank.array(name, program).render(instances=count)
        raw = np.frombuffer(self.who.read(components=1, dtype="u2"), np.uint16)
        return raw.reshape(self.size[1], self.size[0])[::-1].copy()
