"""The built-in scenes by name: meshes from assets/, light and camera from here."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from studio.core.errors import InputError
from studio.core.io.meshes import load_scene
from studio.core.scene import SH_COUNT, Camera, Light, Lighting, Scene, look_at
from studio.core.scene.light import ambient_sh

SCENES = Path(__file__).resolve().parents[2] / "assets" / "scenes"
"""Made by assets/make_scenes.py."""

NAMES = ("demo", "cornell", "teaset", "bust", "balls")
"""What `built_in` opens."""

SIZE = 512


def built_in(name: str) -> Scene:
    """A built-in scene with its light and one camera.

    Args:
        name: demo (the duck of the photos), cornell (the Cornell box, two units wide, measured
            geometry and colours), teaset (Utah teapot and two cups on a glossy metal floor),
            bust (a head of skin or wax), balls (seven columns of roughness, five rows of metallic).
    Raises:
        InputError: another name, or a file of assets/ is missing.
    """
    if name not in NAMES:
        raise InputError(f"scene {name!r}: no such built-in scene, expected {', '.join(NAMES)}")
    if name == "demo":
        from studio.core.demo import demo_truth

        return demo_truth()
    scene = load_scene(SCENES / f"{name}.glb")
    _DRESS[name](scene)
    return scene


def _camera(eye: tuple, target: tuple, focal: float, near: float, far: float) -> Camera:
    """A square camera; focal in heights of the picture."""
    pose = look_at(np.array(eye), np.array(target))
    f = focal * SIZE
    return Camera(SIZE, SIZE, f, f, SIZE / 2, SIZE / 2, pose, near, far, name="scene")


def _sky(up: tuple, level: tuple, down: tuple) -> np.ndarray:
    """[SH_COUNT, 3] radiance that goes from `down` over `level` to `up` with the height."""
    top, middle, bottom = (np.array(c, np.float64) for c in (up, level, down))
    sh = np.zeros((SH_COUNT, 3))
    curve = (top + bottom) / 2 - middle  # radiance = middle + slope y + curve y^2
    sh[0] = (middle + curve / 3) / 0.28209479
    sh[1] = (top - bottom) / 2 / 0.48860251
    # y^2 - 1/3 in the basis Y20 = 0.3153916 (3 z^2 - 1), Y22 = 0.5462742 (x^2 - y^2).
    sh[6] = curve * -1 / 6 / 0.31539157
    sh[8] = curve * -1 / 2 / 0.54627422
    return sh.astype(np.float32)


def _dress_cornell(scene: Scene) -> None:
    """The measured camera; the light's radiance and area. The dim ambient stands for
    interreflection, which neither renderer has."""
    lamp = next(mesh for mesh in scene.meshes if mesh.name == "light")
    low, high = lamp.bounds()
    radiance = np.array(lamp.material.emissive)
    r, g, b = (radiance / radiance.max()).tolist()
    x, y, z = ((low + high) / 2).tolist()
    width, _, height = (high - low).tolist()
    light = Light(
        "area",
        direction=(0.0, 1.0, 0.0),
        position=(x, y - 1e-3, z),  # below the surface that shows it
        color=(r, g, b),
        intensity=float(radiance.max()),
        width=width,
        height=height,
        name="lamp",
    )
    scene.lighting = Lighting([light], ambient_sh((0.16, 0.12, 0.06)))
    focal = 0.035 / 0.025
    scene.cameras = [_camera((0, -0.005, 3.883), (0, -0.005, 0), focal, near=0.5, far=8.0)]


def _dress_teaset(scene: Scene) -> None:
    sun = Light(direction=(0.45, 0.8, 0.4), intensity=0.75, color=(1.0, 0.96, 0.9), name="sun")
    scene.lighting = Lighting([sun], _sky((0.45, 0.52, 0.62), (0.28, 0.28, 0.28), (0.08, 0.07, 0.06)))
    scene.background = (0.3, 0.34, 0.4)
    scene.cameras = [_camera((3.4, 4.4, 9.6), (0.2, 1.0, 0.3), 1.25, near=1.0, far=40.0)]


def _dress_bust(scene: Scene) -> None:
    """A key light from the side, so that the terminator crosses the face, and one behind an ear."""
    for mesh in scene.meshes:
        if mesh.material.name == "skin":
            mesh.material.subsurface = 1.0
    key = Light(direction=(-0.75, 0.45, 0.5), intensity=0.9, color=(1.0, 0.95, 0.9), name="key")
    rim = Light("point", position=(1.5, 1.2, -1.6), intensity=2.5, color=(1.0, 0.9, 0.8), name="rim")
    scene.lighting = Lighting([key, rim], _sky((0.16, 0.18, 0.22), (0.1, 0.1, 0.11), (0.05, 0.05, 0.05)))
    scene.background = (0.02, 0.02, 0.025)
    scene.cameras = [_camera((0.9, 0.55, 4.6), (0.0, 0.08, 0.0), 1.85, near=1.0, far=12.0)]


def _dress_balls(scene: Scene) -> None:
    sun = Light(direction=(0.5, 0.7, 0.9), intensity=0.9, name="sun")
    scene.lighting = Lighting([sun], _sky((1.1, 1.15, 1.25), (0.35, 0.35, 0.36), (0.1, 0.08, 0.06)))
    scene.cameras = [_camera((0, 0, 12.0), (0, 0, 0), 1.6, near=2.0, far=30.0)]


_DRESS = {
    "cornell": _dress_cornell,
    "teaset": _dress_teaset,
    "bust": _dress_bust,
    "balls": _dress_balls,
}
