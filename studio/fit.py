"""The command `fit`: photos to a mesh with materials and light, to a volume, distances, or points."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from studio.core.errors import InputError
from studio.core.optim.messages import GROUPS
from studio.fit_inputs import (
    is_project,
    load_for_fit,
    problem_of,
    read_capture,
    read_mesh,
    saver,
    settings_for,
    start_mesh,
)
from studio.options import (
    DEVICES,
    FIRST_PROCESS,
    MASKS,
    GeneratedOptions,
    Progress,
    check_writable,
    mesh_formats,
)

if TYPE_CHECKING:
    from studio.core.io.masking import MaskSource
    from studio.core.optim.messages import Snapshot
    from studio.core.optim.settings import FitSettings
    from studio.core.params import Param
    from studio.core.scene import PhotoSet, Scene

FILM_SIZE = (320, 320)
FILM_SECONDS = 5.0
"""Pixels and length of the film of a fit."""

LEAVES = "report.html, metrics.json, turntable.gif, renders/, log.jsonl"
"""What every fit leaves beside its result."""


def _fit_flags() -> dict[str, Param]:
    from studio.core.optim.settings import PARAMS

    return {param.name.replace("_", "-"): param for param in PARAMS}


@click.command("fit", cls=GeneratedOptions, flags=_fit_flags)
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the results.")
@click.option("--mesh", "mesh_file", type=click.Path(path_type=Path), help="Start from this mesh.")
@click.option(
    "--truth",
    type=click.Path(path_type=Path),
    help="The true mesh, if it is known, to measure the result by.",
)
@click.option("--optimize", metavar="A,B,…", help="Only these move: " + ", ".join(GROUPS) + ".")
@click.option(
    "--preset", default="standard", show_default=True, help="quick, standard, fine, or a .toml file."
)
@click.option("--masks", type=MASKS, default="auto", show_default=True, help="Where masks come from.")
@click.option("--device", type=DEVICES, default="auto", show_default=True)
@click.option(
    "--resume",
    is_flag=False,
    flag_value="newest",
    metavar="[FILE]",
    help="Go on from the newest checkpoint in --out, or from FILE; --steps extends a finished run.",
)
@click.option(
    "--checkpoint-seconds",
    type=click.FloatRange(0),
    default=30.0,
    show_default=True,
    help="Time between checkpoints.",
)
@click.option(
    "--formats",
    default="glb",
    show_default=True,
    callback=mesh_formats,
    help="Kinds of mesh files, of glb, obj and ply, as A,B,…",
)
@click.option(
    "--photos",
    "moved",
    type=click.Path(path_type=Path),
    help="Where the photos of a project are now, if they moved.",
)
@click.option(
    "--save-project",
    "project_out",
    type=click.Path(path_type=Path),
    help="Keep the result in a .studio file.",
)
@click.option("--film", type=click.Path(path_type=Path), help="Film the run: a .gif or .mp4 file.")
def fit(
    source: Path,
    out: Path,
    mesh_file: Path | None,
    truth: Path | None,
    optimize: str | None,
    preset: str,
    masks: MaskSource,
    device: str,
    resume: str | None,
    checkpoint_seconds: float,
    formats: tuple[str, ...],
    moved: Path | None,
    project_out: Path | None,
    film: Path | None,
    generated: dict[str, Any],
) -> None:
    """Fit shape, materials and light to the photos of SOURCE.

    SOURCE is a folder of photos with cameras (transforms.json, a COLMAP model, poses_bounds.npy,
    *_par.txt), one of these files, or a folder of photos alone: then COLMAP finds the cameras and
    --out keeps them in colmap/. Or it is a project, whose settings then hold unless others are
    given. Leaves mesh.glb (others with --formats), metrics.json, renders/ and log.jsonl in --out; instead
    of the mesh volume.safetensors with --representation volume or network, points.ply with points, mesh.glb
    and volume.safetensors with sdf.
    """
    checkpoint = None if resume is None else _checkpoint(resume, out)
    source_of = click.get_current_context().get_parameter_source
    given = {
        name for name in ("preset", "masks") if source_of(name) is click.core.ParameterSource.COMMANDLINE
    }
    project = None
    if is_project(source):
        project, photos = load_for_fit(source, moved, masks if "masks" in given else None)
    elif moved is not None:
        raise InputError(f"--photos {moved}: only a project has photos to look for elsewhere")
    own = project.settings.copy() if project is not None and "preset" not in given else None
    settings = settings_for(checkpoint, own, preset, generated, optimize)
    mesh = start_mesh(mesh_file, settings, checkpoint is not None or project is not None)
    known = None if truth is None else read_mesh(truth)
    radiance = settings["representation"] != "mesh"
    if radiance:
        _check_radiance(
            settings["representation"],
            {
                "--mesh": mesh_file,
                "--save-project": project_out,
                "--truth": truth,
                "--formats": None if formats == ("glb",) else formats,
            },
        )
    check_writable(out)
    if project is None:
        photos = read_capture(source, settings, masks, out)
    if radiance:
        _fit_radiance(photos, settings, out, device, checkpoint, checkpoint_seconds, film)
        return
    problem = None if project is None else problem_of(project, photos, settings, mesh)
    keep = None if project_out is None else saver(project_out, project, photos, settings, out)
    run(
        photos,
        settings,
        out,
        formats,
        film,
        mesh=mesh,
        device=device,
        resume=checkpoint,
        checkpoint_seconds=checkpoint_seconds,
        problem=problem,
        keep=keep,
        known=known,
    )
    if project_out is not None and FIRST_PROCESS:
        click.echo(f"project in {project_out}")


def _check_radiance(kind: str, given: dict[str, Any]) -> None:
    """InputError for an option that only a mesh's fit has."""
    for option, value in given.items():
        if value is not None:
            raise InputError(f"{option}: only fits of a mesh have it, got --representation {kind}")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError(f"--representation {kind}: runs in one process, expected no torchrun")


