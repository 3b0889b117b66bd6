"""The last part of a fit: the mesh is finished, and textures take the place of vertex attributes."""

from __future__ import annotations

import math
import time

import numpy as np

from studio.core.optim.remesh import mean_edge_length
from studio.core.optim.schedule import Schedule
from studio.core.optim.settings import FitSettings
from studio.core.optim.start import evened
from studio.core.optim.variables import Variables
from studio.core.scene import Lighting, Mesh

_LIVE_SECONDS = 1.0
"""While a run is watched its textures are copied and uploaded this often: 1024 x 1024 take 0.1 s."""


def schedule_of(settings: FitSettings) -> Schedule:
    """The stages that the settings call for."""
    s = settings
    textures = s["texture_steps"] if s["material"] == "textures" else 0
    return Schedule(
        s["steps"], s["stages"], s["resolution"], s["edge_coarse"], s["edge_fine"], textures, s["field_steps"]
    )


def finished(mesh: Mesh, most_faces: int) -> Mesh:
    """The mesh with at most about `most_faces` triangles of one edge length."""
    if len(mesh.faces) <= most_faces:
        return mesh
    longer = math.sqrt(len(mesh.faces) / most_faces)
    return evened(mesh, mean_edge_length(mesh.vertices, mesh.faces) * longer)


def textured(variables: Variables, settings: FitSettings) -> Variables:
    """The variables with textures over a new atlas, which show what the vertices showed."""
    out = variables.textured(int(settings["texture_size"]))
    return out.under_sky() if has_sky(settings) else out


def has_sky(settings: FitSettings) -> bool:
    """Whether the settings call for an environment map."""
    return settings["light_model"] == "environment" and settings["shading"] != "unlit"


def pace(settings: FitSettings, group: str, stage: int, step: int) -> float:
    """What a group's rate is multiplied with at a step: decay within the part of the run."""
    schedule = schedule_of(settings)
    factor = float(settings["decay"]) ** schedule.progress(stage, step)
    if group == "pose" and step < settings["pose_from"]:
        return 0.0
    if stage == schedule.stages and group == "vertices":
        factor *= float(settings["texture_vertices"])
    return factor


class Pictures:
    """Textures and sky for snapshots, made anew at most once a second while a run is watched."""

    def __init__(self) -> None:
        self._of: Variables | None = None
        self._made: dict[str, np.ndarray] = {}
        self._lighting = Lighting()
        self._time = -math.inf

    def take(self, variables: Variables, unlit: bool, live: bool) -> tuple[dict[str, np.ndarray], Lighting]:
        """(textures, light); live ones may be a second old. Nobody writes to them again."""
        now = time.monotonic()
        old = variables is not self._of or now - self._time > _LIVE_SECONDS
        if not live or old:
            self._of, self._time = variables, now
            self._made = variables.material.pictures(unlit)
        if not live or old or variables.sky is None:
            self._lighting = variables.scene_lighting()
        return self._made, self._lighting
