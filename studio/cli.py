"""The command line: the window, or the same work without one.

    python main.py [FILE...]           the window; without a display, the built-in demo
    python main.py fit SOURCE --out DIR
    python main.py check SOURCE
    python main.py render SCENE --out FILE
    python main.py turntable SCENE --out FILE
    python main.py compare SCENE --a EFFECTS --b EFFECTS
    python main.py export SCENE --out FILE
    python main.py gradients SCENE --parameter NAME --out FILE
    python main.py experiment cube|earth|envphong|pose|depth
    python main.py effects | bench | doctor

Exit status: 0 done, 1 failed while working, 2 bad input. An error is one line.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from studio import __version__
from studio.check import check
from studio.compare import compare
from studio.core.errors import Cancelled, InputError, StudioError, describe
from studio.core.optim.messages import GROUPS
from studio.export import export
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
from studio.gradients import gradients
from studio.options import (
    DEVICES,
    FIRST_PROCESS,
    MASKS,
    GeneratedOptions,
    OpenByDefault,
    Progress,
    check_writable,
    mesh_formats,
)
from studio.render import render
from studio.turntable import turntable

FILM_SIZE = (320, 320)
"""Pixels of the film of a fit."""

if TYPE_CHECKING:
    from studio.core.io.masking import MaskSource
    from studio.core.optim.fitrun import Keep
    from studio.core.optim.settings import FitSettings
    from studio.core.optim.start import FitProblem
    from studio.core.params import Param
    from studio.core.scene import Mesh, PhotoSet


def _fit_flags() -> dict[str, Param]:
    from studio.core.optim.settings import PARAMS

    return {param.name.replace("_", "-"): param for param in PARAMS}


@click.group(cls=OpenByDefault, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="studio")
def commands() -> None:
    """Interactive inverse rendering: photos in, mesh, materials and light out.

    Without a command, opens the window on FILES (a mesh, a folder of photos, a
    transforms.json); without a display, fits the built-in scene and leaves the results in out/.
    """


@commands.command("open", hidden=True)
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--device", type=DEVICES, default="auto")
@click.option("--out", type=click.Path(path_type=Path), default=Path("out"), help="Without a display.")
def open_window(files: tuple[Path, ...], device: str, out: Path) -> None:
    """The window, or the built-in demo where there is no display."""
    from studio.doctor import has_display

    for file in files:
        if not file.exists():
            raise InputError(f"{file}: no such file or folder")
    if has_display():
        from studio.ui.app import run_app

        run_app(list(files), device)
        return
    click.echo("No display found: fitting the built-in scene without a window (see: main.py --help).")
    if files:
        click.echo(f"Not opened: {', '.join(map(str, files))}. Use `fit` or `render` for files of your own.")
    from studio.core.demo import demo_photos, demo_settings

    _fit(demo_photos(), demo_settings(), out, None, device)


@commands.command("fit", cls=GeneratedOptions, flags=_fit_flags)
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
    of the mesh volume.safetensors with --representation volume, points.ply with --representation points.
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
                "--resume": resume,
                "--save-project": project_out,
                "--truth": truth,
                "--film": film,
                "--formats": None if formats == ("glb",) else formats,
            },
        )
    check_writable(out)
    if project is None:
        photos = read_capture(source, settings, masks, out)
    if radiance:
        _fit_radiance(photos, settings, out, device)
        return
    problem = None if project is None else problem_of(project, photos, settings, mesh)
    keep = None if project_out is None else saver(project_out, project, photos, settings, out)
    _fit(
        photos,
        settings,
        out,
        mesh,
        device,
        checkpoint,
        checkpoint_seconds,
        problem,
        keep,
        known,
        formats,
        film,
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


def _fit_radiance(photos: PhotoSet, settings: FitSettings, out: Path, device: str) -> None:
    """Run the fit of a volume or of points with a progress bar and print what came out."""
    from studio.core.optim.radiance_run import KINDS, run_radiance

    with Progress() as progress:
        metrics = run_radiance(photos, settings, out, device, progress.report)
    for line in summary(metrics):
        click.echo(line)
    file = KINDS[settings["representation"]].file
    click.echo(f"results in {out}/: {file}, report.html, metrics.json, turntable.gif, renders/, log.jsonl")


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


def _fit(
    photos: PhotoSet,
    settings: FitSettings,
    out: Path,
    mesh: Mesh | None,
    device: str,
    resume: Path | None = None,
    checkpoint_seconds: float = 30.0,
    problem: FitProblem | None = None,
    keep: Keep | None = None,
    known: Mesh | None = None,
    formats: tuple[str, ...] = ("glb",),
    film: Path | None = None,
) -> None:
    """Run a fit with a progress bar and print what came out."""
    from studio.core.optim.convergence import Recorder, save_convergence
    from studio.core.optim.fitrun import run_fit
    from studio.core.optim.start import FitProblem
    from studio.core.optim.turntable import film_frames

    recorder = Recorder()
    if film is not None:
        film_frames(film, 5.0, FILM_SIZE)
    with Progress() as progress:
        metrics = run_fit(
            photos,
            settings,
            out,
            mesh=mesh,
            device=device,
            progress=progress.report,
            resume=resume,
            checkpoint_seconds=checkpoint_seconds,
            problem=problem,
            keep=keep,
            known=known,
            formats=formats,
            watch=None if film is None else recorder.take,
        )
        if film is not None and FIRST_PROCESS:
            scene_of = (problem or FitProblem(photos, mesh)).scene_of
            effects: dict[str, Any] | None = {} if settings["shading"] == "unlit" else None
            save_convergence(
                recorder.snapshots, scene_of, film, 5.0, FILM_SIZE, effects, progress=progress.report
            )
    if not FIRST_PROCESS:
        return
    for note in metrics["notes"]:
        click.echo(f"note: {note}")
    for line in summary(metrics):
        click.echo(line)
    meshes = ", ".join(f"mesh.{kind}" for kind in formats)
    click.echo(f"results in {out}/: {meshes}, report.html, metrics.json, turntable.gif, renders/, log.jsonl")


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
            )
    if (known := metrics.get("known")) is not None:
        lines.append(
            f"distance to the true mesh: {known['mean_percent']:.3f} % of its box's diagonal, "
            f"99 % below {known['p99_percent']:.2f} %, normals {known['normals_degrees']:.1f} degrees"
        )
    return lines


@commands.command("effects")
@click.argument("name", required=False)
@click.option("--docs", is_flag=True, help="Rewrite docs/effects from the effects' descriptions.")
@click.option("--sheet", type=click.Path(path_type=Path), help="Write all effects, off and on, to a .png.")
def list_effects(name: str | None, docs: bool, sheet: Path | None) -> None:
    """List the effects with their parameters, or say everything about the one called NAME."""
    from studio.core.effects import get, registry
    from studio.pages import page, write_pages

    if sheet is not None:
        _contact_sheet(sheet)
        return
    if docs:
        changed = write_pages()
        click.echo("\n".join(map(str, changed)) or "docs/effects is up to date")
    elif name is not None:
        click.echo(page(get(name)), nl=False)
    else:
        for effect in registry().values():
            click.echo(f"{effect.name} ({effect.stage}): {effect.help}")
            for param in effect.params:
                click.echo(f"    --{effect.name}-{param.name}".replace("_", "-") + f"  {param.help}")


def _contact_sheet(out: Path) -> None:
    from studio.contact import contact_sheet
    from studio.core.color import srgb_to_linear
    from studio.core.io.images import save_png

    if out.suffix.lower() != ".png":
        raise InputError(f"--sheet {out}: expected a file ending in .png")
    page = contact_sheet()
    save_png(out, srgb_to_linear(page))
    click.echo(f"{out}: {page.shape[1]}x{page.shape[0]}")


@commands.command("bench", context_settings={"ignore_unknown_options": True})
@click.argument("case", default="primitives")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def bench(case: str, arguments: tuple[str, ...]) -> None:
    """Run a benchmark: primitives (beside DEODR), gradients, viewport, window, …

    ARGUMENTS go to the benchmark; results of the timed ones go to benchmarks/history.jsonl.
    """
    import importlib

    root = Path(__file__).resolve().parent.parent
    cases = sorted(p.stem for p in (root / "benchmarks").glob("*.py") if p.stem[0] != "_")
    if case not in cases:
        raise InputError(f"bench: no case {case!r}; there are {', '.join(cases)}")
    sys.path.insert(0, str(root))
    sys.argv = [case, *arguments]
    importlib.import_module(f"benchmarks.{case}").main()


class Experiments(click.Group):
    """One command per experiment, with a flag per parameter; made on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        from studio.experiments import NAMES

        return list(NAMES)

    def get_command(self, ctx: click.Context, name: str) -> click.Command:
        from studio.experiments.experiment import load

        found = load(name)
        return GeneratedOptions(
            name,
            help=found.help,
            flags=lambda: {param.name.replace("_", "-"): param for param in found.params},
            params=[
                click.Option(["--out"], type=click.Path(path_type=Path), help="Folder [out/NAME]."),
                click.Option(["--seed"], type=click.IntRange(0), default=0, show_default=True),
                click.Option(["--device"], type=DEVICES, default="auto", show_default=True),
            ],
            callback=lambda **given: _experiment(name, **given),
        )


