"""The two pictures of a comparison, on the GPU and as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import moderngl
import numpy as np
from torch import Tensor

from studio.core.scene import Camera, Photo, PhotoSet, Similarity
from studio.gl.interop import Interop, SharedImage
from studio.gl.options import STILLS, Source, ViewOptions
from studio.gl.passes import COLOR_UNIT
from studio.gl.photos import PhotoTextures, placement
from studio.gl.program import Program, ProgramCache
from studio.gl.resources import Resources
from studio.gl.targets import Targets
from studio.gl.view_math import window_of

LEFT_UNIT, COVERAGE_UNIT, RIGHT_UNIT = COLOR_UNIT, COLOR_UNIT + 1, COLOR_UNIT + 2


@dataclass(eq=False)
class Side:
    """One picture of a comparison.

    Attributes:
        texture: linear colour; of a still picture alpha is a mask, negative where it says nothing.
        camera: it was taken with.
        live: a render of the present view, whose coverage is that of the geometry.
        cutout: 1 for a still picture without a background of its own; 2 if its colours are not
            mixed with one at the outlines either.
    """

    texture: moderngl.Texture
    camera: Camera
    live: bool = True
    cutout: int = 0


@dataclass(frozen=True, eq=False)
class Pair:
    """Both pictures as they are compared.

    Attributes:
        left, right: [H, W, 3] float32 sRGB values, not clipped, row 0 at the bottom.
        weight: [H, W] float32, 0..1: how far object or mask are there; 0 also where one of the
            two says nothing.
    """

    left: np.ndarray
    right: np.ndarray
    weight: np.ndarray

    @property
    def mean(self) -> float:
        """Mean absolute difference over object and mask, as the optimizer sees it; NaN without any."""
        total = float(self.weight.sum(dtype=np.float64))
        error = np.abs(np.clip(self.left, 0, 1) - np.clip(self.right, 0, 1)).mean(axis=2)
        return float((error * self.weight).sum(dtype=np.float64)) / total if total > 0 else float("nan")


class Stills:
    """The pictures that are not drawn from the scene: photos, and those that were given."""

    def __init__(self, resources: Resources):
        self.photos = PhotoTextures(resources)
        self._live: dict[Source, Side] = {}
        self._images: dict[Source, SharedImage] = {}
        self._given = {name: PhotoTextures(resources, "f4") for name in STILLS}

    def set(self, name: Source, picture: Photo | None) -> None:
        """Give a picture, or take it away with None."""
        self._live.pop(name, None)
        self._given[name].set(None if picture is None else PhotoSet([picture], Similarity()))

    def set_live(
        self, name: Source, image: Tensor, event: Any, camera: Camera, cutout: int, interop: Interop
    ) -> None:
        """Give a picture as a tensor [H, W, 4], which stays on the GPU where it can; till the next `set`.

        Args:
            event: recorded behind it, or None.
            camera, cutout: as of a Side.
        """
        if name not in self._images:
            self._images[name] = interop.image(name)
        texture = self._images[name].write(image, event)
        self._live[name] = Side(texture, camera, False, cutout)

    def there(self, source: Source, photo: int | None) -> bool:
        """Whether there is such a picture."""
        return source in self._live or self.find(source, photo) is not None

    def release(self) -> None:
        """Give back what is shared with CUDA."""
        for image in self._images.values():
            image.release()
        self._images.clear()
        self._live.clear()

    def find(self, source: Source, photo: int | None) -> tuple[PhotoTextures, int] | None:
        """Where a still picture is; None if it is not there, or for a render."""
        if source == "photo":
            there = photo is not None and 0 <= photo < len(self.photos.photos)
            return (self.photos, photo) if there and photo is not None else None
        given = self._given.get(source)
        return (given, 0) if given is not None and given.photos else None

    def side(self, source: Source, photo: int | None) -> Side | None:
        if source in self._live:
            return self._live[source]
        found = self.find(source, photo)
        if found is None:
            return None
        textures, index = found
        cutout = textures.cutout(index) * (1 if source == "photo" else 2)
        return Side(textures.texture(index), textures.photos[index].camera, False, cutout)

    def picture(self, source: Source, photo: int | None) -> Photo | None:
        """The picture itself, for reading its pixels."""
        found = self.find(source, photo)
        return None if found is None else found[0].photos[found[1]]


def shown_sides(options: ViewOptions, stills: Stills) -> tuple[Source, Source | None]:
    """What is really compared: what is not there falls back to the render, and to nothing."""

    def there(source: Source) -> bool:
        return source in ("render", "effects") or stills.there(source, options.photo)

    left: Source = options.left if there(options.left) else "render"
    return left, options.right if there(options.right) else None


def unshifted(mode: str, u: float, v: float) -> tuple[float, float]:
    """Where in its picture a point of the view lies: "split" and "side" show parts beside each other."""
    if mode == "split":
        return u + (0.25 if u < 0.5 else -0.25), v
    if mode == "side":
        return 2 * u - (u >= 0.5), 2 * v - 0.5
    return u, v


def set_sides(
    program: Program,
    left: Side,
    right: Side | None,
    camera: Camera,
    exposure: float,
    whole: Camera | None = None,
) -> None:
    """Textures and placements of both pictures into a program with common/sides.glsl.

    Args:
        whole: the camera of the picture that `camera` sees a tile of.
    """
    for name, unit, side in (("left", LEFT_UNIT, left), ("right", RIGHT_UNIT, right)):
        if side is None:
            continue
        side.texture.use(unit)
        program.set(f"u_{name}", unit)
        scale_x, scale_y, x, y = placement(whole or camera, side.camera)
        left_edge, low_edge, width, height = window_of(camera, whole or camera)
        place = (scale_x * width, scale_y * height, x + scale_x * left_edge, y + scale_y * low_edge)
        program.set(f"u_{name}_placement", place)
        program.set(f"u_{name}_cutout", side.cutout)
    program.set("u_still_gain", float(2.0**exposure))


def side_defines(left: Side, right: Side | None) -> list[str]:
    """LEFT_STILL, RIGHT and RIGHT_STILL."""
    out = [] if left.live else ["LEFT_STILL"]
    if right is not None:
        out += ["RIGHT"] if right.live else ["RIGHT", "RIGHT_STILL"]
    return out


class PairReader:
    """Reads two pictures back as they are compared."""

    def __init__(self, resources: Resources, programs: ProgramCache):
        self._resources = resources
        self._programs = programs

    def read(
        self,
        targets: Targets,
        left: Side,
        right: Side,
        coverage: moderngl.Texture,
        camera: Camera,
        background: tuple[float, float, float],
        behind: bool,
        exposure: float = 0.0,
        whole: Camera | None = None,
    ) -> Pair:
        """Both over the same background. Waits for the GPU.

        Args:
            coverage: of the renders, in alpha.
            background: linear, what belongs behind pictures that have none.
            behind: renders have none.
            exposure: stops, of the still pictures; renders have it.
            whole: the camera of the picture that `camera` sees a tile of.
        """
        textures = [self._resources.texture(targets.size, 4, dtype="f4") for _ in range(2)]
        fbo = self._resources.framebuffer(textures)
        defines = (*side_defines(left, right), *(["BEHIND"] if behind else []))
        program = self._programs.get("fullscreen.vert", "pair.frag", defines)
        fbo.use()
        set_sides(program, left, right, camera, exposure, whole)
        coverage.use(COVERAGE_UNIT)
        program.set("u_coverage", COVERAGE_UNIT)
        program.set("u_behind", background)
        self._programs.draw_fullscreen(program)
        width, height = targets.size
        data = [
            np.frombuffer(fbo.read(components=4, attachment=i, dtype="f4", alignment=1), np.float32)
            for i in range(2)
        ]
        self._resources.release(fbo, *textures)
        first, second = (values.reshape(height, width, 4) for values in data)
        return Pair(first[..., :3].copy(), second[..., :3].copy(), first[..., 3].copy())
