"""The command `gradients`: a picture's derivative by one number, beside finite differences."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from studio.core.errors import InputError
from studio.options import (
    DEVICES,
    GeneratedOptions,
    Progress,
    chosen_effects,
    chosen_rasterizer,
    open_scene,
    parse_size,
    render_flags,
    scene_camera,
)

if TYPE_CHECKING:
    from studio.core.optim.scalars import Scalar


@click.command("gradients", cls=GeneratedOptions, flags=render_flags)
@click.argument("scene", type=click.Path(path_type=Path))
@click.option(
    "--parameter", metavar="NAME", help='What to derive by, as "light.0.intensity"; none lists them.'
)
@click.option("--out", type=click.Path(path_type=Path), help="A .png file.")
@click.option("--effects", "effect_names", metavar="A,B,…", help='Exactly these effects; "" for none.')
@click.option(
    "--camera",
    "camera_text",
    metavar="AZIMUTH,ELEVATION[,DISTANCE[,FOV]]",
    help="Degrees around the object. [the scene's own camera, else 30,20]",
)
@click.option("--size", "size_text", metavar="WxH", default="192x144", show_default=True)
@click.option(
    "--block",
    type=click.IntRange(1, 256),
    default=4,
    show_default=True,
    help="Pixels along the side of a block; every block takes a reverse pass.",
)
@click.option("--step", type=float, help="Of the finite difference. [as fits the parameter]")
@click.option("--device", type=DEVICES, default="auto", show_default=True)
def gradients(
    scene: Path,
    parameter: str | None,
    out: Path | None,
    effect_names: str | None,
    camera_text: str | None,
    size_text: str,
    block: int,
    step: float | None,
    device: str,
    generated: dict[str, Any],
) -> None:
    """Derive a picture of SCENE by one number of it, and check that with finite differences.

    Leaves picture, derivative by reverse mode, central difference and their difference side by
    side. Without --parameter it lists what there is: motions of the camera and the meshes, lights,
    materials, parameters of effects.
    """
    from studio.core.device import pick_device
    from studio.core.optim.gradient_view import gradient_views, save_gradient_view
    from studio.core.optim.scalars import scalars

    loaded = open_scene(scene)
    effects = chosen_effects(effect_names, generated)
    camera = scene_camera(loaded, camera_text, *parse_size(size_text))
    if parameter is None:
        for scalar in scalars(loaded, camera, effects).values():
            click.echo(_line(scalar))
        return
    if out is None or out.suffix.lower() != ".png":
        raise InputError(f"--out {'' if out is None else out}: expected a file ending in .png")
    how = chosen_rasterizer(generated, "diff")
    with Progress() as progress:
        *_, view = gradient_views(
            loaded, camera, parameter, effects, block, step, pick_device(device), how, progress.report
        )
    save_gradient_view(view, out)
    click.echo(
        f"{out}: {view.scalar.name} at {view.scalar.at:g}, relative error {view.error:.3g} "
        f"(differences of ±{view.scalar.step:.3g} and half of it: {view.doubt:.3g}), {view.passes} passes"
    )


def _line(scalar: Scalar) -> str:
    unit = f" {scalar.unit}" if scalar.unit else ""
    return f"{scalar.name:36} {scalar.value:.4g}{unit}  ±{scalar.step:.3g}"
