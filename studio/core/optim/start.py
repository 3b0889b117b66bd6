"""The state before step 0: start mesh, start light, first colours."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from studio.core.errors import InputError
from studio.core.optim import bake
from studio.core.optim.hull import Cancel, Progress, visual_hull
from studio.core.optim.messages import Snapshot
from studio.core.optim.remesh import mean_edge_length, remesh
from studio.core.optim.settings import FitSettings
from studio.core.optim.surface import remade
from studio.core.optim.targets import Targets
from studio.core.scene import Lighting, Material, Mesh, Photo, PhotoSet, Scene
from studio.core.scene.light import ambient_sh
from studio.core.scene.mesh import weld
from studio.core.scene.shapes import icosphere

_PROBE_RESOLUTION = 32
"""Grid of the hull that only serves to tell what the light is fixed to."""

_EVEN_ENOUGH = 1.1
"""A mesh within 10 % of the wished edge length is left as it is."""


@dataclass(eq=False)
class FitProblem:
    """What is given: photos, and what is known beforehand.

    Attributes:
        photos: with cameras; masks are needed for the visual hull.
        mesh: where settings start = mesh.
        lighting: start light; None means a white environment of radiance 1.
        material: roughness and metallic of the start, name of the result's material.
        background: linear colour behind the object, where masks do not replace it.
        effects: parameter values of effects by name, kept in the resulting scene.
    """

    photos: PhotoSet
    mesh: Mesh | None = None
    lighting: Lighting | None = None
    material: Material = field(default_factory=Material)
    background: tuple[float, float, float] = (0.0, 0.0, 0.0)
    effects: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def of_scene(
        cls, photos: PhotoSet, scene: Scene, settings: FitSettings, effects: dict[str, dict[str, Any]]
    ) -> FitProblem:
        """The scene's first mesh and light as the start. Light that moves starts white: it is unknown."""
        mesh = scene.meshes[0] if scene.meshes else None
        return cls(
            photos=photos,
            mesh=mesh,
            lighting=None if settings.enabled("light") else scene.lighting,
            material=mesh.material if mesh is not None else Material(),
            background=scene.background,
            effects=effects,
        )

    def scene_of(self, snapshot: Snapshot) -> Scene:
        """The scene that a snapshot shows, in the normalised world, with the photos' cameras."""
        effects = {name: dict(values) for name, values in self.effects.items()}
        if snapshot.lighting.environment is not None:
            effects.setdefault("environment", {"show_background": False})
        snapshot = snapshot.whole()
        return Scene(
            meshes=[] if snapshot.mesh is None else [snapshot.mesh],
            volume=snapshot.volume,
            points=snapshot.points,
            lighting=snapshot.lighting,
            background=snapshot.background,
            effects=effects,
            cameras=[snapshot.cameras.get(photo.name, photo.camera) for photo in self.photos.photos],
            name="fit" if snapshot.mesh is None else snapshot.mesh.name,
        )


def scene_after(scene: Scene, snapshot: Snapshot, settings: FitSettings, name: str) -> Scene:
    """The scene with what a fit made of it: its first mesh, volume or points, called `name`, and what
    else moved."""
    if snapshot.mesh is None:
        kept = snapshot.whole()
        volume = scene.volume if kept.volume is None else replace(kept.volume, name=name)
        points = scene.points if kept.points is None else replace(kept.points, name=name)
        return replace(scene, volume=volume, points=points)
    return replace(
        scene,
        meshes=[replace(snapshot.mesh, name=name), *scene.meshes[1:]],
        lighting=snapshot.lighting if settings.enabled("light") else scene.lighting,
        background=snapshot.background if settings.enabled("background") else scene.background,
    )


