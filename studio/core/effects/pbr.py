"""Physically based direct shading. This is the effect to copy when you write another.

An effect is one file here and one shader of the same name in studio/shaders. It has

1. `EFFECT`: its name, its stage, the G-buffer channels it reads and writes, its Params. The
   panel, the uniforms, the saved settings, the command-line flags and the docs follow from
   the Params; the golden, parity and gradient tests run over whatever they find here.
2. a function from a Frame and checked parameters to the channels it writes. It is made of
   torch operations; where those are too slow, of a Warp kernel behind a function in
   studio/core/ops, as here.

Effects know the G-buffer, not one another and not the scene.
"""

from __future__ import annotations

from torch import Tensor

from studio.core.effects.effect import Effect
from studio.core.gbuffer import Frame
from studio.core.ops.shading import shade_metallic_roughness
from studio.core.params import Param, ParamSet


def apply(frame: Frame, params: ParamSet) -> dict[str, Tensor]:
    """Colour of covered pixels: GGX and Lambert under direct lights and an SH environment.

    All of it happens in the space the lights live in, so that a lamp that stays with the
    camera of a turntable is no special case.

    Args:
        frame: with rast, albedo, normal, position, perceptual_roughness, metallic.
    Returns:
        color: [N, H, W, 3] linear, 0 where nothing is.
    Gradients:
        To: the channels read, light vectors and radiance, sh, and the parameters.
        Not to: camera poses. Surfaces seen from behind are lit as their normal says.
    Reference:
        See studio.core.ops.shading and studio.core.kernels.brdf, term by term.
    """
    lights = frame.lights
    direct = 2.0 ** frame.value(params, "light_exposure")
    environment = 2.0 ** frame.value(params, "environment_exposure")
    color = shade_metallic_roughness(
        frame["rast"],
        frame["albedo"],
        frame["normal"],
        frame["position"],
        frame["perceptual_roughness"],
        frame["metallic"],
        frame.cameras.position,
        frame.world_to_light(),
        lights.kind,
        lights.vector,
        lights.radiance * direct,
        lights.sh * environment,
        frame.value(params, "specular_f0"),
    )
    return {"color": color}


EFFECT = Effect(
    name="pbr",
    stage="shade",
    reads=("rast", "albedo", "normal", "position", "perceptual_roughness", "metallic"),
    writes=("color",),
    params=(
        Param(
            "light_exposure",
            0.0,
            low=-10.0,
            high=10.0,
            step=0.1,
            unit="stops",
            help="Brightness of the direct lights; each stop doubles it",
            differentiable=True,
        ),
        Param(
            "environment_exposure",
            0.0,
            low=-10.0,
            high=10.0,
            step=0.1,
            unit="stops",
            help="Brightness of the environment; each stop doubles it",
            differentiable=True,
        ),
        Param(
            "specular_f0",
            0.04,
            low=0.0,
            high=0.2,
            step=0.005,
            label="Reflectance",
            help="Mirror reflectance of non-metals seen head-on; 0.04 is glass and plastic",
            differentiable=True,
        ),
    ),
    apply=apply,
    help="Metallic-roughness shading with GGX, direct lights and an environment",
    citations=(
        "Walter et al. 2007, Microfacet Models for Refraction through Rough Surfaces",
        "Heitz 2014, Understanding the Masking-Shadowing Function in Microfacet-Based BRDFs",
        "Schlick 1994, An Inexpensive BRDF Model for Physically-based Rendering",
        "Karis 2013, Real Shading in Unreal Engine 4",
        "Ramamoorthi and Hanrahan 2001, An Efficient Representation for Irradiance Environment Maps",
    ),
)
