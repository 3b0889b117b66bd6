"""The command `render`: a picture of a scene, and channels of its G-buffer and effects."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from studio.core.channels import PICTURE, channel
from studio.core.errors import InputError
from studio.core.looks import looks
from studio.options import (
    DEVICES,
    GeneratedOptions,
    chosen_effects,
    chosen_rasterizer,
    flattened,
    is_volume,
    open_document,
    orbit_camera,
    parse_size,
    refuse_for_volumes,
    render_flags,
    scene_camera,
)

if TYPE_CHECKING:
    import numpy as np

    from studio.core.params import ParamSet
    from studio.core.rasterizer import Rasterizer
    from studio.core.scene import Camera, Scene


JPEG = (".jpg", ".jpeg")
SUFFIXES = (".png", *JPEG, ".exr")


@click.command("render", cls=GeneratedOptions, flags=render_flags)
@click.argument("scene", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A .png, .jpg or .exr file.")
@click.option("--renderer", type=click.Choice(["gl", "diff"]), default="gl", show_default=True)
@click.option(
    "--effects",
    "effect_names",
    metavar="A,B,…",
    help='Exactly these effects, as "pbr,ssao:radius=0.3"; "" for none.',
)
@click.option(
    "--aov",
    "aov_names",
    metavar="A,B,…",
    help="Channels besides: layers of the .exr, or pictures beside the other kinds.",
)
@click.option(
    "--environment", type=click.Path(path_type=Path), help="An equirectangular .hdr or .exr to light with."
)
@click.option(
    "--camera",
    "camera_text",
    metavar="AZIMUTH,ELEVATION[,DISTANCE[,FOV]]",
    help="Degrees around the object; distance in its radii. [the scene's own camera, else 30,20]",
)
@click.option("--orthographic", is_flag=True, help="No perspective; sizes are those of the middle.")
@click.option("--size", "size_text", metavar="WxH", default="800x600", show_default=True)
@click.option("--transparent", is_flag=True, help="Leave the background out.")
@click.option("--device", type=DEVICES, default="auto", show_default=True)
def render(
    scene: Path,
    out: Path,
    renderer: str,
    effect_names: str | None,
    aov_names: str | None,
    environment: Path | None,
    camera_text: str | None,
    orthographic: bool,
    size_text: str,
    transparent: bool,
    device: str,
    generated: dict[str, Any],
) -> None:
    """Draw SCENE into a picture.

    SCENE is a mesh file, a volume, Gaussians, a project, or demo, cornell, teaset, bust, balls.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise InputError(f"--out {out}: expected a file ending in {', '.join(SUFFIXES)}")
    if transparent and out.suffix.lower() in JPEG:
        raise InputError(f"--out {out}: a JPEG always has a background, expected .png or .exr")
    names = chosen_channels(aov_names)
    if is_volume(scene):
        refuse_for_volumes(
            {"--effects": effect_names, "--aov": aov_names, "--environment": environment, **generated}
        )
        _volume(scene, out, (camera_text, orthographic), parse_size(size_text), transparent, device)
        return
    loaded, project = open_document(scene)
    if environment is not None:
        from studio.core.io.images import load_environment

        loaded.lighting = loaded.lighting.with_environment(load_environment(environment))
    camera = scene_camera(loaded, camera_text, *parse_size(size_text), orthographic)
    effects = chosen_effects(effect_names, generated, project.effects.enabled() if project else None)
    how = chosen_rasterizer(generated, renderer)
    if renderer == "diff":
        if not loaded.meshes:
            raise InputError(f"--renderer diff {scene}: has no mesh, expected --renderer gl")
        made = _differentiable(loaded, camera, effects, names, device, how)
    else:
        shown = looks(None if project is None else project.looks)
        made = _viewport(loaded, camera, effects, names, transparent, shown)
    if not transparent:
        made["rgba"] = made["rgba"][..., :3]
    files = [out, *_save(out, made, names, loaded, camera)]
    listed = ", ".join(map(str, files))
    click.echo(f"{listed}: {camera.width}x{camera.height}, {loaded.triangle_count():,} triangles, {renderer}")


