"""How the viewport shows the scene, and what it answers about a pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from studio.core.channels import aovs

Mode = Literal["render", "target", "wipe", "split", "side", "difference", "flicker"]
Source = Literal["render", "effects", "photo", "diff", "reference", "a", "b"]
Error = Literal["absolute", "squared", "relative", "map"]
Background = Literal["studio", "scene", "photo"]

MODES: tuple[Mode, ...] = get_args(Mode)
SOURCES: tuple[Source, ...] = get_args(Source)
STILLS: tuple[Source, ...] = ("diff", "reference", "a", "b")
"""Pictures that somebody gives the viewport (Viewport.set_still)."""

ERRORS: tuple[Error, ...] = get_args(Error)
AOVS = aovs()
"""Channels that the viewport shows, in menu order; keys 1 to 8 show the first eight."""


@dataclass(frozen=True)
class ViewOptions:
    """Everything about a picture that is neither scene nor camera.

    Attributes:
        mode: how two pictures are compared; "render" is the left one alone, "target" the right
            one. Without a right one it is always "render".
        left, right: what is compared: the "render", the render with set B for "effects"
            (Viewport.set_other_effects), the "photo", or a still picture (Viewport.set_still):
            of the differentiable renderer for "diff", of a path tracer for "reference", or one
            that was kept as "a" or "b". A left one that is not there is the render.
        aov: the channel shown, or an alias of one (see studio.core.channels); color is the picture.
        photo: index of the target photo, or None.
        wipe: where the divider stands, 0..1 from the left.
        flicker: phase 0..1; the right picture shows in the second half.
        overlay: opacity of the photo laid over the render, 0..1.
        error: what "difference" shows: the mean "absolute" error of sRGB values, the "squared"
            one, the absolute one "relative" to the right picture's (linear) values, or the "map" of
            Viewport.set_error_map.
        error_range: error that reaches the top of the colour map.
        clipping: mark pixels brighter than the screen shows red, and blue those that are black.
        background: grey studio gradient, the scene's own colour, or the photo.
        grid, axes: ground grid with a soft contact shadow; its coloured axis lines.
        frusta: cameras of the photos as thin pyramids; the one of `photo` in the accent colour.
        thumbnails: the frusta carry their photos.
        aov_map: colour map of channels of one number (see studio.gl.colormap); "" is their own look.
        aov_range: what those are shown between; None is 0 to 1, or for depth what the scene has.
        wireframe: edges over the surface.
        normals: vertex normals as lines.
        outline: contour around the selected part.
        normal_maps: bend normals by the material's normal texture.
        exposure: stops, applied to the linear colour before the tone map.
        theme: dark or light studio background and grid.
        resolution_scale: (0, 1]; the texture has that share of the pixels each way and is
            stretched with a linear filter when drawn. For moving cameras on slow machines.
        draft: effects run as their cheaper drafts, and large meshes are drawn by stand-ins of few
            triangles; for moving cameras on slow machines, too.
        samples: jittered frames that a still picture accumulates, 1..64.
        ui_scale: size of one interface pixel (the DPI factor); line widths follow.
    """

    mode: Mode = "render"
    left: Source = "render"
    right: Source = "photo"
    aov: str = "color"
    photo: int | None = None
    wipe: float = 0.5
    flicker: float = 0.0
    overlay: float = 0.0
    error: Error = "absolute"
    error_range: float = 0.25
    clipping: bool = False
    background: Background = "studio"
    grid: bool = True
    axes: bool = True
    frusta: bool = True
    thumbnails: bool = True
    aov_map: str = ""
    aov_range: tuple[float, float] | None = None
    wireframe: bool = False
    normals: bool = False
    outline: bool = True
    normal_maps: bool = True
    exposure: float = 0.0
    theme: Literal["dark", "light"] = "dark"
    resolution_scale: float = 1.0
    draft: bool = False
    samples: int = 8
    ui_scale: float = 1.0


PARITY = ViewOptions(
    background="scene",
    grid=False,
    axes=False,
    frusta=False,
    thumbnails=False,
    outline=False,
    samples=1,
)
"""The picture that the differentiable renderer also draws."""


@dataclass(frozen=True, eq=False)
class PixelInfo:
    """What lies under one pixel.

    Attributes:
        position, normal: [3] float32, world space.
        albedo: [3] float32, linear.
        roughness: perceptual.
        depth: along the camera's -Z, world units.
        part: index of the mesh in the scene.
        triangle: index of the face in that mesh, if it was asked for.
    """

    position: np.ndarray
    normal: np.ndarray
    albedo: np.ndarray
    roughness: float
    metallic: float
    depth: float
    part: int
    triangle: int | None
