"""Screen-space reflections: what the picture itself shows of what a surface mirrors.

The direction of view is mirrored at the shading normal and followed through the depth buffer: a
straight segment on the screen, along which the inverse depth is linear, compared with the nearest
depth at up to `steps` places. Where it passes from before a surface to behind it, bisection and
two Newton steps on the bilinear inverse depth find the hit. Its colour comes from a pyramid of the
picture, at the level

    log2(1 + (2 alpha t f / z)^2) / 2

whose texels are as wide as the half of the GGX lobe that is nearest its axis, after the distance t
and seen at the depth z with the focal length f in pixels. The hit takes the place of the
environment's reflection:

    color + strength * weight * reflectance * (hit - reflection)

The weight goes smoothly to zero wherever a hit can be lost: towards the border of the picture, with
the difference between the ray's depth and that of the pixels it meets (thickness), for rays towards
the camera, which would see the backs of things, for grazing and for rough surfaces, and within
three pixels of the reflecting one. Where nothing is hit, the environment's reflection stays.

Gradients: the search has none and needs none, since the hit solves F(t) = 0 and moves by
-dF / F'. Through it the gradient reaches the reflected colour, the roughness, the normal and the
depth of the reflector, the depth of what it reflects, the reflectance and the environment's
reflection. Which surface a ray meets is discontinuous. A reflection ends where the surface ends on
the screen, where rays graze it, or, for rays that enter behind it, with the thickness; how these
ends move is part of the gradient, on average over the positions of outlines within their pixels.
What the picture does not show (backs, what is hidden or outside) is not reflected.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from torch import Tensor

from studio.core.effects.effect import Effect, Pass, Prepared, Surroundings
from studio.core.gbuffer import Frame
from studio.core.ops.halves import spread
from studio.core.ops.ssr import LEVELS, March, reflected_radiance
from studio.core.params import Param, ParamSet

MARGIN = 2.0
"""Pixels by which the scene's box is enlarged on the screen: views are jittered."""


def apply(frame: Frame, params: ParamSet) -> dict[str, Tensor]:
    """Colour with reflections of the picture instead of the environment's, where there are any.

    Args:
        frame: with color, reflectance, reflection [N, H, W, 3], depth, normal,
            swept_depth, edge_depth, perceptual_roughness.
    Returns:
        color: [N, H, W, 3] linear.
    Gradients:
        To: all channels read but edge_depth, and strength; see studio.core.ops.ssr.
    Reference:
        See studio.core.ops.ssr.
    """
    color, depth, normal = frame["color"], frame["depth"], frame["normal"]
    far = frame.cameras.far
    depth = torch.where(depth > 0, depth, far[:, None, None, None])
    half = bool(params["half_resolution"])
    seen = reflected_radiance(
        color.clamp(max=float(params["firefly_limit"])),
        depth,
        normal,
        frame["perceptual_roughness"],
        frame.cameras.world_to_view,
        frame.lens(),
        far,
        March(
            steps=params["steps"],
            bisections=params["bisections"],
            thickness=float(params["surface_thickness"]),
            edge=float(params["edge_fade"]),
            roughness=float(params["roughness_limit"]),
            stride=2 if half else 1,
        ),
        frame["swept_depth"],
        frame["edge_depth"],
    )
    if half:
        seen = spread(seen, depth, normal)
    hidden = seen[..., 3:] * frame["reflection"]
    strength = frame.value(params, "strength")
    return {"color": color + strength * frame["reflectance"] * (seen[..., :3] - hidden)}


def prepare(around: Surroundings, params: ParamSet) -> Prepared:
    """Where on the screen the scene is, beyond which no ray needs to be followed."""
    corners = np.array([[*corner, 1.0] for corner in product(*np.transpose(around.bounds))])
    seen = corners @ around.world_to_view.T
    nearest = max(-float(seen[:, 2].max()), 1e-6)
    low, high = np.zeros(2), np.array(around.size, np.float64)
    if nearest > 1e-6:  # the whole box is before the camera
        clip = seen @ around.view_to_clip.T
        pixels = (clip[:, :2] / clip[:, 3:] + 1.0) / 2.0 * around.size
        low, high = pixels.min(axis=0) - MARGIN, pixels.max(axis=0) + MARGIN
    return Prepared({"box": np.concatenate([low, high - low]), "nearest": nearest})


EFFECT = Effect(
    name="ssr",
    stage="screen",
    reads=(
        "color",
        "reflectance",
        "reflection",
        "depth",
        "swept_depth",
        "edge_depth",
        "normal",
        "perceptual_roughness",
    ),
    writes=("color",),
    params=(
        Param(
            "strength",
            1.0,
            low=0.0,
            high=2.0,
            step=0.05,
            help="How much of the reflections is added; 1 is physical",
            differentiable=True,
        ),
        Param(
            "steps",
            64,
            kind="int",
            low=8,
            high=256,
            step=8,
            help="Places at which a ray is compared with the depth; fewer miss thin things",
        ),
        Param(
            "bisections",
            6,
            kind="int",
            low=0,
            high=12,
            step=1,
            help="Halvings of the step in which a ray meets a surface",
        ),
        Param(
            "surface_thickness",
            0.1,
            low=0.01,
            high=0.5,
            step=0.01,
            help="How deep surfaces go, as a part of their distance; less lets rays pass behind them",
        ),
        Param(
            "edge_fade",
            0.1,
            low=0.01,
            high=0.5,
            step=0.01,
            help="Part of the picture over which reflections fade out towards its border",
        ),
        Param(
            "roughness_limit",
            0.8,
            low=0.1,
            high=1.0,
            step=0.05,
            help="From this roughness on nothing but the environment is reflected",
        ),
        Param(
            "firefly_limit",
            20.0,
            low=0.1,
            high=1000.0,
            step=1.0,
            log=True,
            help="Greatest radiance that is reflected, against flickering highlights",
        ),
        Param(
            "half_resolution",
            False,
            kind="bool",
            help="Follow rays for every second pixel each way; four times faster",
        ),
    ),
    apply=apply,
    prepare=prepare,
    help="Reflections of what is in the picture, sharp or glossy",
    citations=(
        "McGuire and Mara 2014, Efficient GPU Screen-Space Ray Tracing",
        "Stachowiak 2015, Stochastic Screen-Space Reflections",
        "Walter et al. 2007, Microfacet Models for Refraction through Rough Surfaces",
    ),
    order=20,
    enabled=False,
    draft={"half_resolution": True, "steps": 24, "bisections": 4},
    passes=(
        *(Pass(f"level{i}", (f"level{i}",), shrink=i) for i in range(1, LEVELS)),
        Pass("trace", ("trace",), half=True),
        Pass("main", adds=True),
    ),
)
