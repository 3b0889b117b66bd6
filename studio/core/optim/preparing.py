"""From photos to the variables of step 0."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from studio.core.optim import bake
from studio.core.optim.distance import is_closed
from studio.core.optim.field import FieldVariables
from studio.core.optim.hull import Cancel, Progress
from studio.core.optim.material_stage import has_sky, schedule_of
from studio.core.optim.remesh import mean_edge_length, mean_thickness
from studio.core.optim.settings import FitSettings
from studio.core.optim.start import (
    FitProblem,
    decide_light,
    evened,
    own_material,
    start_lighting,
    start_mesh,
)
from studio.core.optim.start_choice import Attempt, choose_start
from studio.core.optim.start_volume import start_from_sdf, start_from_volume
from studio.core.optim.targets import Targets
from studio.core.optim.variables import Variables, box_of
from studio.core.scene import Mesh, Photo, PhotoSet

_BAKE_RESOLUTION = 160
"""Photos this large say the first colours and where the light is fixed; more only costs time."""

_HUES = 0.08
"""Spread of the photos' hues from which on an object is full of marks: they say where fine triangles
belong, and one paint for all would mislead the light. Stone, plaster: .03 to .05; coloured bricks: .17."""

_PAINTED = 1 / 5
"""Share of their steps that textures take which begin as the vertices of such an object were."""

_WIDER, _WIDEST = 2, 8192
"""Times the side of their textures, as such a surface has thousands of charts; others only fit the noise of
photos with more texels. And the largest side."""

_MORE = 1.5
"""Times their triangles."""

_DECIDED = ("start", "warm_up", "texture_steps", "texture_size", "texture_faces")

_PLAIN_POINTS = 96
"""Grid of the volume that a plain object starts from: finer ones are noise, as are their triangles."""

_PAINTS = 10_000
"""Pixels of a photo that say its hues."""

_THICK = 0.25
"""Mean thickness, of the box, from which on large_steps holds as set; a head has 0.22."""


@dataclass(eq=False)
class Prepared:
    """What a fit begins with.

    Attributes:
        variables: of step 0.
        mesh: that they began as; its name and what never moves stay with the result.
        thickness: mean one, of the box.
        fixed_to: what the light is fixed to, world or camera.
        decided: settings as they are now: what it began from, and how long its textures take.
        notes: decisions worth telling the user.
    """

    variables: Variables
    mesh: Mesh
    thickness: float
    fixed_to: str
    decided: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def first_variables(
    problem: FitProblem,
    training: list[Photo],
    settings: FitSettings,
    device: torch.device,
    report: Progress,
    attempt: Attempt,
    cancel: Cancel | None = None,
) -> Prepared:
    """Carve or take the start shape, read its colours off the photos, build the first stage.

    Args:
        training: the photos that are not held out.
        report: called with (0..1, note).
        attempt: makes short fits, where the start is to be chosen.
        cancel: asked while carving.
    Raises:
        InputError: the photos or the start mesh do not allow it.
        Cancelled: `cancel` said so.
    """
    schedule = schedule_of(settings)
    photos = PhotoSet(
        training,
        problem.photos.input_to_world,
        object_center=problem.photos.object_center,
        object_radius=problem.photos.object_radius,
    )

    def begin(share: float, note: str) -> None:
        report(0.5 * share, note)

    hues = bake.spread_of_hues(_paints(training))
    plain = hues <= _HUES
    settings = settings.copy()
    if plain:
        settings.set("start_points", min(_PLAIN_POINTS, int(settings["start_points"])))
    mesh, kind, notes = _start_shape(problem, photos, settings, device, begin, attempt, cancel)
    settings.set("start", kind)
    report(0.5, "Evening out the start mesh")
    center, scale = box_of(mesh.vertices)
    if can_remesh(mesh, settings):
        length = edge_length(mesh, settings, 0, scale)
        if settings["start"] == "volume" and plain:
            length = max(length, float(settings["edge_fine"]) * scale)
        mesh = evened(mesh, length)
    report(0.6, "Loading kernels and photos")
    small = Targets.build(training, min(_BAKE_RESOLUTION, settings["resolution"]), device)
    report(0.75, "Reading colours off the photos")
    samples = bake.sample_photos(mesh, small)
    if mesh.colors is None:
        mesh.colors = bake.mean_color(samples, mesh.faces)
    fixed_to, note = decide_light(problem, training, settings, samples, small)
    notes += [note] if note else []
    report(0.9, "Building the preconditioner")
    mesh.material = own_material(mesh.material if settings["start"] == "mesh" else problem.material)
    thickness = mean_thickness(mesh.vertices, mesh.faces) / scale
    variables = Variables.create(
        mesh, center, scale, start_lighting(problem), fixed_to, problem.background, len(training),
        smoothness(settings, thickness), device,
    )  # fmt: skip
    if has_sky(settings) and schedule.texture_steps == 0:
        variables = variables.under_sky()
    if schedule.field_steps > 0 and is_closed(mesh):
        variables = FieldVariables.over(variables, mesh, settings["field_resolution"])
    elif schedule.field_steps > 0:
        notes.append("no field: the start mesh is open, so that it has no inside")
    if settings["start"] == "volume" and not plain and schedule.texture_steps > 0:
        settings.set("warm_up", 0)
        settings.set("texture_steps", math.ceil(_PAINTED * schedule.texture_steps))
        settings.set("texture_size", min(_WIDER * int(settings["texture_size"]), _WIDEST))
        settings.set("texture_faces", int(_MORE * int(settings["texture_faces"])))
        notes.append(
            f"textures begin painted, and take {settings['texture_steps']} steps instead of "
            f"{schedule.texture_steps}: the paint has many hues, {hues:.2f} apart"
        )
    decided = {name: settings[name] for name in _DECIDED}
    return Prepared(variables, mesh, thickness, fixed_to, decided, notes)


def settle(settings: FitSettings, decided: dict[str, Any]) -> None:
    """Make settings of what was decided; a run ends so much earlier as its textures take less time."""
    steps = int(settings["steps"]) + int(decided["texture_steps"]) - int(settings["texture_steps"])
    for name in _DECIDED:
        settings.set(name, decided[name])
    settings.set("steps", steps)


def _start_shape(
    problem: FitProblem,
    photos: PhotoSet,
    settings: FitSettings,
    device: torch.device,
    report: Progress,
    attempt: Attempt,
    cancel: Cancel | None,
) -> tuple[Mesh, str, list[str]]:
    """(the shape of step 0, what it is, notes), chosen where `start` is auto."""
    kind = str(settings["start"])
    if kind == "auto":
        chosen = choose_start(problem, photos, settings, device, report, attempt, cancel)
        return chosen.mesh, chosen.kind, chosen.notes
    if kind in ("volume", "sdf"):
        start = start_from_volume if kind == "volume" else start_from_sdf
        mesh, note = start(photos, settings, device, report, cancel)
        return mesh, kind, [note]
    return start_mesh(problem, photos, settings, report, cancel), kind, []


def _paints(photos: list[Photo]) -> np.ndarray:
    """[P, 3] linear colours that photos show of their objects."""
    shown = []
    for photo in photos:
        step = max(1, math.isqrt(photo.image.shape[0] * photo.image.shape[1] // _PAINTS))
        image = photo.image[::step, ::step]
        inside = np.ones(image.shape[:2], bool) if photo.mask is None else photo.mask[::step, ::step] > 0.9
        shown.append(image[inside])
    return np.concatenate(shown)


def can_remesh(mesh: Mesh, settings: FitSettings) -> bool:
    """Whether the triangles may be made anew."""
    if not settings["remesh"]:
        return False
    if settings["start"] == "mesh" and not settings.enabled("vertices"):
        return False
    return bool((np.diff(mesh.faces, axis=1) != 0).all())


def edge_length(mesh: Mesh, settings: FitSettings, stage: int, scale: float) -> float:
    """Of a stage's triangles, world units, for an object whose box has the longest side `scale`.

    A volume's surface has its details from the beginning, so its triangles never grow.
    """
    wished = schedule_of(settings).edge_length(stage) * scale
    if settings["start"] in ("volume", "sdf"):
        return min(wished, mean_edge_length(mesh.vertices, mesh.faces))
    return wished


def smoothness(settings: FitSettings, thickness: float) -> float:
    """Lambda of large steps for an object of some mean thickness, of its box.

    It smooths over sqrt(lambda) edges; what is thin must not be smoothed over its own thickness,
    so the reach shrinks with it.
    """
    wished = float(settings["large_steps"])
    return wished * min(1.0, (thickness / _THICK) ** 2) if settings["thin_parts"] else wished
