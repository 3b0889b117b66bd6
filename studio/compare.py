"""Two sets of effects on one scene, their difference, and both against path tracing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
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
    from studio.core.scene import Camera, Photo, PhotoSet, Scene

FULL_SCALE = 0.25
"""Difference of sRGB values that has the brightest colour of the map."""


@dataclass(frozen=True)
class Difference:
    """How far two pictures are apart, in sRGB values 0..1.

    Attributes:
        mean, p99, largest: of |a - b| over all pixels (of the mask) and colours.
        psnr: dB. ssim: mean structural similarity. flip: mean of FLIP (studio.core.optim.flip).
        map: [H, W, 3] sRGB picture of the largest difference of each pixel's colours.
        flip_map: [H, W, 3] sRGB picture of FLIP.
    """

    mean: float
    p99: float
    largest: float
    psnr: float
    ssim: float
    flip: float
    map: np.ndarray
    flip_map: np.ndarray

    def __str__(self) -> str:
        absolute = f"mean {self.mean:.4f}, 99 % below {self.p99:.4f}, max {self.largest:.4f}"
        return f"{absolute}, {self.psnr:.1f} dB, SSIM {self.ssim:.4f}, FLIP {self.flip:.4f}"


def difference(a: np.ndarray, b: np.ndarray, mask: np.ndarray | None = None) -> Difference:
    """Compare two pictures of sRGB values.

    Args:
        a, b: [H, W, 3], 0..1.
        mask: [H, W], what is compared where it is > 0.5. NaN where that is nowhere.
    """
    from studio.core.optim.metrics import pair_metrics
    from studio.gl.colormap import DIFFERENCE_MAP, PERCEIVED_MAP, colormap

    found = pair_metrics(a, b, mask)
    error = np.abs(a.astype(np.float64) - b)
    if mask is not None:
        error = error * (mask > 0.5)[..., None]
    counted = error if mask is None else error[mask > 0.5]
    return Difference(
        mean=found.mean,
        p99=float(np.quantile(counted, 0.99)) if counted.size else float("nan"),
        largest=float(counted.max()) if counted.size else float("nan"),
        psnr=found.psnr,
        ssim=found.ssim,
        flip=found.flip,
        map=colormap(DIFFERENCE_MAP, error.max(axis=2) / FULL_SCALE),
        flip_map=colormap(PERCEIVED_MAP, found.flip_map),
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
    return encoded(drawn(scene, camera, effects, renderer, device))


def drawn(
    scene: Scene, camera: Camera, effects: dict[str, ParamSet], renderer: str, device: str
) -> np.ndarray:
    """[H, W, 4] linear colour over the background, and coverage, from "gl" or "diff"."""
    if renderer == "diff":
        from studio.core.device import pick_device
        from studio.core.pipeline import render_image

        return render_image(scene, camera, effects, pick_device(device))
    from studio.gl.offline import render_scene

    return render_scene(scene, camera, effects)


def compare_sheet(
    a: np.ndarray,
    b: np.ndarray,
    names: tuple[str, str],
    reference: np.ndarray | None = None,
    mask: np.ndarray | None = None,
) -> tuple[np.ndarray, dict[str, Difference]]:
    """The pictures and their differences as one sheet.

    Args:
        a, b, reference: [H, W, 3] sRGB values.
        names: what A and B are called.
        mask: [H, W], what of A and B is compared.
    Returns:
        sheet: [H, W, 3] sRGB values; and the differences by what they compare.
    """
    from studio.core.optim.sheet import sheet

    found = {"A - B": difference(a, b, mask)}
    rows, labels = [[a, b, found["A - B"].map, found["A - B"].flip_map]], [""]
    titles = [f"A: {names[0]}", f"B: {names[1]}", "|A - B|", "FLIP"]
    if reference is not None:
        found["A - reference"] = difference(a, reference)
        found["B - reference"] = difference(b, reference)
        maps = [found["A - reference"].map, found["B - reference"].map]
        rows.append([*maps, reference, found["A - reference"].flip_map])
        labels.append("against the\nreference")
        titles = [*titles[:2], "|A - B|; below: reference", "FLIP; below: of A to it"]
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
@click.argument("other", required=False, type=click.Path(path_type=Path))
@click.option("--a", "names_a", metavar="A,B,…", help="Effects of picture A, '' for none. [a project's A]")
@click.option("--b", "names_b", metavar="A,B,…", help="Effects of picture B. [a project's B]")
@click.option("--photos", "photo_source", type=click.Path(path_type=Path), help="Compare with one of these.")
@click.option("--view", "view_name", metavar="NAME|NUMBER", help="Which photo.  [the first]")
@click.option("--out", default=Path("compare.png"), type=click.Path(path_type=Path), show_default=True)
@click.option("--renderer", type=click.Choice(["gl", "diff"]), default="gl", show_default=True)
@click.option("--reference", "with_reference", is_flag=True, help="Also path-trace the scene with Mitsuba.")
@click.option("--samples", type=click.IntRange(1), default=64, show_default=True, help="Paths per pixel.")
@click.option("--bounces", type=click.IntRange(1), default=8, show_default=True, help="1: direct light only.")
@click.option("--camera", "camera_text", help="As for `render`.")
@click.option("--orthographic", is_flag=True, help="As for `render`.")
@click.option("--size", "size_text", metavar="WxH", default="480x360", show_default=True)
@click.option("--device", type=DEVICES, default="auto", show_default=True)
def compare(
    scene: Path,
    other: Path | None,
    names_a: str | None,
    names_b: str | None,
    photo_source: Path | None,
    view_name: str | None,
    out: Path,
    with_reference: bool,
    generated: dict[str, Any],
    **how: Any,
) -> None:
    """Draw SCENE with two sets of effects and show where they differ.

    \b
    compare SCENE --a pbr --b pbr,shadows          two sets of effects
    compare SCENE --photos SOURCE --view NAME      a render and the photo of that view
    compare A.png B.png                            two pictures; B is the one that is right

    An effect's parameter is set for both by its flag, for one with a colon:
    --a pbr --b pbr,ssao:radius=0.3:strength=2
    """
    if out.suffix.lower() != ".png":
        raise InputError(f"--out {out}: expected a file ending in .png")
    for wrong, given in (("--photos", photo_source is not None), ("--reference", with_reference)):
        if other is not None and given:
            raise InputError(f"{wrong}: two pictures are compared with nothing else")
    if other is not None:
        a, b = two_pictures(scene, other)
        page, found = compare_sheet(a, b, (scene.name, other.name))
    elif photo_source is not None:
        if names_b is not None or with_reference:
            raise InputError("--photos: B is the photo; expected neither --b nor --reference")
        loaded, project = open_document(scene)
        own = None if project is None else project.effects.enabled()
        effects = chosen_effects(names_a, generated, own)
        page, found = with_photo(loaded, photo_source, view_name, effects, how)
    else:
        page, found = two_sets(scene, (names_a, names_b), generated, with_reference, how)
    from studio.core.color import srgb_to_linear
    from studio.core.io.images import save_png

    save_png(out, srgb_to_linear(page))
    for name, value in found.items():
        click.echo(f"{name}: {value}")
    click.echo(f"{out}: {page.shape[1]}x{page.shape[0]}")


Sheet = tuple[np.ndarray, dict[str, Difference]]


def two_sets(
    scene: Path,
    names: tuple[str | None, str | None],
    generated: dict[str, Any],
    with_reference: bool,
    how: dict[str, Any],
) -> Sheet:
    """A scene with two sets of effects, and path-traced if asked for."""
    if with_reference:
        from studio.reference import load_mitsuba

        load_mitsuba()  # before any work is done
    loaded, project = open_document(scene)
    size = parse_size(how["size_text"])
    camera = scene_camera(loaded, how["camera_text"], *size, how["orthographic"])
    own = (project.effects, project.other) if project is not None else (None, None)
    sets = []
    for flag, text, given in zip("ab", names, own):
        if text is None and given is None:
            raise InputError(
                f"--{flag}: expected the effects of picture {flag.upper()}, or a project with two sets; "
                "or --photos, or a second picture"
            )
        sets.append(chosen_effects(text, generated, None if given is None else given.enabled()))
    a, b = (picture(loaded, camera, effects, how["renderer"], how["device"]) for effects in sets)
    reference = None
    if with_reference:
        with Progress() as progress:
            # With the environment in one picture only, that is the one to be like the reference.
            background = drawn_background(loaded, camera, *sets)
            reference = path_traced(
                loaded, camera, how["samples"], how["bounces"], progress.report, background
            )
    return compare_sheet(a, b, (_title(names[0]), _title(names[1])), reference)


def two_pictures(first: Path, second: Path) -> tuple[np.ndarray, np.ndarray]:
    """[H, W, 3] sRGB values of two image files over black; InputError if their sizes differ."""
    from studio.core.io.images import load_image

    found = []
    for path in (first, second):
        image = load_image(path)
        color = image[..., :3] if image.shape[2] >= 3 else np.repeat(image[..., :1], 3, axis=2)
        found.append(encoded(color * image[..., 3:] if image.shape[2] == 4 else color))
    a, b = found
    if a.shape != b.shape:
        sizes = (f"{image.shape[1]}x{image.shape[0]}" for image in (a, b))
        raise InputError(f"{second}: expected the size of {first.name}, {' but is '.join(sizes)}")
    return a, b


def with_photo(
    scene: Scene, source: Path, view: str | None, effects: dict[str, ParamSet], how: dict[str, Any]
) -> Sheet:
    """A scene, in the coordinates of the photos' files, from the camera of a photo, and the photo.

    What counts is what the scene covers or the photo's mask; both lie over the scene's background
    where the photo was cut out.
    """
    from studio.core.io.photos import load_photos

    with Progress() as progress:
        photos = load_photos(source, progress=progress.report)
    photo = chosen_photo(photos, view)
    world = photos.input_to_world
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = world.scale * world.rotation, world.translation
    scene = replace(scene, meshes=[mesh.transformed(matrix) for mesh in scene.meshes])
    image = drawn(scene, photo.camera, effects, how["renderer"], how["device"])
    target = photo.image[..., :3]
    mask = np.ones(target.shape[:2], np.float32)
    if photo.mask is not None:
        mask = np.maximum(photo.mask, image[..., 3])
        if not target[photo.mask == 0].any():  # cut out: no background of its own
            target = target + (1 - photo.mask)[..., None] * np.asarray(scene.background, np.float32)
    if photo.ignore is not None:
        mask = mask * ~photo.ignore
    return compare_sheet(encoded(image), encoded(target), ("render", photo.name), mask=mask)


def chosen_photo(photos: PhotoSet, view: str | None) -> Photo:
    """The photo of a name, or of a number from 0; InputError lists what there is."""
    names = [photo.name for photo in photos.photos]
    if view is None:
        return photos.photos[0]
    if view in names:
        return photos.photos[names.index(view)]
    if view.isdigit() and int(view) < len(names):
        return photos.photos[int(view)]
    raise InputError(f"--view {view}: expected one of {', '.join(names)}, or 0 to {len(names) - 1}")
