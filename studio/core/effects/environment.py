"""Light from all around: an environment map, prefiltered for diffuse and glossy surfaces.

The map (an equirectangular picture of the sky, or the scene's spherical harmonics) is kept as an
octahedral one: the sphere folded into a square of 256 x 256 texels. For every level of roughness it
is averaged by the GGX lobe around the mirror direction, with the view along the normal (the split
sum). That average is a constant sparse matrix, so gradients reach every texel. A lookup is bilinear
in the map and linear in roughness between two levels. The lobe of roughness 1 is the cosine, so the
last level is irradiance over pi and serves diffuse light.

pbr takes both in place of its harmonics: `environment_diffuse` times the albedo,
`environment_specular` times the lobe's reflectance. Where nothing is, the map itself is seen.

Known errors of the split sum: highlights do not stretch towards the horizon at grazing angles, and
light from below the surface is not cut off in the lobe.
"""

from __future__ import annotations

import math
import weakref

import numpy as np
import torch
from torch import Tensor

from studio.core.effects.effect import Effect, Image, Pass, Prepared, Surroundings
from studio.core.gbuffer import Frame, LightTensors
from studio.core.ops.environment import environment_light
from studio.core.ops.prefilter import LEVELS, from_harmonics, prefilter
from studio.core.params import Param, ParamSet

_levels: list[tuple[weakref.ref[Tensor], int, Tensor]] = []
_image: list[tuple[weakref.ref[np.ndarray] | None, bytes, Image]] = []


_PLACES = np.array(
    [(roughness, size, 1 + sum(2 + s for _, s in LEVELS[:k])) for k, (roughness, size) in enumerate(LEVELS)],
    np.float32,
)
"""[L, 3] perceptual roughness, texels along a side and first row of each level in the atlas."""

_WIDTH, _HEIGHT = LEVELS[0][1] + 2, sum(size + 2 for _, size in LEVELS)


def levels_of(lights: LightTensors) -> Tensor:
    """[T, 3] the prefiltered map of the lights, kept as long as nobody changes the map."""
    if lights.levels is not None:
        return lights.levels
    source = lights.sh if lights.environment is None else lights.environment
    # What a recorded step reads must not go when somebody asks for another map.
    kept = not source.requires_grad and not (source.is_cuda and torch.cuda.is_current_stream_capturing())
    if kept:
        for known, version, levels in _levels:
            if known() is source and version == source._version:
                return levels
    levels = prefilter(from_harmonics(source) if lights.environment is None else source)
    if kept:
        _levels[:] = [(weakref.ref(source), source._version, levels)]
    return levels


def _turn(degrees: Tensor) -> Tensor:
    """[3, 3] rotation about +Y; positive turns the sky from +Z towards +X."""
    angle = degrees.reshape(()) * (math.pi / 180)
    c, s, zero = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle)
    one = torch.ones_like(angle)
    return torch.stack([c, zero, -s, zero, one, zero, s, zero, c]).view(3, 3)


def _lens_rays(frame: Frame) -> Tensor:
    """[N, 3, 3] takes (x, y, 1) in normalized device coordinates to a direction in the world."""
    lens = frame.lens()
    zero = torch.zeros_like(lens[:, 0])
    x = torch.stack([1 / lens[:, 0], zero, lens[:, 2] / lens[:, 0]], dim=1)
    y = torch.stack([zero, 1 / lens[:, 1], lens[:, 3] / lens[:, 1]], dim=1)
    z = torch.stack([zero, zero, -torch.ones_like(zero)], dim=1)
    return frame.cameras.world_to_view[:, :3, :3].transpose(1, 2) @ torch.stack([x, y, z], dim=1)


def apply(frame: Frame, params: ParamSet) -> dict[str, Tensor]:
    """Light of the environment at every pixel, before any occlusion.

    Args:
        frame: with rast, normal, position, perceptual_roughness.
    Returns:
        environment_diffuse: [N, H, W, 3] irradiance over pi around the normal.
        environment_specular: [N, H, W, 3] radiance in the lobe around the mirror direction.
        background: [N, H, W, 3] the map where nothing is; the frame's background if it is hidden.
    Gradients:
        To: the map's texels (or sh), normal, position, roughness, rotation, exposure. Along
        directions the slope is that of bilinear lookups, which jumps at texel centres.
        Not to: background_blur, camera poses.
    Reference:
        See studio.core.ops.prefilter and studio.core.ops.environment.
    """
    shown = "none"
    if params["show_background"]:
        shown = "all" if frame.has("alpha") else "empty"  # soft silhouettes let it through
    to_light = frame.world_to_light()[:, :3, :3].detach()  # cameras: see follow_cameras
    rotation = _turn(frame.value(params, "rotation")) @ to_light
    diffuse, specular, background = environment_light(
        frame["rast"],
        frame["normal"],
        frame["position"],
        frame["perceptual_roughness"],
        frame.cameras.position,
        rotation,
        rotation @ _lens_rays(frame),
        levels_of(frame.lights) * 2.0 ** frame.value(params, "exposure"),
        params["background_blur"],
        shown,
    )
    if shown == "none":
        background = frame.background.expand(diffuse.shape)
    return {"environment_diffuse": diffuse, "environment_specular": specular, "background": background}


