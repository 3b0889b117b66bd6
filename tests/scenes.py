"""Small procedural scenes that golden, parity and gradient tests share."""

from __future__ import annotations

import numpy as np

from studio.core.effects import get
from studio.core.effects.effect import Effect
from studio.core.params import Param, ParamSet
from studio.core.scene import SH_COUNT, Camera, Light, Lighting, Material, Mesh, Scene, look_at
from studio.core.scene.light import ambient_sh
from studio.core.scene.shapes import cube, icosphere, torus


def environment(seed: int, strength: float = 0.12) -> np.ndarray:
    """[25, 3] coefficients with something in every band."""
    sh = ambient_sh((0.5, 0.45, 0.4))
    sh[1:] = np.random.default_rng(seed).normal(size=(SH_COUNT - 1, 3)) * strength
    return sh.astype(np.float32)


def camera(size: int, eye: tuple[float, float, float], fx: float = 1.3) -> Camera:
    """Looks at the origin; the principal point is off-centre and pixels are not square."""
    pose = look_at(np.array(eye), np.zeros(3))
    return Camera(size, size, fx * size, 1.25 * size, 0.48 * size, 0.53 * size, pose, near=0.5, far=12.0)


def glossy_sphere() -> Scene:
    """A red dielectric sphere under a sun and a structured environment."""
    mesh = icosphere(3)
    mesh.material = Material(base_color=(0.7, 0.12, 0.08), perceptual_roughness=0.3)
    light = Lighting(lights=[Light(direction=(0.4, 0.8, 0.45), intensity=0.8)], sh=environment(1))
    return Scene(
        meshes=[mesh],
        lighting=light,
        background=(0.05, 0.1, 0.2),
        name="glossy_sphere",
        cameras=[camera(64, (0.5, 0.8, 3.0))],
    )


def metal_and_clay() -> Scene:
    """A gold ring around a clay ball, lit by a coloured point light that moves with the camera."""
    ring = torus(1.0, 0.25, 48)
    ring.material = Material(base_color=(1.0, 0.65, 0.25), perceptual_roughness=0.35, metallic=1.0)
    ball = icosphere(3, 0.55)
    ball.material = Material(base_color=(0.6, 0.55, 0.5), perceptual_roughness=0.9)
    lamp = Light(kind="point", position=(0.8, 1.2, -0.5), color=(1.0, 0.9, 0.7), intensity=5.0)
    sun = Light(direction=(-0.5, 0.3, 0.8), intensity=0.3)
    light = Lighting(lights=[lamp, sun], sh=environment(2), fixed_to="camera")
    return Scene(
        meshes=[ring, ball], lighting=light, name="metal_and_clay", cameras=[camera(64, (0.0, 2.0, 3.2))]
    )


def textured_cube() -> Scene:
    """A cube with vertex colours, base-colour and ORM textures, beside a plain one."""
    v = np.linspace(0, 1, 16, dtype=np.float32)
    x, y = np.meshgrid(v, v)
    base = np.stack([0.2 + 0.8 * x, 0.3 + 0.5 * y, 0.6 - 0.4 * x * y], axis=-1)
    orm = np.stack([np.ones_like(x), 0.3 + 0.6 * x, y], axis=-1)
    mesh = split_cube(0.9)
    mesh.vertices = mesh.vertices + np.float32((-0.5, 0, 0))
    mesh.colors = (0.6 + 0.4 * (mesh.vertices > 0)).astype(np.float32)
    mesh.material = Material(
        base_color=(1.0, 0.95, 0.9),
        perceptual_roughness=0.9,
        metallic=0.8,
        base_color_texture=base.astype(np.float32),
        orm_texture=orm.astype(np.float32),
    )
    plain = cube(0.6)
    plain.vertices = plain.vertices + np.float32((0.7, 0, 0.2))
    plain.material = Material(base_color=(0.2, 0.5, 0.3), perceptual_roughness=0.5)
    light = Lighting(lights=[Light(direction=(0.3, 0.6, 0.8), intensity=0.7)], sh=environment(3))
    return Scene(
        meshes=[mesh, plain], lighting=light, name="textured_cube", cameras=[camera(64, (1.2, 1.5, 2.6))]
    )


