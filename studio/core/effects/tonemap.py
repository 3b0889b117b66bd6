"""Exposure, tone curve and gamma; the output stays linear light for the display to encode.

Every curve is colour matrix, curve of each channel, colour matrix; "neutral" alone looks at the
channels together. Curves may leave 0..1: a clamp would end the gradient of what is too bright.

- linear: nothing but exposure; matches photos.
- aces: Narkowicz's fit of one curve to the ACES filmic look.
- aces_fit: Hill's fit of the reference and output transform, with its change of primaries: bright
  colours lose saturation.
- agx: Sobotka's AgX in Wrensch's polynomial: a logarithm over 16.5 stops, then a sigmoid; the
  brightest colours go to white.
- neutral: Khronos PBR Neutral: colours below 0.8 come out as they are, minus a Fresnel-like offset.

Gamma is applied to linear light after the curve: the result to the power 1 / gamma, with a straight
toe below 1e-4 that keeps the slope finite.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from studio.core.effects.effect import Effect, Prepared, Surroundings
from studio.core.gbuffer import Frame
from studio.core.params import Param, ParamSet

CURVES = ("linear", "aces", "aces_fit", "neutral", "agx")

TOE = 1e-4
"""Below, gamma is a straight line."""

_MATRICES = {
    # Hill 2016: sRGB to the RRT's saturated working space, and its ODT back to sRGB.
    "aces_fit": (
        ((0.59719, 0.35458, 0.04823), (0.07600, 0.90834, 0.01566), (0.02840, 0.13383, 0.83777)),
        ((1.60475, -0.53108, -0.07367), (-0.10208, 1.10813, -0.00605), (-0.00327, -0.07276, 1.07602)),
    ),
    # Wrensch 2023: AgX's inset; the outset is its inverse.
    "agx": (
        (
            (0.842479062253094, 0.0784335999999992, 0.0792237451477643),
            (0.0423282422610123, 0.878468636469772, 0.0791661274605434),
            (0.0423756549057051, 0.0784336, 0.879142973793104),
        ),
        None,
    ),
}

AGX_STOPS = (-12.47393, 4.026069)
"""Stops of light that AgX maps to 0 and 1."""
AGX_SIGMOID = (-0.00232, 0.1191, 0.4298, -6.868, 31.96, -40.14, 15.5)
"""Coefficients of Wrensch's polynomial, the constant first."""


@cache
def matrices(curve: str) -> tuple[np.ndarray, np.ndarray]:
    """[3, 3] into and out of the primaries in which a curve works."""
    into, out = _MATRICES.get(curve, (np.eye(3), np.eye(3)))
    into = np.asarray(into, np.float64)
    return into, np.linalg.inv(into) if out is None else np.asarray(out, np.float64)


def aces(x: Tensor) -> Tensor:
    """Filmic curve of display-linear values: 0 -> 0, large -> 1.

    Reference:
        Narkowicz 2015, "ACES Filmic Tone Mapping Curve"; not clamped, the curve stays below
        1.04 by itself and a clamp would end the gradient of bright pixels.
    """
    return (x * (2.51 * x + 0.03)) / (x * (2.43 * x + 0.59) + 0.14)


def aces_fit(x: Tensor) -> Tensor:
    """Hill's fit of RRT and ODT, between the two matrices of `aces_fit`."""
    return (x * (x + 0.0245786) - 0.000090537) / (x * (0.983729 * x + 0.4329510) + 0.238081)


def agx(x: Tensor) -> Tensor:
    """AgX's sigmoid over the logarithm of light, between its two matrices; ends in 0..1, encoded."""
    low, high = AGX_STOPS
    t = ((x.clamp(min=2.0**low).log2() - low) / (high - low)).clamp(max=1.0)
    out = torch.full_like(t, AGX_SIGMOID[-1])
    for coefficient in AGX_SIGMOID[-2::-1]:
        out = out * t + coefficient
    return out


