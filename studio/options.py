"""What the commands share: flags made from parameters, a progress bar, the check of an output folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from studio.core.errors import InputError

if TYPE_CHECKING:
    from studio.core.params import Param

DEVICES = click.Choice(["auto", "cpu", "cuda"])


class OpenByDefault(click.Group):
    """A group whose command is `open` when the first word is no command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ("--help", "--version")):
            args = ["open", *args]
        return super().parse_args(ctx, args)


class GeneratedOptions(click.Command):
    """A command that also takes one flag per parameter, made from the descriptors on demand.

    `flags()` returns {flag stem: Param}; what was given arrives as `generated`, a dict from
    stem to checked value. Made lazily, so that `main.py --help` imports nothing heavy.
    """

    def __init__(self, *args: Any, flags: Callable[[], dict[str, Param]], **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.flags = flags

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        fixed = super().get_params(ctx)
        made = [_flag(stem, param) for stem, param in self.flags().items()]
        return [*fixed[:-1], *made, fixed[-1]]  # --help stays last

    def invoke(self, ctx: click.Context) -> Any:
        given = {stem: ctx.params.pop(stem.replace("-", "_")) for stem in self.flags()}
        ctx.params["generated"] = {stem: value for stem, value in given.items() if value is not None}
        return super().invoke(ctx)


def _flag(stem: str, param: Param) -> click.Option:
    """The flag of one parameter; the parameter itself checks the value."""
    triple = param.kind in ("color", "vec3")
    default = ",".join(f"{v:g}" for v in param.default) if triple else str(param.default)
    unit = f" {param.unit}" if param.unit else ""
    kinds = {"bool": "true|false", "int": "N", "float": "X"}

    def check(_ctx: click.Context, _option: click.Parameter, value: str | None) -> Any:
        if value is None:
            return None
        return param.check(value.split(",") if triple else value, f"--{stem}")

    return click.Option(
        [f"--{stem}"],
        metavar="|".join(param.choices) or kinds.get(param.kind, "X,Y,Z"),
        help=f"{param.help}  [{default}{unit}]",
        callback=check,
    )


def check_writable(folder: Path) -> None:
    """Make the folder, or say why nothing can be written there, before any work is done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"--out {folder}: cannot write there ({error.strerror or error})") from None


class Progress:
    """A progress bar for a terminal, a line now and then for a log."""

    def __enter__(self) -> Progress:
        from rich import progress

        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(bar_width=30),
            progress.TaskProgressColumn(),
            progress.TimeRemainingColumn(),
        )
        self._task: Any = None
        self._fraction = 0.0
        self._bar.start()
        return self

    def report(self, fraction: float, note: str) -> None:
        """`fraction` in 0..1 of the work that `note` describes; when it falls, a new bar begins."""
        if self._task is None or fraction < self._fraction:
            self._task = self._bar.add_task(note, total=1.0)
        self._fraction = fraction
        self._bar.update(self._task, completed=min(max(fraction, 0.0), 1.0), description=note)

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
