"""What the commands share: flags made from parameters, what they choose, a progress bar."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from studio.core.errors import InputError

if TYPE_CHECKING:
    from studio.core.params import Param, ParamSet
    from studio.core.project import Project
    from studio.core.rasterizer import Rasterizer
    from studio.core.scene import Camera, Scene, Volume

DEVICES = click.Choice(["auto", "cpu", "cuda"])
MESH_FORMATS = ("glb", "obj", "ply")
MASKS = click.Choice(["auto", "files", "plain", "grabcut", "rembg", "none"])


def mesh_formats(_ctx: click.Context, _option: click.Parameter, value: str) -> tuple[str, ...]:
    """Suffixes of mesh files from "glb,obj"; InputError names what is none."""
    kinds = tuple(dict.fromkeys(kind.strip().lower().lstrip(".") for kind in value.split(",")))
    for kind in kinds:
        if kind not in MESH_FORMATS:
            raise InputError(f"--formats: no format {kind!r}; expected {', '.join(MESH_FORMATS)}, as A,B")
    return kinds


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


def effect_flags() -> dict[str, Param]:
    from studio.core.effects import registry

    return {
        f"{effect.name}-{param.name}".replace("_", "-"): param
        for effect in registry().values()
        for param in effect.params
        if not param.gl_only
    }


def render_flags() -> dict[str, Param]:
    from studio.core.rasterizer import PARAMS

    return {param.name.replace("_", "-"): param for param in PARAMS} | effect_flags()


def is_volume(path: Path) -> bool:
    """Whether a file is to be read as a volume."""
    return path.suffix.lower() == ".safetensors"


def refuse_for_volumes(given: dict[str, Any]) -> None:
    """InputError for the first option that was given, by flag or stem: volumes and points have no surface."""
    for name, value in given.items():
        if value:
            raise InputError(
                f"--{name.removeprefix('--')}: what emits light has no surface, expected no such option"
            )


def open_scene(path: Path) -> Scene:
    """The scene in a mesh file or a project, or a built-in one by its name."""
    return open_document(path)[0]


def open_document(path: Path) -> tuple[Scene, Project | None]:
    """The scene in a mesh file, Gaussians or a built-in one; or a project with its scene, first seen by
    its view."""
    from dataclasses import replace

    from studio.core.io.splats import holds_gaussians, load_points
    from studio.core.scene import Scene

    if path.suffix.lower() == ".studio":
        from studio.core.project import load_project

        project = load_project(path)
        scene = project.shown_scene()
        views = [project.camera] if project.camera is not None else []
        return replace(scene, cameras=[*views, *scene.cameras]), project
    if holds_gaussians(path):
        return Scene(points=load_points(path), name=path.stem), None
    from studio.core.scenes import NAMES, built_in

    if str(path) in NAMES and not path.exists():
        return built_in(str(path)), None
    from studio.core.io.meshes import load_scene

    return load_scene(path), None


def chosen_effects(
    names: str | None, generated: dict[str, Any], given: dict[str, ParamSet] | None = None
) -> dict[str, ParamSet]:
    """Parameters of the effects that are on.

    Args:
        names: as "pbr,ssao:radius=0.3:strength=2"; None for `given`, or those on by default.
        generated: values of the effects' own flags; what stands in `names` wins.
        given: those of a project.
    """
    from studio.core.effects import get, registry
    from studio.core.params import ParamSet

    base: dict[str, ParamSet] = {}
    if names is None and given is not None:
        wanted: dict[str, list[str]] = {name: [] for name in given}
        base = given
    elif names is None:
        wanted = {effect.name: [] for effect in registry().values() if effect.enabled}
    else:
        entries = [entry.strip().split(":") for entry in names.split(",") if entry.strip()]
        wanted = {get(name.strip()).name: settings for name, *settings in entries}
    out = {}
    for effect in registry().values():
        if effect.name not in wanted:
            continue
        start = base[effect.name].as_dict() if effect.name in base else None
        out[effect.name] = ParamSet(effect.name, effect.params, start)
        for param in effect.params:
            stem = f"{effect.name}-{param.name}".replace("_", "-")
            if stem in generated:
                out[effect.name].set(param.name, generated[stem])
        for setting in wanted[effect.name]:
            name, equals, value = setting.partition("=")
            if not equals:
                raise InputError(f"{effect.name}:{setting}: expected {effect.name}:PARAMETER=VALUE")
            out[effect.name].set(name.strip().replace("-", "_"), value.strip())
    return out


def chosen_rasterizer(generated: dict[str, Any], renderer: str) -> Rasterizer:
    """The rasterizer of the flags; InputError if the renderer has none to choose."""
    from studio.core.params import ParamSet
    from studio.core.rasterizer import PARAMS, Rasterizer

    given = {param.name: generated.get(param.name.replace("_", "-")) for param in PARAMS}
    given = {name: value for name, value in given.items() if value is not None}
    if given and renderer != "diff":
        stem = next(iter(given)).replace("_", "-")
        raise InputError(f"--{stem}: only the differentiable renderer has it, expected --renderer diff")
    return Rasterizer.from_settings(ParamSet("render", PARAMS, given))


def parse_size(text: str) -> tuple[int, int]:
    """(width, height) of "800x600"."""
    try:
        width, height = (int(v) for v in text.lower().split("x"))
    except ValueError:
        raise InputError(f"--size {text}: expected WIDTHxHEIGHT, e.g. 800x600") from None
    if not (1 <= width <= 16384 and 1 <= height <= 16384):  # the common limit of GL targets
        raise InputError(f"--size {text}: expected 1 to 16384 pixels each way")
    return width, height


def scene_camera(
    scene: Scene, text: str | None, width: int, height: int, orthographic: bool = False
) -> Camera:
    """The camera of the --camera option; without it the scene's first, for want of one an orbit.

    Args:
        orthographic: without perspective; sizes are those in the middle of the scene.
    """
    if text is not None or not scene.cameras:
        camera = orbit_camera(scene, text or "30,20", width, height)
    else:
        own = scene.cameras[0]
        camera = own.resized(round(own.width * height / own.height), height).cropped(width)
    return flattened(scene, camera) if orthographic else camera


def flattened(scene: Scene | Volume, camera: Camera) -> Camera:
    """The camera without perspective, with the sizes that the middle of the scene has."""
    import numpy as np

    from studio.core.scene.camera import orthographic

    low, high = (np.asarray(corner, np.float64) for corner in scene.bounds())
    radius = max(float(np.linalg.norm(high - low)) / 2, 1e-6)
    depth = float((camera.position - (low + high) / 2) @ camera.view_to_world[:3, 2])
    return orthographic(camera, max(depth, 0.1 * radius), radius)


def orbit_camera(scene: Scene | Volume, text: str, width: int, height: int) -> Camera:
    """A camera around the middle of the scene; see the --camera option of `render`."""
    import math

    from studio.core.scene.camera import framing_camera

    try:
        numbers = [float(v) for v in text.split(",")]
    except ValueError:
        numbers = []
    if not 2 <= len(numbers) <= 4 or not all(map(math.isfinite, numbers)):
        raise InputError(f"--camera {text}: expected AZIMUTH,ELEVATION[,DISTANCE[,FOV]] in degrees")
    if len(numbers) > 2 and numbers[2] <= 0:
        raise InputError(f"--camera {text}: distance must be positive")
    if len(numbers) > 3 and not 1 <= numbers[3] <= 170:
        raise InputError(f"--camera {text}: field of view must be in [1, 170] degrees")
    return framing_camera(scene.bounds(), width, height, *numbers)


def check_writable(folder: Path) -> None:
    """Make the folder, or say why nothing can be written there, before any work is done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink(missing_ok=True)  # another process may have looked at the same time
    except OSError as error:
        raise InputError(f"--out {folder}: cannot write there ({error.strerror or error})") from None


FIRST_PROCESS = os.environ.get("RANK", "0") == "0"
"""Whether this is the one of torchrun's processes that speaks."""


class Progress:
    """A progress bar for a terminal, a line now and then for a log."""

    def __enter__(self) -> Progress:
        from rich import progress

        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(bar_width=30),
            progress.TaskProgressColumn(),
            progress.TimeRemainingColumn(),
            disable=not FIRST_PROCESS,
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
