"""Glow around what is brighter than the picture can show.

What exceeds the threshold (with a soft knee) is halved five times by 2 x 2 means. On the way back
every size is the mean of its own light and the bilinearly enlarged next smaller one, so the glow is
a sum of ever wider tents. A part of it is added to the picture. Everything is linear but the
threshold, so gradients are exact.
"""

from __future__ import annotations

from torch import Tensor

from studio.core.effects.effect import Effect, Pass
from studio.core.gbuffer import Frame
from studio.core.ops.pyramid import doubled, pyramid
from studio.core.params import Param, ParamSet

LEVELS = 5


def bright(color: Tensor, threshold: Tensor, knee: Tensor) -> Tensor:
    """What of [..., 3] linear light exceeds the threshold, softly.

    The brightest channel's excess x - threshold becomes (x - threshold + knee)^2 / (4 knee) within
    `knee` of the threshold; the hue stays.
    """
    most = color.amax(dim=-1, keepdim=True)
    knee = knee.clamp(min=1e-4)
    ramp = (most - threshold + knee).clamp(min=0.0).minimum(2.0 * knee) ** 2 / (4.0 * knee)
    excess = (most - threshold).maximum(ramp)
    return color * (excess / most.clamp(min=1e-4))


def apply(frame: Frame, params: ParamSet) -> dict[str, Tensor]:
    """Colour plus its glow.

    Args:
        frame: with color [N, H, W, 3].
    Returns:
        color: [N, H, W, 3].
    Gradients:
        To: color, strength, threshold, knee.
    """
    color = frame["color"]
    light = bright(color.clamp(min=0.0), frame.value(params, "threshold"), frame.value(params, "knee"))
    _, *levels = pyramid(light, LEVELS + 1)
    glow = levels[-1]
    for level in reversed(levels[:-1]):
        glow = 0.5 * (level + doubled(glow, level.shape[1], level.shape[2]))
    glow = doubled(glow, color.shape[1], color.shape[2])
    return {"color": color + frame.value(params, "strength") * glow}


EFFECT = Effect(
    name="bloom",
    stage="post",
    reads=("color",),
    writes=("color",),
    params=(
        Param(
            "strength",
            0.2,
            low=0.0,
            high=2.0,
            help="Part of the glow that is added",
            differentiable=True,
        ),
        Param(
            "threshold",
            1.0,
            low=0.0,
            high=10.0,
            step=0.05,
            help="Light from which on things glow",
            differentiable=True,
        ),
        Param(
            "knee",
            0.5,
            low=0.0,
            high=5.0,
            help="How softly the glow begins, on either side of the threshold",
            differentiable=True,
        ),
    ),
    apply=apply,
    help="Glow around what is very bright",
    citations=("Jimenez 2014, Next Generation Post Processing in Call of Duty: Advanced Warfare",),
    order=50,
    enabled=False,
    passes=(
        *(Pass(f"down{i}", writes=(f"light{i}",), shrink=i) for i in range(1, LEVELS + 1)),
        *(Pass(f"up{i}", writes=(f"glow{i}",), shrink=i) for i in range(LEVELS - 1, 0, -1)),
        Pass("main"),
    ),
)
