"""Torch front of the shading kernel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from studio.core.errors import ShapeError
from studio.core.kernels import launcher, shade, shade_adjoint
from studio.core.ops.packing import empty_like_views
from studio.core.ops.pixels import flat, runs
from studio.core.scene.light import KINDS, MAX_LIGHTS, SH_COUNT

OUTPUTS = ("color", "irradiance", "diffuse_albedo", "reflectance", "reflection")
"""What the kernel writes; all but the first on request."""

AREA = KINDS.index("area")

_SURFACE = 5
"""Images that are always there; those after them may be missing."""

_IMAGES = 10

_PIXEL = 40.0
"""Nanoseconds of a pixel under a few lights on one core."""


class _Shade(torch.autograd.Function):
    """Images first (10, some of no pixels), then views, kind, lights, sh, f0."""

    @staticmethod
    def forward(ctx: Any, rast: Tensor, wanted: tuple[str, ...], *inputs: Tensor) -> tuple[Tensor, ...]:
        n, height, width, _ = rast.shape
        count, run = runs(n * height * width, width, rast.device, sums=False)
        head = [launcher.BEGIN, run, height * width]
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(rast, *inputs)
        out = [
            rast.new_zeros((n, height, width, 3) if name == "color" or name in wanted else (0, 0, 0, 3))
            for name in OUTPUTS
        ]
        images = [flat(t) for t in (rast, *inputs[:_IMAGES])]
        launcher.launch(
            shade.shade_forward,
            count,
            [*head, *images, *inputs[_IMAGES:], *[t.view(-1, 3) for t in out]],
            rast.device,
            limit=launcher.worth(_PIXEL * count * run),
        )
        return tuple(out)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        rast, *inputs = ctx.saved_tensors
        n, height, width, _ = rast.shape
        count, run = runs(n * height * width, width, rast.device)
        images, shared = inputs[:_IMAGES], inputs[_IMAGES:]
        image_grads = empty_like_views(images[:_SURFACE]) + [torch.zeros_like(t) for t in images[_SURFACE:]]
        sums = [torch.zeros_like(t) for t in shared[2:]]  # lights, sh, f0
        none = rast.new_zeros(0, 3)
        g_color = rast.new_zeros(*rast.shape[:3], 3) if grads[0] is None else grads[0]
        upstream = [g_color, *(none if g is None else g for g in grads[1:])]
        launcher.launch(
            shade_adjoint.shade_backward,
            count,
            [
                *(launcher.BEGIN, run, height * width),
                *[flat(t) for t in (rast, *images)],
                *shared,
                *[flat(t) for t in upstream],
                *[flat(t) for t in image_grads],
                *[launcher.Scatter(t) for t in sums],
            ],
            rast.device,
            limit=launcher.worth(2 * _PIXEL * count * run),
        )
        present = [g if len(g) else None for g in image_grads]
        return (None, None, *present, None, None, *sums)


def shade_metallic_roughness(
    rast: Tensor,
    albedo: Tensor,
    normal: Tensor,
    position: Tensor,
    perceptual_roughness: Tensor,
    metallic: Tensor,
    camera_position: Tensor,
    world_to_light: Tensor,
    light_kind: Tensor,
    light_vector: Tensor,
    light_radiance: Tensor,
    sh: Tensor,
    specular_f0: Tensor,
    light_axis: Tensor | None = None,
    light_shape: Tensor | None = None,
    visibility: Tensor | None = None,
    ao: Tensor | None = None,
    environment: tuple[Tensor, Tensor] | None = None,
    panels: Tensor | None = None,
    wanted: tuple[str, ...] = (),
) -> dict[str, Tensor]:
    """Linear colour of covered pixels under direct lights and an environment.

    Runs between the G-buffer and antialiasing. Normals count as the mesh says: a surface
    seen from behind is lit from its front, with NoV clamped to a small positive value.

    Args:
        rast: [N, H, W, 4]; pixels with rast[..., 3] == 0 are skipped and stay 0.
        albedo, normal, position: [N, H, W, 3], linear / world unit / world.
        perceptual_roughness, metallic: [N, H, W, 1], 0..1.
        camera_position: [N, 3] world.
        world_to_light: [N, 4, 4] rigid.
        light_kind: [L] int32, place in scene.light.KINDS; area lights shine by `panels` alone.
        light_vector, light_radiance: [L, 3], light space; see scene.light.
        sh: [25, 3] radiance of the environment, light space; unused with `environment`.
        specular_f0: [1] reflectance of dielectrics at normal incidence.
        light_axis: [L, 3] unit, from a spot's lit side towards it; needed for spots.
        light_shape: [L, 4] cosines of a spot's outer and inner angle first; needed for spots.
        visibility: [N, H, W, 4] part of light i that arrives in component i; at most 4 lights.
        ao: [N, H, W, 1] part of the environment that arrives.
        environment: irradiance over pi at the normal and radiance in the lobe around the mirror
            direction, both [N, H, W, 3].
        panels: [N, H, W, 2 K] form factors of the K area lights in turn, from `area_light`.
        wanted: further outputs, any of OUTPUTS.
    Returns:
        color, and each of `wanted`, [N, H, W, 3]: color is diffuse_albedo * irradiance +
        reflection * reflectance + the lights' highlights and reflections.
    Gradients:
        To: all images, light_vector, light_radiance, light_axis, light_shape, sh, specular_f0.
        Not to: camera_position, world_to_light (poses are refined through the vertices). Zero
        below the smallest roughness and for NoV < 1e-4.
    Raises:
        ShapeError: visibility with more than 4 lights; panels of another number of area lights.
    Reference:
        Walter et al. 2007; Heitz 2014; Schlick 1994; Karis 2013; glTF 2.0 Appendix B; spots as
        KHR_lights_punctual with a smoothstep in place of its square.
    """
    if visibility is not None and len(light_kind) > MAX_LIGHTS:
        raise ShapeError(f"shade: visibility is of {MAX_LIGHTS} lights at most, got {len(light_kind)}")
    if panels is not None and panels.shape[-1] != 2 * int((light_kind == AREA).sum()):
        raise ShapeError(f"shade: panels must be 2 numbers for each area light, got {panels.shape[-1]}")
    rotation = world_to_light[:, :3, :3]
    in_light = torch.einsum("nij,nj->ni", rotation, camera_position) + world_to_light[:, :3, 3]
    views = torch.cat([rotation, camera_position[:, None], in_light[:, None]], dim=1).detach()
    axis = torch.zeros_like(light_vector) if light_axis is None else light_axis
    shape = light_vector.new_zeros(len(light_kind), 4) if light_shape is None else light_shape
    lights = torch.stack([light_vector, light_radiance, axis, shape[:, :3]], dim=1)
    if len(sh) != SH_COUNT:
        sh = torch.cat([sh, sh.new_zeros(SH_COUNT - len(sh), 3)])
    none = [rast.new_zeros(0, 1, 1, size) for size in (4, 2, 1, 3, 3)]
    env = (None, None) if environment is None else environment
    optional = [n if t is None else t for n, t in zip(none, (visibility, panels, ao, *env))]
    images = (albedo, normal, position, perceptual_roughness, metallic, *optional)
    shared = (views, light_kind, lights, sh, specular_f0)
    out = _Shade.apply(rast, wanted, *images, *[t.contiguous() for t in shared])
    return {name: value for name, value in zip(OUTPUTS, out) if name == "color" or name in wanted}
