"""Every number of a scene that a picture depends on, by name, as a function that can be derived."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from studio.core.effects import get
from studio.core.errors import InputError
from studio.core.gbuffer import CameraBatch, LightTensors
from studio.core.params import ParamSet
from studio.core.plan import Effects
from studio.core.scene import Camera, Scene
from studio.core.scene.mesh import Mesh
from studio.core.tensors import SceneTensors

_SHIFT_PIXELS = 0.03
"""How far a finite difference moves outlines, each way. On balls of 48 and 96 pixels it agrees with
the gradient to a thousandth, at a quarter of a pixel only to a tenth: then corners pass pixels."""

_RELATIVE = 0.02
"""Step of brightnesses, of their value: pictures are nearly linear in them."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """What one picture is made of."""

    surfaces: SceneTensors
    cameras: CameraBatch
    lights: LightTensors
    effects: Effects


@dataclass(frozen=True, eq=False)
class Scalar:
    """One number of a scene.

    Attributes:
        name: what commands call it, e.g. "light.0.intensity".
        value: as the scene has it; motions begin at 0.
        step: of a central difference, each way.
        unit: of the value, "" for none.
        apply: the inputs with the number at [] value. Gradients: to the value.
        low, high: the value's range.
    """

    name: str
    value: float
    step: float
    apply: Callable[[Inputs, Tensor], Inputs]
    unit: str = ""
    low: float = -math.inf
    high: float = math.inf

    @property
    def at(self) -> float:
        """The value, moved off the ends of its range by a step, so that both neighbours exist."""
        return min(max(self.value, self.low + self.step), self.high - self.step)


def scalars(scene: Scene, camera: Camera, effects: Effects) -> dict[str, Scalar]:
    """What can be asked for in a scene, in the order of a menu.

    The camera's motions along and about its own axes; of every light its intensity and place;
    the environment's intensity; of every mesh its motion, size and material; every differentiable
    parameter of the effects that are on.
    """
    low, high = scene.bounds()
    away = float(np.linalg.norm(camera.position - (low + high) / 2))
    pixel = _SHIFT_PIXELS / max(camera.fx, camera.fy)
    found = [*_of_camera(away * pixel, pixel), *_of_lights(scene)]
    first = 0
    for index, mesh in enumerate(scene.meshes):
        rows = slice(first, first + len(mesh.vertices))
        found += [*_of_motion(index, mesh, rows, away * pixel), *_of_material(index, mesh, rows)]
        first = rows.stop
    found += [s for name, values in effects.items() for s in _of_effect(name, values)]
    return {s.name: s for s in found}


def chosen(known: dict[str, Scalar], name: str) -> Scalar:
    """One of them; InputError names those of the same kind, or the kinds that there are."""
    if name in known:
        return known[name]
    kind = name.partition(".")[0]
    near = [n for n in known if n.partition(".")[0] == kind]
    listed = near or sorted({n.partition(".")[0] + ".…" for n in known})
    raise InputError(f"parameter: no {name!r} in this scene; there are {', '.join(listed)}")


# Camera


def _of_camera(shift: float, turn: float) -> list[Scalar]:
    out = []
    for axis, (move, rotation) in enumerate((("right", "pitch"), ("up", "yaw"), ("back", "roll"))):
        out.append(Scalar(f"camera.{move}", 0.0, shift, _camera_motion(axis, False)))
        out.append(Scalar(f"camera.{rotation}", 0.0, turn, _camera_motion(axis, True), "rad"))
    return sorted(out, key=lambda s: bool(s.unit))


def _camera_motion(axis: int, turns: bool) -> Callable[[Inputs, Tensor], Inputs]:
    generator = torch.zeros(4, 4)
    if turns:
        a, b = (axis + 1) % 3, (axis + 2) % 3
        generator[b, a], generator[a, b] = 1.0, -1.0
    else:
        generator[axis, 3] = 1.0

    def apply(inputs: Inputs, value: Tensor) -> Inputs:
        cameras = inputs.cameras
        # The camera moves, so what it sees moves the other way.
        moved = torch.linalg.matrix_exp(-value * generator.to(value.device)) @ cameras.world_to_view
        rotation, offset = moved[:, :3, :3], moved[:, :3, 3:]
        other = replace(
            cameras,
            world_to_view=moved,
            world_to_clip=cameras.view_to_clip @ moved,
            position=-(rotation.transpose(1, 2) @ offset)[:, :, 0],
        )
        return replace(inputs, cameras=other)

    return apply


# Light


def _of_lights(scene: Scene) -> list[Scalar]:
    lighting, out = scene.lighting, []
    low, high = scene.bounds()
    size = max(float(np.linalg.norm(high - low)), 1e-6)
    for i, light in enumerate(lighting.lights):
        step = _RELATIVE * max(light.intensity, 0.1)
        color = torch.tensor(light.color)
        out.append(Scalar(f"light.{i}.intensity", light.intensity, step, _intensity(i, color), low=0.0))
        for axis, name in enumerate("xyz"):
            if light.kind == "directional":
                out.append(Scalar(f"light.{i}.turn_{name}", 0.0, 0.01, _light_turn(i, axis), "rad"))
            else:
                at = float(light.position[axis])
                out.append(Scalar(f"light.{i}.{name}", at, 0.005 * size, _light_place(i, axis)))
    if np.any(lighting.sh) or lighting.environment is not None:
        out.append(Scalar("environment.intensity", 1.0, _RELATIVE, _brighter, low=0.0))
    return out


def _intensity(index: int, color: Tensor) -> Callable[[Inputs, Tensor], Inputs]:
    def apply(inputs: Inputs, value: Tensor) -> Inputs:
        radiance = inputs.lights.radiance
        own = (color.to(value.device) * value)[None]
        changed = torch.cat([radiance[:index], own, radiance[index + 1 :]])
        return replace(inputs, lights=replace(inputs.lights, radiance=changed))

    return apply


def _light_turn(index: int, axis: int) -> Callable[[Inputs, Tensor], Inputs]:
    def apply(inputs: Inputs, value: Tensor) -> Inputs:
        vector = inputs.lights.vector
        own = (_turn(axis, value) @ vector[index])[None]
        changed = torch.cat([vector[:index], own, vector[index + 1 :]])
        return replace(inputs, lights=replace(inputs.lights, vector=changed))

    return apply


def _light_place(index: int, axis: int) -> Callable[[Inputs, Tensor], Inputs]:
    def apply(inputs: Inputs, value: Tensor) -> Inputs:
        vector = inputs.lights.vector
        mask = torch.zeros_like(vector)
        mask[index, axis] = 1.0
        changed = vector * (1 - mask) + value * mask
        return replace(inputs, lights=replace(inputs.lights, vector=changed))

    return apply


def _brighter(inputs: Inputs, value: Tensor) -> Inputs:
    lights = inputs.lights
    around = None if lights.environment is None else lights.environment * value
    return replace(inputs, lights=replace(lights, sh=lights.sh * value, environment=around))


# Meshes


def _of_motion(index: int, mesh: Mesh, rows: slice, shift: float) -> list[Scalar]:
    low, high = mesh.bounds()
    middle = torch.from_numpy(((low + high) / 2).astype(np.float32))
    radius = max(float(np.linalg.norm(high - low)) / 2, 1e-9)
    name = f"mesh.{index}"
    out = [Scalar(f"{name}.{a}", 0.0, shift, _mesh_motion(rows, middle, axis=i)) for i, a in enumerate("xyz")]
    turn = shift / radius
    out += [
        Scalar(f"{name}.turn_{a}", 0.0, turn, _mesh_motion(rows, middle, turn=i), "rad")
        for i, a in enumerate("xyz")
    ]
    return [*out, Scalar(f"{name}.size", 1.0, turn, _mesh_motion(rows, middle), low=0.0)]


def _mesh_motion(
    rows: slice, middle: Tensor, axis: int | None = None, turn: int | None = None
) -> Callable[[Inputs, Tensor], Inputs]:
    """A shift along an axis, a turn about one through the middle, or a size about the middle."""

    def apply(inputs: Inputs, value: Tensor) -> Inputs:
        surfaces = inputs.surfaces
        own, center = surfaces.vertices[rows], middle.to(value.device)
        normals = surfaces.normals
        if axis is not None:
            own = own + value * torch.eye(3, device=value.device)[axis]
        elif turn is not None:
            matrix = _turn(turn, value)
            own = (own - center) @ matrix.T + center
            if normals is not None:
                normals = _with_rows(normals, rows, normals[rows] @ matrix.T)
        else:
            own = (own - center) * value + center
        vertices = _with_rows(surfaces.vertices, rows, own)
        return replace(inputs, surfaces=replace(surfaces, vertices=vertices, normals=normals))

    return apply


def _of_material(index: int, mesh: Mesh, rows: slice) -> list[Scalar]:
    material, name = mesh.material, f"material.{index}"
    own = None if mesh.colors is None else torch.from_numpy(np.ascontiguousarray(mesh.colors, np.float32))
    out = []
    for channel, letter in enumerate("rgb"):
        value = float(material.base_color[channel])
        apply = _base_color(rows, own, channel)
        out.append(Scalar(f"{name}.base_color.{letter}", value, 0.02, apply, low=0.0))
    values = {"perceptual_roughness": mesh.roughness, "metallic": mesh.metallic}
    for factor, vertices in values.items():
        # Where every vertex has its own, all of them move alike, and the mean is what is named.
        value = float(getattr(material, factor) if vertices is None else np.mean(vertices))
        out.append(
            Scalar(f"{name}.{factor}", value, 0.01, _attribute(factor, rows, value), low=0.0, high=1.0)
        )
    if material.subsurface > 0:
        apply = _attribute("subsurface", rows, material.subsurface)
        out.append(Scalar(f"{name}.subsurface", material.subsurface, 0.01, apply, low=0.0, high=1.0))
    return out


def _base_color(rows: slice, own: Tensor | None, channel: int) -> Callable[[Inputs, Tensor], Inputs]:
    def apply(inputs: Inputs, value: Tensor) -> Inputs:
        colors = inputs.surfaces.colors
        part = colors[rows]
        tint = torch.ones_like(part[:, 0]) if own is None else own[:, channel].to(value.device)
        parts = [part[:, i] if i != channel else tint * value for i in range(3)]
        changed = _with_rows(colors, rows, torch.stack(parts, dim=1))
        return replace(inputs, surfaces=replace(inputs.surfaces, colors=changed))

    return apply


def _attribute(name: str, rows: slice, value_now: float) -> Callable[[Inputs, Tensor], Inputs]:
    def apply(inputs: Inputs, value: Tensor) -> Inputs:
        values: Tensor = getattr(inputs.surfaces, name)
        changed = _with_rows(values, rows, values[rows] + (value - value_now))
        surfaces = replace(inputs.surfaces, **{name: changed})  # type: ignore[arg-type]
        return replace(inputs, surfaces=surfaces)

    return apply


def _with_rows(values: Tensor, rows: slice, own: Tensor) -> Tensor:
    return torch.cat([values[: rows.start], own, values[rows.stop :]])


def _turn(axis: int, angle: Tensor) -> Tensor:
    """[3, 3] rotation about a world axis. Gradients: to angle."""
    a, b = (axis + 1) % 3, (axis + 2) % 3
    generator = torch.zeros(3, 3, device=angle.device)
    generator[b, a], generator[a, b] = 1.0, -1.0
    return torch.linalg.matrix_exp(angle * generator)


# Effects


def _of_effect(name: str, values: ParamSet) -> list[Scalar]:
    out = []
    for param in get(name).params:
        if not param.differentiable:
            continue
        now = values.as_dict()[param.name]
        span = param.high - param.low
        step = min(param.step, 0.01 * span) if math.isfinite(span) else param.step
        if param.kind == "float":
            apply = _effect_value(name, param.name, None)
            out.append(
                Scalar(f"{name}.{param.name}", float(now), step, apply, param.unit, param.low, param.high)
            )
        elif param.kind in ("color", "vec3"):
            for i, letter in enumerate("rgb" if param.kind == "color" else "xyz"):
                apply = _effect_value(name, param.name, i)
                title = f"{name}.{param.name}.{letter}"
                out.append(Scalar(title, float(now[i]), step, apply, param.unit, param.low, param.high))
    return out


def _effect_value(effect: str, param: str, component: int | None) -> Callable[[Inputs, Tensor], Inputs]:
    def apply(inputs: Inputs, value: Tensor) -> Inputs:
        values = inputs.effects[effect].copy()
        if component is None:
            values.attach(param, value)
        else:
            triple = [value.new_tensor(float(v)) for v in values[param]]
            triple[component] = value
            values.attach(param, torch.stack(triple))
        return replace(inputs, effects={**inputs.effects, effect: values})

    return apply
