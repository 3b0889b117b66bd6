"""The command `turntable`: a film of a scene seen from all around."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from studio.options import (
    DEVICES,
    GeneratedOptions,
    Progress,
    chosen_effects,
    effect_flags,
    is_volume,
    open_document,
    parse_size,
    refuse_for_volumes,
)


@click.command("turntable", cls=GeneratedOptions, flags=effect_flags)
@click.argument("scene", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A .gif or .mp4 file.")
@click.option("--effects", "effect_names", metavar="A,B,…", help='Exactly these effects; "" for none.')
@click.option("--seconds", type=click.FloatRange(0, min_open=True), default=3.0, show_default=True)
@click.option("--size", "size_text", metavar="WxH", default="320x320", show_default=True)
@click.option("--fps", type=click.FloatRange(1, 60), default=24.0, show_default=True)
@click.option("--device", type=DEVICES, default="auto", show_default=True)
def turntable(
    scene: Path,
    out: Path,
    effect_names: str | None,
    seconds: float,
    size_text: str,
    fps: float,
    device: str,
    generated: dict[str, Any],
) -> None:
    """Turn SCENE once around.

    SCENE is a mesh file, a volume, Gaussians, a project, or demo, cornell, teaset, bust, balls.
    """
    from studio.core.device import pick_device
    from studio.core.optim.turntable import DARK, save_turntable

    if is_volume(scene):
        from studio.core.io.volumes import load_volume
        from studio.core.scene import Scene

        loaded, project = Scene(volume=load_volume(scene), name=scene.stem), None
    else:
        loaded, project = open_document(scene)
    if not loaded.meshes:
        refuse_for_volumes({"--effects": effect_names, **generated})
        loaded.background = loaded.background if project else DARK
    effects = chosen_effects(effect_names, generated, project.effects.enabled() if project else None)
    with Progress() as progress:
        save_turntable(
            loaded, out, seconds, parse_size(size_text), effects, pick_device(device), progress.report, fps
        )
    click.echo(f"{out}: {seconds:g} s")
