"""How well a shape explains photos before any fit: each point ought to look the same in all of them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from studio.core.color import linear_to_srgb, mse_to_psnr, srgb_to_linear
from studio.core.ops.fused import draw
from studio.core.ops.topology import Topology
from studio.core.optim.bake import mean_color, sample_photos
from studio.core.optim.targets import Targets
from studio.core.scene import Mesh

_BEHIND = 0.2140
"""Linear grey, 0.5 in sRGB, behind shape and photo: a wrong outline costs about as much for any object."""


@torch.no_grad()
def agreement(mesh: Mesh, targets: Targets) -> float:
    """PSNR of a shape that has the photos' mean colours, in all of the photos, in dB.

    Where the shape is wrong its points see different things in different photos, so that their mean
    fits none. Outlines count, too: photo and render lie over grey.

    Args:
        mesh: closed or open; its own colours do not matter. Triangles should not be much smaller
            than pixels, or most vertices are seen in no photo.
        targets: photos; without masks all of their pixels count.
    Returns:
        dB over the pixels of the object, sRGB.
    """
    device = targets.color.device
    colors = torch.from_numpy(mean_color(sample_photos(mesh, targets), mesh.faces)).to(device)
    faces = torch.from_numpy(mesh.faces).to(device)
    topology = Topology.build(faces)
    attributes = pad(colors, (0, 1), value=1.0)[None]
    vertices = pad(torch.from_numpy(mesh.vertices).to(device), (0, 1), value=1.0)
    error = 0.0
    for view in range(len(targets)):
        clip = (vertices @ targets.cameras.world_to_clip[view].T)[None]
        rgba = draw(clip, faces, attributes, targets.size, topology)[0]
        error += float(_squared(rgba, targets, view).sum())
    pixels = float(targets.object_share().sum()) * targets.size[0] * targets.size[1]
    return mse_to_psnr(error / (3 * pixels))


def _squared(rgba: Tensor, targets: Targets, view: int) -> Tensor:
    """[H, W, 3] squared sRGB differences over grey."""
    photo = srgb_to_linear(targets.color[view])
    alpha = rgba[..., 3:].clamp(0, 1)
    render = rgba[..., :3] + _BEHIND * (1 - alpha)
    if targets.mask is not None:
        coverage = targets.mask[view][..., None]
        photo = photo * coverage + _BEHIND * (1 - coverage)
    difference = linear_to_srgb(render).clamp(0, 1) - linear_to_srgb(photo).clamp(0, 1)
    if targets.weight is not None:
        difference = difference * targets.weight[view][..., None]
    return difference.square()
