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
from typing import Any

import click

from studio import __version__
from studio.check import check
from studio.compare import compare
from studio.core.errors import Cancelled, InputError, StudioError, describe
from studio.export import export
from studio.fit import fit
from studio.fit import run as run_fit
from studio.gradients import gradients
from studio.options import (
    DEVICES,
    GeneratedOptions,
    OpenByDefault,
    Progress,
    check_writable,
)
from studio.render import render
from studio.turntable import turntable


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

    run_fit(demo_photos(), demo_settings(), out, device=device)


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


commands.add_command(fit)
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