def start_mesh(
    problem: FitProblem,
    training: PhotoSet,
    settings: FitSettings,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Mesh:
    """The start shape that the settings name, without colours unless the mesh brings them.

    Raises:
        InputError: no mesh given, or no hull can be carved.
        Cancelled: from the hull.
    """
    if settings["start"] == "mesh":
        if problem.mesh is None:
            raise InputError("start: mesh was asked for but none was given")
        problem.mesh.check(problem.mesh.name)
        return _welded(problem.mesh)
    if settings["start"] == "sphere":
        sphere = icosphere(settings["sphere_subdivisions"], 0.75 * training.object_radius)
        center = np.asarray(training.object_center, np.float32)
        return sphere.with_vertices((sphere.vertices + center).astype(np.float32))
    return visual_hull(
        training.photos,
        training.object_center,
        training.object_radius,
        settings["hull_resolution"],
        settings["hull_misses"],
        settings["start_smooth"],
        progress,
        cancel,
    )


def start_lighting(problem: FitProblem) -> Lighting:
    """The given light, or white light of radiance 1 from everywhere."""
    return problem.lighting or Lighting(lights=[], sh=ambient_sh((1.0, 1.0, 1.0)))


def decide_light(
    problem: FitProblem, training: list[Photo], settings: FitSettings, samples: bake.Samples, targets: Targets
) -> tuple[Literal["world", "camera"], str]:
    """What the light is fixed to, as set, as the given light says, or as the photos tell.

    Args:
        samples: of the start shape in the targets.
    Returns:
        (world or camera, a note on why if the photos decided).
    """
    wished = settings["light_fixed_to"]
    if settings["shading"] == "unlit":
        return "world", ""
    if wished != "auto":
        return wished, ""
    if problem.lighting is not None:
        return problem.lighting.fixed_to, ""
    if settings["start"] == "sphere":  # whose points are not the object's
        if targets.mask is None:
            return "world", ""
        photos = problem.photos
        probe = visual_hull(training, photos.object_center, photos.object_radius, _PROBE_RESOLUTION)
        samples = bake.sample_photos(probe, targets)
    turns, share = bake.light_turns_with_camera(samples)
    chosen: Literal["world", "camera"] = "camera" if turns else "world"
    return chosen, (
        f"light fixed to the {chosen}: view-space normals explain {100 * share:.0f} % of how points "
        "change from photo to photo"
    )


def evened(mesh: Mesh, edge_length: float) -> Mesh:
    """The mesh with triangles of one edge length, its attributes carried over."""
    now = mean_edge_length(mesh.vertices, mesh.faces)
    if edge_length / _EVEN_ENOUGH < now < edge_length * _EVEN_ENOUGH:
        return mesh
    return remade(mesh, *remesh(mesh.vertices, mesh.faces, edge_length))


def own_material(material: Material) -> Material:
    """The material of a mesh whose vertices carry colour, roughness and metallic."""
    return replace(
        material,
        base_color=(1.0, 1.0, 1.0),
        base_color_texture=None,
        orm_texture=None,
        normal_texture=None,
        occlusion_texture=None,
        emissive_texture=None,
    )


def _welded(mesh: Mesh) -> Mesh:
    """The mesh with one vertex per position (UV seams would tear) and its base colour per vertex."""
    first = weld(mesh.vertices)
    faces = first[mesh.faces]
    solid = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    faces = faces[solid]
    if len(faces) == 0:
        raise InputError(f"{mesh.name}: all triangles are degenerate, expected at least one with area")
    used = np.unique(faces)
    renumber = np.zeros(len(mesh.vertices), np.int32)
    renumber[used] = np.arange(len(used), dtype=np.int32)
    colors = _vertex_albedo(mesh)

    def pick(values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None else np.ascontiguousarray(values[used])

    return Mesh(
        vertices=np.ascontiguousarray(mesh.vertices[used], np.float32),
        faces=np.ascontiguousarray(renumber[faces], np.int32),
        colors=pick(colors),
        roughness=pick(mesh.roughness),
        metallic=pick(mesh.metallic),
        material=mesh.material,
        name=mesh.name,
    )


def _vertex_albedo(mesh: Mesh) -> np.ndarray | None:
    """[V, 3] linear base colour at the vertices, or None if the mesh says nothing about it."""
    texture = mesh.material.base_color_texture
    textured = texture is not None and mesh.uvs is not None
    if mesh.colors is None and not textured:
        return None
    color = np.ones((len(mesh.vertices), 3), np.float32) if mesh.colors is None else mesh.colors
    color = color * np.asarray(mesh.material.base_color, np.float32)
    if texture is not None and mesh.uvs is not None:
        height, width = texture.shape[:2]
        place = mesh.uvs - np.floor(mesh.uvs)  # repeats outside 0..1, as glTF's default sampler
        column = np.minimum((place[:, 0] * width).astype(int), width - 1)
        row = np.minimum((place[:, 1] * height).astype(int), height - 1)
        color = color * texture[row, column, :3]
    return np.asarray(color, np.float32)