def _framed(level: np.ndarray) -> np.ndarray:
    """[size + 2, size + 2, 3]: what lies beyond the border is at the other end of the same side."""
    framed = np.pad(level, ((1, 1), (1, 1), (0, 0)))
    framed[1:-1, 0], framed[1:-1, -1] = level[::-1, 0], level[::-1, -1]
    framed[0], framed[-1] = framed[1, ::-1], framed[-2, ::-1]
    return framed


def _atlas(levels: Tensor) -> Image:
    """All levels as one picture, one above the other from row 0 on, each in a frame of a texel."""
    parts = levels.split([size * size for _, size in LEVELS])
    atlas = np.zeros((_HEIGHT, _WIDTH, 4), np.float32)
    row = 0
    for part, (_, size) in zip(parts, LEVELS, strict=True):
        atlas[row : row + size + 2, : size + 2, :3] = _framed(part.view(size, size, 3).numpy())
        row += size + 2
    return Image((atlas,))


def prepare(surroundings: Surroundings, params: ParamSet) -> Prepared:
    """The prefiltered map as a texture, made again only when the lighting's map changed."""
    lighting = surroundings.lighting
    source = lighting.environment
    harmonics = b"" if source is not None else lighting.sh.tobytes()
    if not (_image and _image[0][1] == harmonics and (_image[0][0]() if _image[0][0] else None) is source):
        with torch.no_grad():
            atlas = _atlas(levels_of(LightTensors.from_lighting(lighting)))
        _image[:] = [(None if source is None else weakref.ref(source), harmonics, atlas)]
    angle = math.radians(float(params["rotation"]))
    turn = np.eye(4)
    turn[0, 0] = turn[2, 2] = math.cos(angle)
    turn[2, 0] = math.sin(angle)
    turn[0, 2] = -turn[2, 0]
    if lighting.fixed_to == "camera":
        turn[:3, :3] = turn[:3, :3] @ surroundings.world_to_view[:3, :3]
    return Prepared(
        uniforms={
            "levels": _PLACES,
            "map_scale": (1 / _WIDTH, 1 / _HEIGHT),
            "world_to_map": turn,
            "scale": 2.0 ** float(params["exposure"]),
        },
        images={"environment_map": _image[0][2]},
        defines=("BLURRED",) if float(params["background_blur"]) > 0.0 else (),
    )


EFFECT = Effect(
    name="environment",
    stage="light",
    reads=("rast", "normal", "position", "perceptual_roughness"),
    writes=("environment_diffuse", "environment_specular", "background"),
    params=(
        Param(
            "rotation",
            0.0,
            low=-180.0,
            high=180.0,
            step=1.0,
            unit="deg",
            help="Turns the sky about the vertical",
            differentiable=True,
        ),
        Param(
            "exposure",
            0.0,
            low=-10.0,
            high=10.0,
            step=0.1,
            unit="stops",
            help="Brightness of the sky; each stop doubles it",
            differentiable=True,
        ),
        Param("show_background", True, "bool", help="The sky is seen where nothing is"),
        Param(
            "background_blur",
            0.0,
            low=0.0,
            high=1.0,
            help="Roughness of the mirror in which the background seems to be seen",
        ),
    ),
    apply=apply,
    help="Light and background from an environment map, by split sum",
    citations=(
        "Karis 2013, Real Shading in Unreal Engine 4",
        "Walter et al. 2007, Microfacet Models for Refraction through Rough Surfaces",
        "Engelhardt and Dachsbacher 2008, Octahedron Environment Maps",
    ),
    order=0,
    enabled=False,
    passes=(
        Pass(writes=("environment_diffuse", "environment_specular")),
        Pass("background", writes=("background",), empty=True, when="show_background"),
    ),
    prepare=prepare,
)
