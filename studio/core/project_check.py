"""What types cannot say of a project's contents: shapes, finite numbers, indices in range."""

from __future__ import annotations

import math

import numpy as np

from studio.core.errors import InputError
from studio.core.optim.messages import Snapshot
from studio.core.scene import SH_COUNT, Camera, Lighting, Material, Mesh, Points, Scene, Volume
from studio.core.scene.camera import check_rigid

_VERTEX = {"normals": 3, "uvs": 2, "colors": 3, "roughness": 1, "metallic": 1}
"""Attributes of vertices and how many numbers they are."""

_TEXTURES = (
    *("base_color_texture", "orm_texture", "normal_texture"),
    *("occlusion_texture", "emissive_texture"),
)


def check_scene(scene: Scene, where: str) -> None:
    """InputError, beginning with `where`, unless the scene can be shown."""
    for i, mesh in enumerate(scene.meshes):
        _check_mesh(mesh, f"{where}: scene.meshes[{i}]")
    _check_radiance(scene.volume, scene.points, f"{where}: scene")
    _check_lighting(scene.lighting, f"{where}: scene.lighting")
    for i, camera in enumerate(scene.cameras):
        _check_camera(camera, f"{where}: scene.cameras[{i}]")
    _check_numbers(scene.background, f"{where}: scene.background")


def check_run(snapshot: Snapshot, where: str) -> None:
    """InputError, beginning with `where`, unless the state of a run can be shown."""
    if snapshot.mesh is not None:
        _check_mesh(snapshot.mesh, f"{where}: run.snapshot.mesh")
    elif not snapshot.emits:
        raise InputError(f"{where}: run.snapshot has no mesh, expected one, a volume or points")
    _check_radiance(snapshot.volume, snapshot.points, f"{where}: run.snapshot")
    _check_lighting(snapshot.lighting, f"{where}: run.snapshot.lighting")
    for name, camera in snapshot.cameras.items():
        _check_camera(camera, f"{where}: run.snapshot.cameras[{name}]")


def _check_radiance(volume: Volume | None, points: Points | None, where: str) -> None:
    if volume is not None:
        volume.check(f"{where}.volume")
    if points is not None:
        points.check(f"{where}.points")


def _check_mesh(mesh: Mesh, where: str) -> None:
    _check_array(mesh.vertices, (None, 3), "f", f"{where}.vertices")
    _check_array(mesh.faces, (None, 3), "i", f"{where}.faces")
    mesh.check(where)
    for name, width in _VERTEX.items():
        values = getattr(mesh, name)
        if values is not None:
            _check_array(values, (len(mesh.vertices), width), "f", f"{where}.{name}")
    _check_material(mesh.material, f"{where}.material")


def _check_material(material: Material, where: str) -> None:
    for name in _TEXTURES:
        image = getattr(material, name)
        if image is not None:
            _check_array(image, (None, None, None), "f", f"{where}.{name}")
            if image.shape[2] not in (3, 4):
                raise InputError(f"{where}.{name}: has {image.shape[2]} channels, expected 3 or 4")
    numbers = (*material.base_color, *material.emissive, material.perceptual_roughness, material.metallic)
    _check_numbers((*numbers, material.alpha, material.subsurface), where)


def _check_lighting(lighting: Lighting, where: str) -> None:
    _check_array(lighting.sh, (SH_COUNT, 3), "f", f"{where}.sh")
    if lighting.environment is not None:
        _check_array(lighting.environment, (None, None, 3), "f", f"{where}.environment")
    for i, light in enumerate(lighting.lights):
        numbers = (*light.direction, *light.position, *light.color, *light.right, light.intensity)
        rest = (light.inner_angle, light.outer_angle, light.width, light.height, light.size)
        _check_numbers((*numbers, *rest), f"{where}.lights[{i}]")


def _check_camera(camera: Camera, where: str) -> None:
    if camera.width < 1 or camera.height < 1:
        raise InputError(f"{where}: is {camera.width}x{camera.height}, expected at least one pixel")
    _check_numbers((camera.fx, camera.fy, camera.cx, camera.cy, camera.near, camera.far), where)
    check_rigid(camera.view_to_world, where)


def _check_numbers(values: tuple[float, ...], where: str) -> None:
    if not all(map(math.isfinite, values)):
        raise InputError(f"{where}: holds a number that is NaN or infinite, expected finite ones")


def _check_array(array: np.ndarray, shape: tuple[int | None, ...], kind: str, where: str) -> None:
    """Shape (None: any positive), kind ("f" real or "i" whole) and finite values."""
    fits = array.ndim == len(shape) and all(
        have == wanted if wanted is not None else have > 0 for have, wanted in zip(array.shape, shape)
    )
    if not fits:
        wanted = " x ".join("n" if n is None else str(n) for n in shape)
        raise InputError(f"{where}: has shape {array.shape}, expected {wanted}")
    if array.dtype.kind != kind:
        names = {"f": "real numbers", "i": "whole numbers"}
        raise InputError(f"{where}: holds {array.dtype}, expected {names[kind]}")
    if kind == "f" and not np.isfinite(array).all():
        raise InputError(f"{where}: holds NaN or infinite values, expected finite ones")