@commands.group("experiment", cls=Experiments)
def experiment() -> None:
    """Repeat an experiment of Laine et al. 2020 and print its figures beside the paper's."""


def _experiment(name: str, out: Path | None, seed: int, device: str, generated: dict[str, Any]) -> None:
    from studio.experiments.experiment import run_experiment, summary_lines

    folder = out or Path("out") / name
    check_writable(folder)
    values = {stem.replace("-", "_"): value for stem, value in generated.items()}
    with Progress() as progress:
        outcome = run_experiment(name, folder, values, seed, device, progress.report)
    for line in summary_lines(outcome):
        click.echo(line)
    click.echo(f"results in {folder}/: {name}.png, {name}_curve.png, {name}.json")


commands.add_command(render)
commands.add_command(turntable)
commands.add_command(compare)
commands.add_command(gradients)
commands.add_command(check)
commands.add_command(export)


@commands.command("doctor")
def doctor() -> None:
    """Say what this machine has, and how to mend what is missing."""
    from studio.doctor import examine

    colors = {"ok": "green", "note": "yellow", "bad": "red"}
    findings = examine()
    for found in findings:
        click.echo(click.style(f"{found.mark:>5}", fg=colors[found.mark]) + f"  {found.name}: {found.text}")
        if found.fix:
            click.echo(f"       run: {found.fix}")
    if any(found.mark == "bad" for found in findings):
        sys.exit(1)


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit; every foreseeable error is one line on stderr."""
    sys.exit(_run(args))


def _run(args: Sequence[str] | None) -> int:
    try:
        commands.main(args, prog_name="main.py", standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        return _fail(error.format_message(), 2)
    except (click.Abort, KeyboardInterrupt, Cancelled):
        return _fail("interrupted", 1)
    except StudioError as error:
        return _fail(str(error), error.exit_status)
    except MemoryError:
        return _fail("out of memory: use a lower --resolution or a coarser mesh", 1)
    except Exception as error:
        if os.environ.get("STUDIO_DEBUG"):
            raise
        # Nothing foreseen: name it, and say how to see the rest.
        return _fail(f"{type(error).__name__}: {describe(error)} (set STUDIO_DEBUG=1 for the traceback)", 1)
    return 0


def _fail(message: str, status: int) -> int:
    click.echo("error: " + " ".join(message.split()), err=True)
    return status