def split_cube(size: float) -> Mesh:
    """A cube whose faces have their own vertices, so that each carries the whole texture."""
    square = np.array([(-1, -1, 1), (1, -1, 1), (1, 1, 1), (-1, 1, 1)], np.float32) * size / 2
    turns = [np.eye(3), [[0, 0, 1], [0, 1, 0], [-1, 0, 0]], [[1, 0, 0], [0, 0, 1], [0, -1, 0]]]
    flip = np.diag((-1.0, 1.0, -1.0))
    sides = [square @ np.asarray(t).T for t in turns] + [square @ (flip @ np.asarray(t)).T for t in turns]
    # Half a turn about y maps top to top: the bottom needs the half turn about x.
    sides[5] = sides[2] * np.float32((1, -1, -1))
    faces = [np.array([(0, 1, 2), (0, 2, 3)], np.int32) + 4 * i for i in range(6)]
    uvs = np.tile(np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float32), (6, 1))
    normals = [np.repeat(side.mean(0, keepdims=True) / (size / 2), 4, axis=0) for side in sides]
    return Mesh(
        vertices=np.concatenate(sides).astype(np.float32),
        faces=np.concatenate(faces),
        normals=np.concatenate(normals).astype(np.float32),
        uvs=uvs,
        name="split cube",
    )


def corner() -> Scene:
    """A ball that light enters and a box in a corner of three walls, under a spot and a panel."""
    glossy = Material(base_color=(0.6, 0.6, 0.6), perceptual_roughness=0.2)
    walls = [
        slab((0.0, -0.6, 0.0), (2.2, 0.1, 2.2), glossy),
        slab((-1.1, 0.3, 0.0), (0.1, 1.8, 2.2), Material(base_color=(0.7, 0.15, 0.1))),
        slab((0.0, 0.3, -1.1), (2.2, 1.8, 0.1), Material(base_color=(0.7, 0.7, 0.65))),
    ]
    ball = icosphere(3, 0.4)
    ball.vertices = ball.vertices + np.float32((-0.3, -0.15, 0.1))
    ball.material = Material(base_color=(0.9, 0.6, 0.5), perceptual_roughness=0.4, subsurface=1.0)
    box = slab((0.5, -0.3, -0.3), (0.45, 0.5, 0.45), Material(base_color=(0.2, 0.4, 0.7), metallic=0.5))
    lamp = slab((0.9, 0.0, -0.9), (0.1, 0.1, 0.1), Material(emissive=(0.9, 0.7, 0.3)))
    spot = Light("spot", direction=(0.4, 0.8, 0.5), position=(0.8, 1.6, 1.2), intensity=4.0, size=0.1)
    panel = Light("area", (-0.2, 1.0, 0.1), (-0.4, 1.5, 0.3), intensity=2.0, width=0.8, height=0.4)
    v, u = (np.indices((16, 32), np.float32) + 0.5) / 16
    sky = np.stack([0.3 + 0.3 * np.sin(3 * u), 0.2 + 0.3 * v, 0.5 * v + 0.2 * np.cos(6 * u) ** 2], axis=-1)
    lighting = Lighting([spot, panel]).with_environment(sky.astype(np.float32))
    return Scene(
        meshes=[*walls, ball, box, lamp],
        lighting=lighting,
        background=(0.1, 0.1, 0.12),
        name="corner",
        cameras=[camera(64, (1.6, 1.1, 2.4))],
    )


def slab(middle: tuple[float, float, float], sides: tuple[float, float, float], material: Material) -> Mesh:
    """An axis-aligned box with sharp edges."""
    mesh = split_cube(1.0)
    mesh.vertices = mesh.vertices * np.float32(sides) + np.float32(middle)
    mesh.material = material
    return mesh


SCENES = {scene.__name__: scene for scene in (glossy_sphere, metal_and_clay, textured_cube, corner)}


def off_default(param: Param) -> object:
    """A legal value of a parameter that is not its default."""
    if param.kind == "bool":
        return not param.default
    if param.kind == "choice":
        return next(choice for choice in reversed(param.choices) if choice != param.default)
    if param.kind in ("color", "vec3"):
        return tuple(_moved(param, v) for v in param.default)
    return param.check(_moved(param, param.default))


def _moved(param: Param, value: float) -> float:
    # A tenth of the way to the upper bound: visible, and not extreme (one stop of ten).
    high = param.high if np.isfinite(param.high) else value + 1.0
    return value + 0.1 * (high - value) if high > value else value + 0.1 * (param.low - value)


def effects_with(name: str, changed: bool = False) -> dict[str, ParamSet]:
    """The effect called `name`, over PBR if it does not shade itself."""
    names = [name] if get(name).stage == "shade" else ["pbr", name]
    out = {n: ParamSet(n, get(n).params) for n in names}
    if changed:
        effect: Effect = get(name)
        for param in effect.params:
            out[name].set(param.name, off_default(param))
    return out
