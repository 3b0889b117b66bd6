"""Torch front of the shading kernel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from studio.core.kernels import launcher, shade, shade_adjoint
from studio.core.ops.packing import empty_like_views
from studio.core.ops.pixels import flat as _flat
from studio.core.ops.pixels import runs as _runs
from studio.core.scene.light import SH_COUNT


class _Shade(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rast: Tensor, *inputs: Tensor) -> Tensor:
        n, height, width, _ = rast.shape
        pixels = n * height * width
        count, run = _runs(pixels, width, rast.device)
        images = [_flat(t) for t in inputs[:5]]
        color = torch.zeros(n, height, width, 3, device=rast.device)
        ctx.head = [launcher.BEGIN, run, height * width]
        ctx.count = count
        ctx.save_for_backward(rast, *inputs)
        launcher.launch(
            shade.shade_forward,
            count,
            [*ctx.head, rast.view(-1, 4), *images, *inputs[5:], color.view(-1, 3)],
            rast.device,
        )
        return color

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        rast, *inputs = ctx.saved_tensors
        images, shared = inputs[:5], inputs[5:]
        image_grads = empty_like_views(images)
        sums = [torch.zeros_like(t) for t in shared[4:]]  # vector, radiance, sh, f0
        launcher.launch(
            shade_adjoint.shade_backward,
            ctx.count,
            [
                *ctx.head,
                rast.view(-1, 4),
                *[_flat(t) for t in images],
                *shared,
                _flat(grads[0]),
                *[_flat(t) for t in image_grads],
                *[launcher.Scatter(t) for t in sums],
            ],
            rast.device,
        )
        g_vector, g_radiance, g_sh, g_f0 = sums
        return (None, *image_grads, None, None, None, None, g_vector, g_radiance, g_sh, g_f0)


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
) -> Tensor:
    """Linear colour of covered pixels under direct lights and an SH environment.

    Runs between the G-buffer and antialiasing. Normals count as the mesh says: a surface
    seen from behind is lit from its front, with NoV clamped to a small positive value.

    Args:
        rast: [N, H, W, 4]; pixels with rast[..., 3] == 0 are skipped and stay 0.
        albedo, normal, position: [N, H, W, 3], linear / world unit / world.
        perceptual_roughness, metallic: [N, H, W, 1], 0..1.
        camera_position: [N, 3] world.
        world_to_light: [N, 4, 4] rigid.
        light_kind: [L] int32, 0 directional, 1 point.
        light_vector, light_radiance: [L, 3], light space; see scene.light.
        sh: [25, 3] radiance of the environment, light space.
        specular_f0: [1] reflectance of dielectrics at normal incidence.
    Returns:
        color: [N, H, W, 3].
    Gradients:
        To: albedo, normal, position, perceptual_roughness, metallic, light_vector,
        light_radiance, sh, specular_f0. Not to: camera_position, world_to_light (poses are
        refined through the vertices). Zero below the smallest roughness and for NoV < 1e-4.
    Reference:
        Walter et al. 2007; Heitz 2014; Schlick 1994; Karis 2013; glTF 2.0 Appendix B.
    """
    rotation = world_to_light[:, :3, :3].contiguous()
    in_light = torch.einsum("nij,nj->ni", rotation, camera_position) + world_to_light[:, :3, 3]
    if len(sh) != SH_COUNT:
        sh = torch.cat([sh, sh.new_zeros(SH_COUNT - len(sh), 3)])
    shared = (rotation, camera_position, in_light, light_kind, light_vector, light_radiance, sh, specular_f0)
    color: Tensor = _Shade.apply(
        rast,
        albedo,
        normal,
        position,
        perceptual_roughness,
        metallic,
        *[t.contiguous() for t in shared],
    )
    return color
