"""Objects of known shape and material, and their photos, for the benchmark `truth`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks._models import _DATA
from studio.core.effects import get
from studio.core.errors import InputError
from studio.core.gbuffer import LightTensors
from studio.core.io.images import load_environment
from studio.core.io.meshes import load_scene
from studio.core.ops.ambient import ambient_visibility
from studio.core.ops.prefilter import LEVELS, prefilter
from studio.core.optim.atlas import Atlas, fill
from studio.core.params import ParamSet
from studio.core.pipeline import render_channels
from studio.core.scene import Camera, Lighting, Mesh, Photo, PhotoSet, Scene, Similarity, look_at
from studio.core.scene.mesh import merge

OBJECTS = {"spot": "spot/spot.obj", "bob": "bob/bob_tri.obj", "helmet": "helmet/DamagedHelmet.glb"}
"""Name and file in the folder of meshes. Files without roughness get ROUGHNESS."""

MAKERS = ("mitsuba", "own")
"""Path tracing with bounces and shadows, or the renderer that the fit uses, with baked occlusion."""

LIGHT, OTHER_LIGHT = "museum.exr", "envmap2.exr"
"""Under which photos are taken, and under which fit and truth are compared again."""

ROUGHNESS = 0.4

HELD_OUT = 9
"""Every 9th photo is held out: with 36 there are 32 to learn from."""

_WHITE = 0.8
"""Radiance of a white matt surface turned to the brightest side: a clipped pixel says nothing."""

_DIAGONAL = 1.4
_OCCLUSION_SIZE = 512


@dataclass(frozen=True)
class Shots:
    """How photos are made.

    Attributes:
        maker: one of MAKERS.
        views: how many, those held out among them.
        size: pixels of a side.
        samples: paths per pixel.
    """

    maker: str = "mitsuba"
    views: int = 36
    size: int = 256
    samples: int = 64


def environment(name: str) -> np.ndarray:
    """[H, W, 3] a map of the data folder, exposed for a white object."""
    image = load_environment(_DATA / "hdr" / name)
    light = LightTensors.from_lighting(Lighting(lights=[]).with_environment(image))
    assert light.environment is not None
    diffuse = prefilter(light.environment)[-(LEVELS[-1][1] ** 2) :]
    return np.asarray(image * np.float32(_WHITE / float(diffuse.max())))


def truth_scene(name: str) -> Scene:
    """The object in the middle of the scene, 1.4 across, in the museum.

    Raises:
        InputError: the data folder does not have it.
    """
    path = _DATA / "meshes" / OBJECTS[name]
    if not path.exists():
        raise InputError(f"{path}: is not there; $STUDIO_DATA may name another folder of data")
    mesh = merge(load_scene(path).meshes)
    low, high = mesh.bounds()
    scale = _DIAGONAL / float(np.linalg.norm(high - low))
    normals = mesh.vertex_normals()
    mesh = mesh.with_vertices(((mesh.vertices - 0.5 * (low + high)) * scale).astype(np.float32))
    mesh.normals = normals
    # Nothing that is fitted shines by itself.
    material = replace(mesh.material, emissive=(0.0, 0.0, 0.0), emissive_texture=None, occlusion_texture=None)
    if material.orm_texture is None:
        material = replace(material, perceptual_roughness=ROUGHNESS, metallic=0.0)
    lighting = Lighting(lights=[]).with_environment(environment(LIGHT))
    return Scene([replace(mesh, material=material)], lighting, name=name)


def cameras(count: int, size: int) -> list[Camera]:
    """Around the object, mostly from above."""
    out = []
    for i in range(count):
        height = 0.95 - 1.35 * (i + 0.5) / count
        turn, level = i * np.pi * (3 - np.sqrt(5)), np.sqrt(1 - height**2)
        eye = 3.0 * np.array([level * np.cos(turn), height, level * np.sin(turn)])
        focal = 1.9 * size
        pose = look_at(eye, np.zeros(3))
        out.append(Camera(size, size, focal, focal, size / 2, size / 2, pose, near=1, far=6, name=f"{i:02d}"))
    return out


def effects() -> dict[str, ParamSet]:
    """Shading under the map, without the map behind it."""
    sky, pbr = get("environment"), get("pbr")
    return {
        sky.name: ParamSet(sky.name, sky.params, {"show_background": False}),
        pbr.name: ParamSet(pbr.name, pbr.params),
    }


def photograph(scene: Scene, shots: Shots, folder: Path) -> PhotoSet:
    """Photos with exact masks; those of an earlier run if the folder has them."""
    traced = f"_{shots.samples}" if shots.maker == "mitsuba" else ""
    keep = folder / f"{scene.name}_{shots.maker}_{shots.size}_{shots.views}{traced}.npz"
    views = cameras(shots.views, shots.size)
    if keep.exists():
        images = np.load(keep)["images"]
    else:
        own = replace(scene, meshes=[with_occlusion(scene.meshes[0])]) if shots.maker == "own" else scene
        images = np.stack([_photo(own, camera, shots) for camera in views])
        folder.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(keep, images=images)
    photos = []
    for camera, rgba in zip(views, images, strict=True):
        color = rgba[..., :3] / np.maximum(rgba[..., 3:], 1e-3)
        photos.append(Photo(camera.name, np.clip(color, 0, 1), camera, np.clip(rgba[..., 3], 0, 1)))
    return PhotoSet(photos, Similarity(), object_radius=0.5 * _DIAGONAL)


def _photo(scene: Scene, camera: Camera, shots: Shots) -> np.ndarray:
    """[H, W, 4] premultiplied."""
    if shots.maker == "own":
        return render_channels(scene, camera, effects())["rgba"]
    from studio.reference import render_reference

    return render_reference(scene, camera, shots.samples, transparent=True)


def with_occlusion(mesh: Mesh) -> Mesh:
    """The truth with the part of the sky that each point sees, as a fit's textures have it."""
    assert mesh.uvs is not None
    vertices, faces, normals, uvs = (
        torch.from_numpy(np.ascontiguousarray(a))
        for a in (mesh.vertices, mesh.faces, mesh.vertex_normals(), mesh.uvs)
    )
    seen = ambient_visibility(vertices, faces, normals)
    image = torch.zeros(1, _OCCLUSION_SIZE, _OCCLUSION_SIZE, 1)
    known = torch.zeros_like(image, dtype=torch.bool)
    # Textures repeat: coordinates may lie in the squares beside the first.
    squares = [range(int(np.floor(low)), int(np.ceil(high))) for low, high in zip(uvs.amin(0), uvs.amax(0))]
    for shift in [(u, v) for u in squares[0] for v in squares[1]]:
        atlas = Atlas.lay_out(torch.arange(len(vertices)), faces, uvs - torch.tensor(shift), _OCCLUSION_SIZE)
        image = torch.where(atlas.covered, atlas.bake(seen), image)
        known |= atlas.covered
    occlusion = np.repeat(fill(image, known)[0].numpy(), 3, axis=2)
    return replace(mesh, material=replace(mesh.material, occlusion_texture=occlusion))