def neutral(x: Tensor) -> Tensor:
    """Khronos PBR Neutral of [..., 3] colours.

    Reference:
        Khronos 2024, "Khronos PBR Neutral Tone Mapper"; start of compression 0.8, desaturation 0.15.
    """
    least = x.amin(dim=-1, keepdim=True)
    offset = torch.where(least < 0.08, least - 6.25 * least * least, torch.full_like(least, 0.04))
    color = x - offset
    peak = color.amax(dim=-1, keepdim=True)
    start = 0.8 - 0.04
    room = 1.0 - start
    above = peak.clamp(min=start)
    pressed = 1.0 - room * room / (above + room - start)
    grey = 1.0 - 1.0 / (0.15 * (above - pressed) + 1.0)
    return torch.where(peak < start, color, torch.lerp(color * (pressed / above), pressed, grey))


def toned(color: Tensor, curve: str) -> Tensor:
    """[..., 3] linear light through a curve; negative light counts as none, but for linear."""
    if curve == "linear":
        return color
    into, out = (torch.as_tensor(m, dtype=color.dtype, device=color.device) for m in matrices(curve))
    x = color.clamp(min=0.0)
    if curve == "aces":
        return aces(x)
    if curve == "neutral":
        return neutral(x)
    if curve == "aces_fit":
        return aces_fit(x @ into.T) @ out.T
    return (agx(x @ into.T) @ out.T).clamp(min=0.0) ** 2.2


def power(x: Tensor, gamma: Tensor) -> Tensor:
    """x to the power 1 / gamma, a straight line through 0 below TOE."""
    exponent = 1.0 / gamma
    return torch.where(x < TOE, x * TOE ** (exponent - 1.0), x.clamp(min=TOE) ** exponent)


def apply(frame: Frame, params: ParamSet) -> dict[str, Tensor]:
    """Colour times 2^exposure through the curve and gamma.

    Args:
        frame: with color [N, H, W, 3], antialiased, background included.
    Returns:
        color: [N, H, W, 3] display-linear; sRGB encoding happens where it is shown or saved.
    Gradients:
        To: color, exposure, gamma. None where AgX is black or white, and below zero.
    """
    color = toned(frame["color"] * 2.0 ** frame.value(params, "exposure"), params["curve"])
    if params.is_default("gamma") and not isinstance(params["gamma"], Tensor):
        return {"color": color}
    return {"color": power(color, frame.value(params, "gamma"))}


def prepare(surroundings: Surroundings, params: ParamSet) -> Prepared:
    """The curve's numbers, which stand here alone."""
    into, out = (np.eye(4) for _ in range(2))
    into[:3, :3], out[:3, :3] = matrices(params["curve"])
    return Prepared(
        uniforms={
            "into": into,
            "out_of": out,
            "agx_stops": np.array(AGX_STOPS),
            "agx_sigmoid": np.array(AGX_SIGMOID)[:, None],
            "toe": TOE,
        },
        defines=(f"CURVE {CURVES.index(params['curve'])}", *(["GAMMA"] if params["gamma"] != 1.0 else [])),
    )


def idle(params: ParamSet) -> bool:
    """Whether the picture stays as it is."""
    return params["curve"] == "linear" and params["exposure"] == 0.0 and params["gamma"] == 1.0


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
            choices=CURVES,
            titles=("Linear", "ACES (Narkowicz)", "ACES (Hill)", "Khronos PBR Neutral", "AgX"),
            help="Linear matches photos; the others roll off highlights like film",
        ),
        Param(
            "gamma",
            1.0,
            low=0.2,
            high=4.0,
            step=0.05,
            help="Above 1 lifts the shadows, below 1 deepens them",
            differentiable=True,
        ),
    ),
    apply=apply,
    help="Exposure, tone curve and gamma",
    citations=(
        "Narkowicz 2015, ACES Filmic Tone Mapping Curve",
        "Hill 2016, ACESFitted in Pettineo's BakingLab",
        "Sobotka 2022, AgX; polynomial of Wrensch 2023, Minimal AgX Implementation",
        "Khronos Group 2024, Khronos PBR Neutral Tone Mapper",
    ),
    order=100,
    prepare=prepare,
    idle=idle,
)
