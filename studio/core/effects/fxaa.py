"""Fast approximate antialiasing: stairs of edges are smoothed in the finished picture.

Where the contrast around a pixel is high, the edge's direction is estimated, the edge is followed
to both its ends (at most 12 pixels), and the pixel is mixed with its neighbour across the edge by
the place it has between them. Pixels that stand out alone are blurred a little.

Brightness is the square root of luma, so it works after the tone map as well as without one. The
search jumps and carries no gradient; colour does, through the mixture that was chosen. The
differentiable renderer antialiases silhouettes exactly before this: there it finds little to do but
on edges inside textures.
"""

from __future__ import annotations

from torch import Tensor

from studio.core.effects.effect import Effect, Pass, Prepared, Surroundings
from studio.core.gbuffer import Frame
from studio.core.ops.fxaa import REACH, fxaa
from studio.core.params import Param, ParamSet


def apply(frame: Frame, params: ParamSet) -> dict[str, Tensor]:
    """Colour with the stairs of edges smoothed.

    Args:
        frame: with color [N, H, W, 3].
    Returns:
        color: [N, H, W, 3].
    Gradients:
        To: color, with the mixture as it was chosen.
    Reference:
        See studio.core.ops.fxaa.
    """
    values = (params[name] for name in ("threshold", "threshold_dark", "subpixel"))
    return {"color": fxaa(frame["color"], *values)}


def prepare(surroundings: Surroundings, params: ParamSet) -> Prepared:
    """How far the shader follows edges."""
    return Prepared({"reach": REACH})


EFFECT = Effect(
    name="fxaa",
    stage="post",
    reads=("color",),
    writes=("color",),
    params=(
        Param(
            "threshold",
            0.125,
            low=0.01,
            high=1.0,
            help="Contrast of an edge, relative to the brightest pixel",
        ),
        Param(
            "threshold_dark",
            0.0312,
            low=0.0,
            high=1.0,
            step=0.005,
            label="Threshold in the dark",
            help="Contrast below which nothing counts as an edge",
        ),
        Param("subpixel", 0.75, low=0.0, high=1.0, help="Blur of single pixels that stand out"),
    ),
    apply=apply,
    help="Smooths the stairs of edges in the finished picture",
    citations=("Lottes 2009, FXAA",),
    order=200,
    enabled=False,
    draft=None,
    passes=(Pass("edges", marks=True), Pass("main", mask="edges")),
    prepare=prepare,
)
