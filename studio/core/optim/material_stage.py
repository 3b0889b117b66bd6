"""The last part of a fit: the mesh is finished, and textures take the place of vertex attributes."""

from __future__ import annotations

import math
import time

import numpy as np

from studio.core.optim.materials import SurfaceMaterial
from studio.core.optim.remesh import mean_edge_length
from studio.core.optim.schedule import Schedule
from studio.core.optim.settings import FitSettings
from studio.core.optim.start import evened
from studio.core.optim.variables import Variables
from studio.core.scene import Mesh

_LIVE_SECONDS = 1.0
"""While a run is watched its textures are copied and uploaded this often: 1024 x 1024 take 0.1 s."""


def schedule_of(settings: FitSettings) -> Schedule:
    """The stages that the settings call for."""
    s = settings
    textures = s["texture_steps"] if s["material"] == "textures" else 0
    return Schedule(s["steps"], s["stages"], s["resolution"], s["edge_coarse"], s["edge_fine"], textures)


def finished(mesh: Mesh, most_faces: int) -> Mesh:
    """The mesh with at most about `most_faces` triangles of one edge length."""
    if len(mesh.faces) <= most_faces:
        return mesh
    longer = math.sqrt(len(mesh.faces) / most_faces)
    return evened(mesh, mean_edge_length(mesh.vertices, mesh.faces) * longer)


def textured(variables: Variables, settings: FitSettings) -> Variables:
    """The variables with textures over a new atlas, which show what the vertices showed."""
    return variables.textured(int(settings["texture_size"]))


def pace(settings: FitSettings, group: str, stage: int, step: int) -> float:
    """What a group's rate is multiplied with at a step: decay within the part of the run."""
    schedule = schedule_of(settings)
    factor = float(settings["decay"]) ** schedule.progress(stage, step)
    if stage == schedule.stages and group == "vertices":
        factor *= float(settings["texture_vertices"])
    return factor


class Pictures:
    """Textures for snapshots, made anew at most once a second while a run is watched."""

    def __init__(self) -> None:
        self._material: SurfaceMaterial | None = None
        self._made: dict[str, np.ndarray] = {}
        self._time = -math.inf

    def take(self, material: SurfaceMaterial, unlit: bool, live: bool) -> dict[str, np.ndarray]:
        """Textures of the material; live ones may be a second old. Nobody writes to them again."""
        now = time.monotonic()
        if not live or material is not self._material or now - self._time > _LIVE_SECONDS:
            self._material, self._time = material, now
            self._made = material.pictures(unlit)
        return self._made
