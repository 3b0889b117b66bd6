"""Ambient occlusion from the depth buffer: corners and contacts get less of the surroundings' light.

Samples of a hemisphere around the normal are compared with the depth buffer. A sample occludes by
how far it lies behind what the buffer shows there, in radii, through a smooth ramp; what lies more
than a radius in front or behind counts less, and nothing from two radii on. Samples are the same
in all pixels, turned by one of sixteen angles; a blur over 4 x 4 pixels of the same surface mixes
the angles. At half size, occlusion and blur run on every second pixel, and the rest is
interpolated along surfaces. The formula is with `ambient_occlusion` in studio.core.ops.ssao.

Occlusion dims the environment's light, in diffuse reflection as it is and in specular reflection
by roughness and view; lamps have shadows of their own.

Gradients reach depth and normal of a pixel, the depth of what occludes it, radius and strength.
When an occluder's silhouette moves, the taps that see it change from one surface to another; that
difference is part of the gradient, right on average over sub-pixel positions. Which pixels a tap
reads is a discrete choice between which depth is interpolated. Not seen: what is behind the first
surface or outside the picture, where the border's depth stands in.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from studio.core.effects.effect import Effect, Pass, Prepared, Surroundings
from studio.core.gbuffer import Frame
from studio.core.ops.halves import spread
from studio.core.ops.ssao import ambient_occlusion, rotations, sample_offsets
from studio.core.params import Param, ParamSet

MOST_SAMPLES = 32
"""Length of the table of samples in the shader."""


def apply(frame: Frame, params: ParamSet) -> dict[str, Tensor]:
    """Share of the surroundings' light that reaches each covered pixel.

    Args:
        frame: with depth, soft_depth, edge_depth and normal.
    Returns:
        ao: [N, H, W, 1], 1 where nothing occludes or nothing is.
    Gradients:
        To: depth, soft_depth, normal, radius, strength.
    Reference:
        See studio.core.ops.ssao.
    """
    half = bool(params["half_resolution"])
    ao = ambient_occlusion(
        frame["depth"],
        frame["soft_depth"],
        frame["edge_depth"],
        frame["normal"],
        frame.cameras.world_to_view,
        frame.lens(),
        frame.value(params, "radius"),
        frame.value(params, "strength"),
        params["bias"],
        params["softness"],
        int(params["samples"]),
        half,
    )
    if half:
        covered = frame["depth"] > 0.0
        # A pixel's place is its own surface's: it does not change hands where a silhouette passes.
        place = torch.where(covered, frame["depth"], frame["soft_depth"].detach())
        ao = torch.where(covered, spread(ao, place, frame["normal"]), 1.0)
    return {"ao": ao}


@cache
def _prepared(samples: int) -> Prepared:
    offsets = np.zeros((MOST_SAMPLES, 3), np.float32)
    offsets[:samples] = sample_offsets(samples)
    return Prepared(uniforms={"taps": samples, "offsets": offsets, "rotations": rotations()})


def prepare(surroundings: Surroundings, params: ParamSet) -> Prepared:
    """The tables of samples and of their turns, for the shader."""
    return _prepared(int(params["samples"]))


EFFECT = Effect(
    name="ssao",
    stage="light",
    order=20,
    reads=("depth", "soft_depth", "edge_depth", "normal"),
    writes=("ao",),
    params=(
        Param(
            "radius",
            0.3,
            low=0.001,
            high=3.0,
            step=0.01,
            log=True,
            help="How far around a point occluders count, in units of the scene",
            differentiable=True,
        ),
        Param(
            "strength",
            1.0,
            low=0.0,
            high=4.0,
            step=0.05,
            help="How dark occluded places are; 1 is what was counted",
            differentiable=True,
        ),
        Param(
            "bias",
            0.05,
            low=0.0,
            high=0.5,
            step=0.01,
            unit="radii",
            help="Depth differences below this do not occlude",
        ),
        Param(
            "softness",
            0.3,
            low=0.25,
            high=1.0,
            step=0.05,
            unit="radii",
            help="Depth difference from none to full occlusion by one sample",
        ),
        Param(
            "samples",
            "16",
            kind="choice",
            choices=("8", "16", "32"),
            help="Depths looked up per pixel",
        ),
        Param(
            "half_resolution",
            False,
            kind="bool",
            help="Work on every second pixel of every second row: three times faster, less fine",
        ),
    ),
    apply=apply,
    help="Ambient occlusion from the depth buffer",
    citations=(
        "Mittring 2007, Finding Next Gen: CryEngine 2",
        "Bavoil and Sainz 2008, Screen Space Ambient Occlusion",
        "Duff et al. 2017, Building an Orthonormal Basis, Revisited",
        "Schlick 1994, Fast Alternatives to Perlin's Bias and Gain Functions",
        "Kopf et al. 2007, Joint Bilateral Upsampling",
    ),
    enabled=False,
    draft={"half_resolution": True, "samples": "8"},
    passes=(
        Pass("occlude", writes=("occluded",), size=1, half=True),
        Pass("blur", writes=("blurred",), size=1, half=True, when="half_resolution"),
        Pass(),
    ),
    prepare=prepare,
)