def _volume(
    path: Path,
    out: Path,
    view: tuple[str | None, bool],
    size: tuple[int, int],
    transparent: bool,
    device: str,
) -> None:
    """Draw a volume over black, or with its coverage: straight in a .png, premultiplied in an .exr.

    Args:
        view: --camera, and whether it has no perspective.
    """
    import numpy as np

    from studio.core.device import pick_device
    from studio.core.io.images import save_exr, save_picture
    from studio.core.io.volumes import load_volume
    from studio.core.optim.emitted import VolumeView

    volume = load_volume(path)
    camera = orbit_camera(volume, view[0] or "30,20", *size)
    camera = flattened(volume, camera) if view[1] else camera
    image = VolumeView.of(volume, pick_device(device)).picture(camera)
    if not transparent:
        image = image[..., :3]
    if out.suffix.lower() == ".exr":
        save_exr(out, image)
    else:
        if transparent:
            image[..., :3] /= np.maximum(image[..., 3:], 1e-6)
        save_picture(out, image)
    points = "x".join(map(str, volume.shape))
    click.echo(f"{out}: {camera.width}x{camera.height}, {points} points of degree {volume.degree}")


def chosen_channels(text: str | None) -> tuple[str, ...]:
    """The channels of --aov; InputError names one that there is not, or that is no picture."""
    names = [name.strip() for name in (text or "").split(",") if name.strip()]
    found = [channel(name) for name in names]
    for c in found:
        if c.name in ("rgba", "rast"):
            raise InputError(f"--aov {c.name}: cannot be saved; expected another channel")
    return tuple(dict.fromkeys(c.name for c in found))


def _differentiable(
    scene: Scene, camera: Camera, effects: dict[str, ParamSet], names: tuple[str, ...], device: str,
    how: Rasterizer,
) -> dict[str, np.ndarray]:  # fmt: skip
    from studio.core.device import pick_device
    from studio.core.pipeline import render_channels

    asked = {*names, "depth"} if names else ()
    return render_channels(scene, camera, effects, asked, pick_device(device), how)


def _viewport(
    scene: Scene,
    camera: Camera,
    effects: dict[str, ParamSet],
    names: tuple[str, ...],
    transparent: bool,
    shown: dict[str, ParamSet],
) -> dict[str, np.ndarray]:
    from studio.gl.offline import render_channels, render_scene

    image = render_scene(scene, camera, effects, transparent=transparent, looks=shown)
    asked = {*names, "depth"} - PICTURE if names else set()
    made = render_channels(scene, camera, effects, asked) if asked else {}
    return {**made, "color": image[..., :3], "alpha": image[..., 3:], "rgba": image}


def _save(
    out: Path, made: dict[str, np.ndarray], names: tuple[str, ...], scene: Scene, camera: Camera
) -> list[Path]:
    """Write the picture and its channels; returns the files besides `out`."""
    from studio.core.io.images import save_exr, save_exr_layers, save_picture
    from studio.gl.aov import layers, picture
    from studio.gl.frame import depth_range

    if out.suffix.lower() == ".exr":
        named = {key: v for name in names for key, v in layers(channel(name), made[name]).items()}
        if named:
            save_exr_layers(out, made["rgba"], named)
        else:
            save_exr(out, made["rgba"])
        return []
    save_picture(out, made["rgba"])
    files = []
    low, high = scene.bounds()
    near, far = depth_range(camera, low, high)
    lights = max(1, len(scene.lighting.lights))
    for name in names:
        start, end = ([near], [far]) if name == "depth" else (low.tolist(), high.tolist())
        covered = made["depth"][..., 0] > 0
        shown = picture(channel(name), made[name], covered, scene.background, start, end, lights)
        files.append(out.with_suffix(f".{name}{out.suffix}"))
        save_picture(files[-1], shown)
    return files
