"""Exposure and tone curve; the output stays linear light for the display to encode."""

from __future__ import annotations

import torch
from torch import Tensor

from studio.core.effects.effect import Effect
from studio.core.gbuffer import Frame
from studio.core.params import Param, ParamSet


def aces(x: Tensor) -> Tensor:
    """Filmic curve of display-linear values: 0 -> 0, large -> 1.

    Reference:
        Narkowicz 2015, "ACES Filmic Tone Mapping Curve"; not clamped, the curve stays below
        1.04 by itself and a clamp would end the gradient of bright pixels.
    """
    x = x.clamp(min=0.0)
    return (x * (2.51 * x + 0.03)) / (x * (2.43 * x + 0.59) + 0.14)


def apply(frame: Frame, params: ParamSet) -> dict[str, Tensor]:
    """Colour times 2^exposure through the curve.

    Args:
        frame: with color [N, H, W, 3], antialiased, background included.
    Returns:
        color: [N, H, W, 3] display-linear; sRGB encoding happens where it is shown or saved.
    Gradients:
        To: color, exposure.
    """
    color = frame["color"]
    exposure = torch.as_tensor(params["exposure"], dtype=color.dtype, device=color.device)
    exposed = color * 2.0**exposure
    return {"color": aces(exposed) if params["curve"] == "aces" else exposed}


EFFECT = Effect(
    name="tonemap",
    stage="post",
    reads=("color",),
    writes=("color",),
    params=(
        Param(
            "exposure",
            0.0,
            low=-10.0,
            high=10.0,
            step=0.1,
            unit="stops",
            help="Brightness of the picture; each stop doubles it",
            differentiable=True,
        ),
        Param(
            "curve",
            "linear",
            kind="choice",
            choices=("linear", "aces"),
            help="Linear matches photos; ACES rolls off highlights like film",
        ),
    ),
    apply=apply,
    help="Exposure and tone curve",
    citations=("Narkowicz 2015, ACES Filmic Tone Mapping Curve",),
    order=100,
)
