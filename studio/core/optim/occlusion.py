"""How much of the light that was found reaches a surface past itself.

The share of the sky that a point sees says little where the sky is not even: below a roof of windows
what counts is whether the windows are seen. So the share is that of the light, and what is hidden
sends light as well: that which arrives there, times its base colour. Both are one number per
vertex, which stands where ambient occlusion stands, for a fit's pictures only: under another light
it would be another.
"""

from __future__ import annotations

import torch
from torch import Tensor

from studio.core.ops.ambient import hemisphere_hits
from studio.core.optim import sky as maps

_BOUNCES = 3
"""Each is as much weaker as the surface is dark and open: of a white groove 1 % is then missing."""


@torch.no_grad()
def arriving(
    vertices: Tensor, faces: Tensor, normals: Tensor, sky: Tensor, color: Tensor
) -> tuple[Tensor, Tensor]:
    """Shares of the environment that reach each vertex.

    Args:
        vertices, normals: [V, 3] world. faces: [T, 3] int32.
        sky: [H, W, 3] logarithms of radiance, see studio.core.optim.sky.
        color: [V, 3] linear base colour.
    Returns:
        ambient: [V, 1] open part of the hemisphere.
        light: [V, 1] irradiance, bounces included, over that of the whole environment; 0..1.
    """
    hits, directions = hemisphere_hits(vertices, faces, normals)
    open_sky = (hits < 0)[..., None]
    radiance = maps.radiance(sky, directions)
    everything = radiance.mean(dim=1)
    direct = (radiance * open_sky).mean(dim=1)
    met, corners = hits.clamp_min(0).long(), faces.long()
    total = direct
    for _ in range(_BOUNCES):
        sent = (color * total)[corners].mean(dim=1)
        total = direct + sent[met].masked_fill(open_sky, 0.0).mean(dim=1)
    share = total.sum(dim=1, keepdim=True) / everything.sum(dim=1, keepdim=True).clamp_min(1e-12)
    return open_sky.float().mean(dim=1), share.clamp(0.0, 1.0)
