"""Physically based direct shading. This is the effect to copy when you write another.

An effect is one file here and one shader of the same name in studio/shaders. It has

1. `EFFECT`: its name, its stage, the G-buffer channels it reads and writes, its Params. The
   panel, the uniforms, the saved settings, the command-line flags and the docs follow from
   the Params; the golden, parity and gradient tests run over whatever they find here.
2. a function from a Frame and checked parameters to the channels it writes. It is made of
   torch operations; where those are too slow, of a Warp kernel behind a function in
   studio/core/ops, as here.

Effects know the G-buffer, not one another and not the scene.

The surface is glTF's metallic-roughness one: GGX with height-correlated masking and Schlick's
Fresnel over a Lambertian base. A lobe of reflectance f0 returns f0 A + B of the light, two terms
fitted over view angle and roughness; what scatters more than once is added by the factor
1 + f0 (1 / (A + B) - 1), and what the dielectric lobe does not return feeds the base. Dielectric and
metal are mixed with a compensation each, so that a white surface in a white world stays white for
every roughness and metallic (within 1.5 % under direct light, exactly in the environment).

Directional, point and spot lights are evaluated; rectangles of light by linearly transformed
cosines, diffuse exact, glossy within .013 of the share that they fill, .0014 on average. The
environment comes from spherical harmonics, or from the light stage, which also says what of a light
is in shadow and what of the environment is occluded.

Limits: transparency, light through the surface, anisotropy and clear coat are not there.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from studio.core.effects.effect import Effect, Image, Prepared, Surroundings
from studio.core.gbuffer import Frame
from studio.core.ops.area import area_light, lobe_table
from studio.core.ops.shading import AREA, shade_metallic_roughness
from studio.core.params import Param, ParamSet


def apply(frame: Frame, params: ParamSet) -> dict[str, Tensor]:
    """Colour of covered pixels: GGX and Lambert under direct lights and an environment.

    All of it happens in the space the lights live in, so that a lamp that stays with the
    camera of a turntable is no special case.

    Args:
        frame: with rast, albedo, normal, position, perceptual_roughness, metallic; it takes
            occlusion, emissive, and what effects of the light stage made.
    Returns:
        color: [N, H, W, 3] linear, 0 where nothing is; and wanted ones of irradiance,
        diffuse_albedo, reflectance, reflection, as in studio.core.channels.
    Gradients:
        To: the channels read and taken, all of the lights, sh, and the parameters.
        Not to: camera poses. Surfaces seen from behind are lit as their normal says.
    Reference:
        See studio.core.ops.shading and studio.core.kernels.brdf, term by term.
    """
    lights = frame.lights
    brighter = 2.0 ** frame.value(params, "light_exposure")
    environment = 2.0 ** frame.value(params, "environment_exposure")
    wanted = tuple(name for name in EFFECT.offers if frame.wants(name))
    around = None
    if frame.has("environment_diffuse"):
        around = (frame["environment_diffuse"] * environment, frame["environment_specular"] * environment)
    out = shade_metallic_roughness(
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
        lights.radiance * brighter,
        lights.sh * environment,
        frame.value(params, "specular_f0"),
        lights.axis,
        lights.shape,
        frame["shadow"] if frame.has("shadow") else None,
        _occlusion(frame),
        around,
        _panels(frame),
        wanted,
    )
    if frame.has("emissive"):
        out["color"] = out["color"] + frame["emissive"]
    return {name: out[name] for name in ("color", *wanted)}


def _panels(frame: Frame) -> Tensor | None:
    """[N, H, W, 2 K] how large each of the K area lights looks to surface and lobe; None without any."""
    lights = frame.lights
    factors = [
        area_light(
            frame["rast"],
            frame["normal"],
            frame["position"],
            frame["perceptual_roughness"],
            frame.cameras.position,
            frame.world_to_light(),
            lights.vector[i],
            lights.axis[i],
            lights.right[i],
            lights.shape[i, 2:],
        )
        for i, kind in enumerate(lights.kinds)
        if kind == AREA
    ]
    if len(factors) < 2:
        return factors[0] if factors else None
    return torch.cat(factors, dim=-1)


def _occlusion(frame: Frame) -> Tensor | None:
    """[N, H, W, 1] part of the environment that arrives, or None for all of it."""
    names = [name for name in ("occlusion", "ao") if frame.has(name)]
    if len(names) == 2:
        return frame["occlusion"] * frame["ao"]
    return frame[names[0]] if names else None


@cache
def _lobe() -> Image:
    return Image((lobe_table(),))


def prepare(surroundings: Surroundings, params: ParamSet) -> Prepared:
    """The kinds of the lights, and the table that area lights look the lobe's shape up in."""
    lighting = surroundings.lighting
    area = any(light.kind == "area" for light in lighting.lights)
    return Prepared(
        uniforms={
            "light_gain": 2.0 ** float(params["light_exposure"]),
            "environment_gain": 2.0 ** float(params["environment_exposure"]),
        },
        images={"lobe": _lobe()} if area else {},
        defines=(
            *surroundings.light_defines,
            *(("LIGHTS_TURN",) if lighting.fixed_to == "camera" else ()),
        ),
    )


EFFECT = Effect(
    name="pbr",
    stage="shade",
    reads=("rast", "albedo", "normal", "position", "perceptual_roughness", "metallic"),
    writes=("color",),
    takes=("occlusion", "emissive", "environment_diffuse", "environment_specular", "shadow", "ao"),
    offers=("irradiance", "diffuse_albedo", "reflectance", "reflection"),
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
    prepare=prepare,
    help="Metallic-roughness shading with GGX, direct lights and an environment",
    citations=(
        "Walter et al. 2007, Microfacet Models for Refraction through Rough Surfaces",
        "Heitz 2014, Understanding the Masking-Shadowing Function in Microfacet-Based BRDFs",
        "Schlick 1994, An Inexpensive BRDF Model for Physically-based Rendering",
        "Kulla and Conty 2017, Revisiting Physically Based Shading at Imageworks",
        "Lagarde and de Rousiers 2014, Moving Frostbite to Physically Based Rendering",
        "Heitz et al. 2016, Real-Time Polygonal-Light Shading with Linearly Transformed Cosines",
        "Karis 2013, Real Shading in Unreal Engine 4",
        "Ramamoorthi and Hanrahan 2001, An Efficient Representation for Irradiance Environment Maps",
    ),
)
