"""Two sets of effects on one scene, their difference, and both against path tracing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from studio.core.errors import InputError
from studio.options import (
    DEVICES,
    GeneratedOptions,
    Progress,
    chosen_effects,
    open_document,
    parse_size,
    render_flags,
    scene_camera,
)

if TYPE_CHECKING:
    from studio.core.params import ParamSet
    from studio.core.scene import Camera, Scene

FULL_SCALE = 0.25
"""Difference of sRGB values that has the brightest colour of the map."""


@dataclass(frozen=True)
class Difference:
    """How far two pictures are apart, in sRGB values 0..1.

    Attributes:
        mean, p99, largest: of |a - b| over all pixels and colours.
        psnr: dB.
        map: [H, W, 3] sRGB picture of the largest difference of each pixel's colours.
    """

    mean: float
    p99: float
    largest: float
    psnr: float
    map: np.ndarray

    def __str__(self) -> str:
        return f"mean {self.mean:.4f}, 99 % below {self.p99:.4f}, max {self.largest:.4f}, {self.psnr:.1f} dB"


def difference(a: np.ndarray, b: np.ndarray) -> Difference:
    """Compare two pictures of sRGB values.

    Args:
        a, b: [H, W, 3], 0..1.
    """
    from studio.core.color import MAX_PSNR
    from studio.gl.colormap import DIFFERENCE_MAP, colormap

    error = np.abs(a.astype(np.float64) - b)
    square = float(np.mean(error**2))
    return Difference(
        mean=float(error.mean()),
        p99=float(np.quantile(error, 0.99)),
        largest=float(error.max()),
        psnr=min(-10 * math.log10(square), MAX_PSNR) if square > 0 else MAX_PSNR,
        map=colormap(DIFFERENCE_MAP, error.max(axis=2) / FULL_SCALE),
    )


def encoded(image: np.ndarray) -> np.ndarray:
    """[H, W, 3] sRGB values 0..1 of a linear picture [H, W, 3 or 4]."""
    from studio.core.color import linear_to_srgb

    values: np.ndarray = np.clip(linear_to_srgb(np.clip(image[..., :3], 0, None)), 0, 1)
    return values


def picture(
    scene: Scene, camera: Camera, effects: dict[str, ParamSet], renderer: str, device: str
) -> np.ndarray:
    """[H, W, 3] sRGB values of the scene with these effects, from "gl" or "diff"."""
    if renderer == "diff":
        from studio.core.device import pick_device
        from studio.core.pipeline import render_image

        return encoded(render_image(scene, camera, effects, pick_device(device)))
    from studio.gl.offline import render_scene

    return encoded(render_scene(scene, camera, effects))


def compare_sheet(
    a: np.ndarray, b: np.ndarray, names: tuple[str, str], reference: np.ndarray | None = None
) -> tuple[np.ndarray, dict[str, Difference]]:
    """The pictures and their differences as one sheet.

    Args:
        a, b, reference: [H, W, 3] sRGB values.
        names: what A and B are called.
    Returns:
        sheet: [H, W, 3] sRGB values; and the differences by what they compare.
    """
    from studio.core.optim.sheet import sheet

    found = {"A - B": difference(a, b)}
    rows, labels = [[a, b, found["A - B"].map]], [""]
    titles = [f"A: {names[0]}", f"B: {names[1]}", "|A - B|"]
    if reference is not None:
        found["A - reference"] = difference(a, reference)
        found["B - reference"] = difference(b, reference)
        rows.append([found["A - reference"].map, found["B - reference"].map, reference])
        labels.append("against the\nreference")
        titles = [*titles[:2], "|A - B|; below: reference"]
    return sheet(rows, titles, labels), found


def drawn_background(scene: Scene, camera: Camera, *sets: dict[str, ParamSet]) -> np.ndarray | None:
    """[H, W, 3] linear: the environment as the first set of effects draws it that does; None without one."""
    from studio.core.pipeline import render_image

    for effects in sets:
        if "environment" in effects and effects["environment"]["show_background"]:
            alone = {"environment": effects["environment"]}
            return render_image(scene, camera, alone, channel="background")
    return None


def path_traced(
    scene: Scene,
    camera: Camera,
    samples: int,
    bounces: int,
    report: Callable[[float, str], None],
    background: np.ndarray | None = None,
) -> np.ndarray:
    """[H, W, 3] sRGB values of the scene by path tracing, over a linear background."""
    from studio.reference import render_reference

    image = render_reference(scene, camera, samples, bounces, background=background, progress=report)
    return encoded(image)


def _title(names: str | None) -> str:
    return "the project's" if names is None else names or "none"


@click.command("compare", cls=GeneratedOptions, flags=render_flags)
@click.argument("scene", type=click.Path(path_type=Path))
@click.option("--a", "names_a", metavar="A,B,…", help="Effects of picture A, '' for none. [a project's A]")
@click.option("--b", "names_b", metavar="A,B,…", help="Effects of picture B. [a project's B]")
@click.option("--out", default=Path("compare.png"), type=click.Path(path_type=Path), show_default=True)
@click.option("--renderer", type=click.Choice(["gl", "diff"]), default="gl", show_default=True)
@click.option("--reference", "with_reference", is_flag=True, help="Also path-trace the scene with Mitsuba.")
@click.option("--samples", type=click.IntRange(1), default=64, show_default=True, help="Paths per pixel.")
@click.option("--bounces", type=click.IntRange(1), default=8, show_default=True, help="1: direct light only.")
@click.option("--camera", "camera_text", help="As for `render`.")
@click.option("--size", "size_text", metavar="WxH", default="480x360", show_default=True)
@click.option("--device", type=DEVICES, default="auto", show_default=True)
def compare(
    scene: Path,
    names_a: str | None,
    names_b: str | None,
    out: Path,
    renderer: str,
    with_reference: bool,
    samples: int,
    bounces: int,
    camera_text: str | None,
    size_text: str,
    device: str,
    generated: dict[str, Any],
) -> None:
    """Draw SCENE with two sets of effects and show where they differ.

    An effect's parameter is set for both by its flag, for one with a colon:
    --a pbr --b pbr,ssao:radius=0.3:strength=2
    """
    from studio.core.io.images import save_png

    if out.suffix.lower() != ".png":
        raise InputError(f"--out {out}: expected a file ending in .png")
    if with_reference:
        from studio.reference import load_mitsuba

        load_mitsuba()  # before any work is done
    loaded, project = open_document(scene)
    camera = scene_camera(loaded, camera_text, *parse_size(size_text))
    own = (project.effects, project.other) if project is not None else (None, None)
    sets = []
    for flag, names, given in zip("ab", (names_a, names_b), own):
        if names is None and given is None:
            raise InputError(
                f"--{flag}: expected the effects of picture {flag.upper()}, or a project with two sets"
            )
        sets.append(chosen_effects(names, generated, None if given is None else given.enabled()))
    a, b = (picture(loaded, camera, effects, renderer, device) for effects in sets)
    reference = None
    if with_reference:
        with Progress() as progress:
            # With the environment in one picture only, that is the one to be like the reference.
            background = drawn_background(loaded, camera, *sets)
            reference = path_traced(loaded, camera, samples, bounces, progress.report, background)
    page, found = compare_sheet(a, b, (_title(names_a), _title(names_b)), reference)
    from studio.core.color import srgb_to_linear

    save_png(out, srgb_to_linear(page))
    for name, value in found.items():
        click.echo(f"{name}: {value}")
    click.echo(f"{out}: {page.shape[1]}x{page.shape[0]}")
