"""Subsurface scattering: light that enters a surface leaves it a little elsewhere.

The diffuse light of surfaces with a `subsurface` is blurred in screen space, channel by channel,
since red travels furthest in skin: along rows, then along columns, by a mean of two Gaussians that
stops at other depths and other normals (studio.core.ops.sss has the formula). With the light
blurred before it meets the albedo (`post`) texture stays sharp; `both` lets half of the albedo
blur too, as measured skin does.

Where light comes through a thin part from behind (translucency), it adds for every light

    (1 - shadow) exp(-thickness / distance) radiance saturate(0.3 - n . l) albedo

with the thickness that shadows measures along the light's rays; without shadows there is none.
Only light that does not arrive directly counts, or the wrapped cosine would brighten lit surfaces.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from studio.core.effects.effect import Effect, Pass, Prepared, Surroundings
from studio.core.gbuffer import Frame
from studio.core.kernels.sss_loops import TAPS
from studio.core.ops.sss import SPLITS, scatter, scatter_half, tap_spacing, translucency
from studio.core.params import Param, ParamSet


def _taps(frame: Frame, distance: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """[N, 2] pixels per unit at depth 1 and [N, 2] int32 spacing of taps, for each camera."""
    cameras = frame.cameras
    size = (cameras.width, cameras.height)
    assert frame.surfaces is not None
    found = [
        tap_spacing(distance.detach().cpu().numpy(), frame.surfaces.bounds, view, clip, size, step)
        for view, clip in zip(cameras.world_to_view.cpu().numpy(), cameras.view_to_clip.cpu().numpy())
    ]
    pixels, spacing = (np.stack(values) for values in zip(*found))
    return torch.from_numpy(pixels).to(distance.device), torch.from_numpy(spacing).to(distance.device)


def _through(frame: Frame, distance: Tensor) -> Tensor:
    """[N, H, W, 3] light from behind; see `translucency`."""
    lights, to_light = frame.lights, frame.world_to_light()
    return translucency(
        frame["thickness"],
        frame["shadow"],
        frame["depth"],
        frame["normal"],
        frame.lens(),
        to_light @ torch.linalg.inv(frame.cameras.world_to_view),
        to_light,
        lights.kind,
        lights.vector,
        lights.radiance,
        lights.axis,
        lights.shape,
        distance,
    )


def apply(frame: Frame, params: ParamSet) -> dict[str, Tensor]:
    """Colour with scattered diffuse light.

    Args:
        frame: with color, irradiance, diffuse_albedo, depth, normal, subsurface; it takes
            thickness and shadow.
    Returns:
        color: [N, H, W, 3] linear.
    Gradients:
        To: the channels, distance, strength, translucency; radiance and vectors of the lights
        by translucency. Discontinuous in: which pixels scatter; see studio.core.ops.sss.
    Reference:
        See studio.core.ops.sss.
    """
    color, subsurface = frame["color"], frame["subsurface"]
    distance, strength = frame.value(params, "distance"), frame.value(params, "strength")
    weight = frame.value(params, "translucency")
    half = params["half_resolution"]
    out = (scatter_half if half else scatter)(
        color,
        frame["irradiance"],
        frame["diffuse_albedo"],
        frame["depth"],
        frame["normal"],
        subsurface,
        distance,
        strength,
        *_taps(frame, distance, 2 if half else 1),
        params["split"],
    )
    if frame.has("thickness") and frame.has("shadow"):
        through = _through(frame, distance)
        out = out + strength * weight * subsurface * frame["diffuse_albedo"] * through
    return {"color": out}


def prepare(around: Surroundings, params: ParamSet) -> Prepared:
    """The taps of the shader."""
    distance = np.array(params.as_dict()["distance"])
    step = 2 if params["half_resolution"] else 1
    pixels, spacing = tap_spacing(
        distance, around.bounds, around.world_to_view, around.view_to_clip, around.size, step
    )
    return Prepared({"pixels": pixels, "spacing": spacing, "taps": TAPS}, defines=around.light_defines)


EFFECT = Effect(
    name="sss",
    stage="screen",
    reads=("color", "irradiance", "diffuse_albedo", "depth", "normal", "subsurface"),
    writes=("color",),
    takes=("thickness", "shadow"),
    params=(
        Param(
            "distance",
            (0.05, 0.025, 0.015),
            kind="vec3",
            low=1e-3,
            high=2.0,
            step=0.005,
            unit="world units",
            help="How far red, green and blue light travels below the surface",
            differentiable=True,
        ),
        Param(
            "strength",
            1.0,
            low=0.0,
            high=2.0,
            help="How much of the light scatters, times the material's subsurface",
            differentiable=True,
        ),
        Param(
            "translucency",
            1.0,
            low=0.0,
            high=10.0,
            help="Light through thin parts from behind; needs the effect shadows",
            differentiable=True,
        ),
        Param(
            "split",
            "both",
            kind="choice",
            choices=SPLITS,
            titles=("Post-scatter", "Pre- and post-scatter", "Pre-scatter"),
            help="Where light meets the albedo: on its way out (texture stays sharp), both, or in",
        ),
        Param(
            "half_resolution",
            False,
            kind="bool",
            help="Blur every second pixel only: a quarter of the time",
        ),
    ),
    apply=apply,
    prepare=prepare,
    passes=(
        *(Pass(name, (name,), half=True) for name in ("light", "across", "down")),
        Pass("combine", adds=True),
    ),
    help="Light that scatters below the surface of skin, wax or marble",
    citations=(
        "d'Eon, Luebke and Enderton 2007, Efficient Rendering of Human Skin",
        "Jimenez, Whelan, Sundstedt and Gutierrez 2010, Real-Time Realistic Skin Translucency",
        "Jimenez et al. 2015, Separable Subsurface Scattering",
        "Mikkelsen 2010, Skin Rendering by Pseudo-Separable Cross Bilateral Filtering",
    ),
    order=10,
    enabled=False,
    draft={"half_resolution": True},
)
