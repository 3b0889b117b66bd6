"""What `fit` is given, a capture or a project, settings and a start mesh; and where its result goes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from studio.core.errors import InputError
from studio.options import FIRST_PROCESS, Progress

if TYPE_CHECKING:
    from studio.core.io.masking import MaskSource
    from studio.core.optim.fitrun import Keep
    from studio.core.optim.settings import FitSettings
    from studio.core.optim.start import FitProblem
    from studio.core.project import Project
    from studio.core.project_photos import PhotoReference
    from studio.core.scene import Mesh, PhotoSet


def is_project(path: Path) -> bool:
    """Whether a path names a project file."""
    return path.suffix.lower() == ".studio"


def find_photos(project: Project, path: Path, moved: Path | None, masks: str | None) -> PhotoReference:
    """The photos of the project in `path`.

    Args:
        moved: where they are now, None for where the project says.
        masks: instead of those they were read with.
    Raises:
        InputError: it has none, or they are not there.
    """
    reference = project.photos
    if reference is None:
        raise InputError(f"{path}: the project has no photos, expected one with photos to fit to")
    if moved is not None:
        if not moved.exists():
            raise InputError(f"--photos {moved}: no such file or folder, expected {reference.described}")
        reference = reference.moved(moved)
    elif reference.missing:
        raise InputError(
            f"{path}: its photos are not in {reference.source}; expected {reference.described} there, "
            "or --photos with the place where they are now"
        )
    if masks is not None:
        reference = replace(reference, reading=replace(reference.reading, masks=masks))
    return reference


def problem_of(project: Project, photos: PhotoSet, settings: FitSettings, mesh: Mesh | None) -> FitProblem:
    """What a fit of the project is given, as from the window; `mesh` instead of its own."""
    from studio.core.optim.start import FitProblem

    problem = FitProblem.of_scene(photos, project.shown_scene(), settings, project.effects.values)
    if mesh is not None:
        problem.mesh = mesh
    if settings["start"] == "mesh" and problem.mesh is None:
        raise InputError("--start mesh: the project has no mesh; expected one with --mesh FILE")
    return problem


def saver(path: Path, project: Project | None, photos: PhotoSet, settings: FitSettings, out: Path) -> Keep:
    """What writes the result of a fit into the project file `path`.

    Args:
        project: the one that was fitted, None for a new one around `photos`.
        out: the fit's folder, with its checkpoints.
    Raises:
        InputError: a name that is not a project's.
    """
    from studio.core.optim.checkpoint import checkpoints_in
    from studio.core.optim.fitrun import CHECKPOINTS
    from studio.core.optim.messages import HistoryRow, Snapshot
    from studio.core.optim.start import scene_after
    from studio.core.project import Effects, Project, RunRecord, save_project
    from studio.core.project_photos import PhotoReference
    from studio.core.scene import Scene

    if not is_project(path):
        raise InputError(f"--save-project {path}: expected a file ending in .studio")
    name = Path(photos.source).stem if project is None else project.name
    before = Scene(name=name) if project is None else project.shown_scene()
    effects = Effects() if project is None else project.effects

    def keep(snapshot: Snapshot, rows: list[HistoryRow]) -> None:
        scene = scene_after(before, snapshot, settings, name)
        on = dict(effects.on)
        if scene.lighting.environment is not None:
            on["environment"] = True  # the map lights through its effect
        left = checkpoints_in(out / CHECKPOINTS)
        newest = str(left[-1].resolve()) if left else ""
        done = snapshot.step >= settings["steps"]
        run = RunRecord(
            "done" if done else "stopped", snapshot.step, settings["steps"], snapshot, rows, newest
        )
        made = project or Project(name, before)
        made = replace(made, scene=scene, photos=PhotoReference.of(photos), settings=settings, run=run)
        save_project(replace(made, effects=Effects(effects.values, on)), path)

    return keep


def load_for_fit(path: Path, moved: Path | None, masks: str | None) -> tuple[Project, PhotoSet]:
    """A project and its photos, with a progress bar and what there is to say of both."""
    from studio.core.project import load_project

    project = load_project(path)
    reference = find_photos(project, path, moved, masks)
    with Progress() as progress:
        photos = reference.read(progress.report)
    for note in [*project.notes, *reference.changes(photos)] if FIRST_PROCESS else ():
        click.echo(f"note: {note}")
    return project, photos


def settings_for(
    checkpoint: Path | None,
    own: FitSettings | None,
    preset: str,
    generated: dict[str, Any],
    optimize: str | None,
) -> FitSettings:
    """Those of the checkpoint, the project or the preset, with the flags' on top."""
    from studio.core.optim.resume import saved_settings
    from studio.core.optim.settings import load_preset

    if checkpoint is not None:
        settings = saved_settings(checkpoint)
    else:
        settings = own if own is not None else load_preset(preset)
    for stem, value in generated.items():
        settings.set(stem.replace("-", "_"), value)
    kind = settings["representation"]
    if kind != "mesh" and "steps" in generated and f"{kind}-steps" not in generated:
        settings.set(f"{kind}_steps", generated["steps"])
    if optimize is not None:
        settings.optimize(optimize)
    return settings


def start_mesh(mesh_file: Path | None, settings: FitSettings, there: bool) -> Mesh | None:
    """The mesh of --mesh, to start from; `there`: without it there is another one."""
    if mesh_file is not None:
        settings.set("start", "mesh")
        return read_mesh(mesh_file)
    if settings["start"] == "mesh" and not there:
        raise InputError("--start mesh: expected the mesh with --mesh FILE")
    return None


def read_mesh(file: Path) -> Mesh:
    """All parts of a file as one mesh."""
    from studio.core.io.meshes import load_scene
    from studio.core.scene.mesh import merge

    return merge(load_scene(file).meshes)


def read_capture(source: Path, settings: FitSettings, masks: MaskSource, out: Path) -> PhotoSet:
    """The photos of a capture, and what there is to say of them."""
    from studio.core.io.photos import load_photos

    with Progress() as progress:
        photos = load_photos(
            source,
            max_size=settings["resolution"],
            masks=masks,
            progress=progress.report,
            cameras=out / "colmap",
        )
    for note in photos.notes if FIRST_PROCESS else ():
        click.echo(f"note: {note}")
    for finding in photos.findings if FIRST_PROCESS else ():
        click.echo(f"check: {finding}")
    return photos