def _fit_radiance(
    photos: PhotoSet,
    settings: FitSettings,
    out: Path,
    device: str,
    resume: Path | None,
    pause: float,
    film: Path | None,
) -> None:
    """Run the fit of a volume or of points with a progress bar and print what came out."""
    from studio.core.optim.radiance_kinds import KINDS
    from studio.core.optim.radiance_run import run_radiance
    from studio.core.optim.start import FitProblem

    watch, save = _filmed(film, settings)
    with Progress() as progress:
        metrics = run_radiance(photos, settings, out, device, progress.report, resume, pause, watch)
        save(FitProblem(photos).scene_of, progress.report)
    for note in metrics["notes"]:
        click.echo(f"note: {note}")
    for line in summary(metrics):
        click.echo(line)
    kind = KINDS[settings["representation"]]
    file = kind.file if kind.surface is None else f"mesh.glb, {kind.file}"
    click.echo(f"results in {out}/: {file}, {LEAVES}")


def _checkpoint(resume: str, out: Path) -> Path:
    """The checkpoint that --resume means."""
    from studio.core.optim.checkpoint import checkpoints_in
    from studio.core.optim.fitrun import CHECKPOINTS

    if resume != "newest":
        return Path(resume)
    found = checkpoints_in(out / CHECKPOINTS)
    if not found:
        raise InputError(
            f"--resume: no checkpoints in {out / CHECKPOINTS}; expected a folder that `fit` left"
        )
    return found[-1]


def run(
    photos: PhotoSet,
    settings: FitSettings,
    out: Path,
    formats: tuple[str, ...] = ("glb",),
    film: Path | None = None,
    **others: Any,
) -> None:
    """Run a fit with a progress bar and print what came out; `others` go to `run_fit`."""
    from studio.core.optim.fitrun import run_fit
    from studio.core.optim.start import FitProblem

    watch, save = _filmed(film, settings)
    with Progress() as progress:
        metrics = run_fit(
            photos, settings, out, formats=formats, progress=progress.report, watch=watch, **others
        )
        save((others.get("problem") or FitProblem(photos, others.get("mesh"))).scene_of, progress.report)
    if not FIRST_PROCESS:
        return
    for note in metrics["notes"]:
        click.echo(f"note: {note}")
    for line in summary(metrics):
        click.echo(line)
    meshes = ", ".join(f"mesh.{kind}" for kind in formats)
    click.echo(f"results in {out}/: {meshes}, {LEAVES}")


def _filmed(
    film: Path | None, settings: FitSettings
) -> tuple[Callable[[Any], None] | None, Callable[..., None]]:
    """(what is to be called after every step, what writes the film: called with `scene_of` and progress).

    Raises:
        InputError: nothing can be written there.
    """
    from studio.core.optim.convergence import Recorder, save_convergence
    from studio.core.optim.turntable import film_frames

    if film is None:
        return None, lambda scene_of, progress: None
    film_frames(film, FILM_SECONDS, FILM_SIZE)
    recorder = Recorder()
    effects: dict[str, Any] | None = {} if settings["shading"] == "unlit" else None

    def save(scene_of: Callable[[Snapshot], Scene], progress: Callable[[float, str], None]) -> None:
        if FIRST_PROCESS:
            save_convergence(
                recorder.snapshots, scene_of, film, FILM_SECONDS, FILM_SIZE, effects, progress=progress
            )

    return recorder.take, save


def summary(metrics: dict[str, Any]) -> list[str]:
    """The lines a person wants to read of metrics.json."""
    lines = [
        f"{metrics['iterations']} steps in {metrics['seconds']:.1f} s "
        f"({metrics['iterations_per_second']:.1f} it/s), "
        f"peak memory {metrics['peak_memory_mb']:.0f} MB, {metrics['device']}"
    ]
    for which, name in (("train", "training photos"), ("holdout", "held-out photos")):
        if metrics.get(f"psnr_{which}") is not None:
            lines.append(
                f"{name}: PSNR {metrics[f'psnr_{which}']:.2f} dB, SSIM {metrics[f'ssim_{which}']:.3f}"
                + (f", mask IoU {metrics[f'iou_{which}']:.3f}" if metrics.get(f"iou_{which}") else "")
                + (
                    f", on white {metrics[white]:.2f} dB"
                    if metrics.get(white := f"psnr_white_{which}")
                    else ""
                )
            )
    if (known := metrics.get("known")) is not None:
        lines.append(
            f"distance to the true mesh: {known['mean_percent']:.3f} % of its box's diagonal, "
            f"99 % below {known['p99_percent']:.2f} %, normals {known['normals_degrees']:.1f} degrees"
        )
    return lines
