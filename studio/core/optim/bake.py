"""What the photos say about the start shape: vertex colours, and whether the light turns with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from studio.core.color import srgb_to_linear
from studio.core.ops.rasterize import rasterize
from studio.core.optim.targets import Targets
from studio.core.scene import Mesh

_MIN_COSINE = 0.3
"""Surfaces seen at a flatter angle say little: their pixels mix far apart points."""

_CAMERA_GAIN = 0.13
"""Share of the views' disagreement that light fixed to the camera must explain to be chosen."""

_MIN_VIEWS = 3
"""A vertex seen less often says nothing about how its colour changes."""

_FILL_ROUNDS = 50
"""Rounds in which unseen vertices take their neighbours' mean; caves are rarely deeper."""


@dataclass(eq=False)
class Samples:
    """Colours of V vertices in N photos.

    Attributes:
        color: [N, V, 3] linear.
        weight: [N, V] squared cosine of the viewing angle, 0 where hidden.
        view_normal: [N, V, 3] normals in view space.
    """

    color: Tensor
    weight: Tensor
    view_normal: Tensor


@torch.no_grad()
def sample_photos(mesh: Mesh, targets: Targets) -> Samples:
    """Look up every vertex in every photo that sees it.

    A vertex counts as seen if a triangle at it owns a pixel. Gradients: none.
    """
    device = targets.color.device
    vertices = torch.from_numpy(mesh.vertices).to(device)
    normals = torch.from_numpy(mesh.vertex_normals()).to(device)
    faces = torch.from_numpy(mesh.faces).to(device)
    cameras = targets.cameras
    homogeneous = F.pad(vertices, (0, 1), value=1.0)
    colors, weights, view_normals = [], [], []
    for view in range(len(targets)):
        clip = homogeneous @ cameras.world_to_clip[view].T
        rast, _ = rasterize(None, clip[None], faces, targets.size, grad_db=False)
        hit = rast[..., 3].unique().long()
        seen = torch.zeros(len(vertices), device=device)
        seen[faces[hit[hit > 0] - 1].long().reshape(-1)] = 1.0
        ndc = clip[:, :2] / clip[:, 3:].clamp_min(1e-6)
        picture = srgb_to_linear(targets.color[view])
        mask = targets.mask[view] if targets.mask is not None else torch.ones_like(picture[..., 0])
        both = torch.cat([picture * mask[..., None], mask[..., None]], dim=-1).permute(2, 0, 1)[None]
        found = F.grid_sample(both, ndc[None, None], align_corners=False)[0, :, 0].T
        towards = F.normalize(cameras.position[view] - vertices, dim=1)
        cosine = (towards * normals).sum(dim=1)
        # At the silhouette the photo's pixel is part background.
        inside = (found[:, 3] > 0.95) & (cosine > _MIN_COSINE)
        colors.append(found[:, :3] / found[:, 3:].clamp_min(0.5))
        weights.append(seen * inside * cosine.square())
        view_normals.append(normals @ cameras.world_to_view[view, :3, :3].T)
    return Samples(torch.stack(colors), torch.stack(weights), torch.stack(view_normals))


def mean_color(samples: Samples, faces: np.ndarray) -> np.ndarray:
    """[V, 3] float32 linear colour of each vertex; unseen ones take their neighbours'."""
    total = samples.weight.sum(dim=0)
    color = (samples.color * samples.weight[..., None]).sum(dim=0) / total.clamp_min(1e-6)[:, None]
    known = (total > 1e-3).cpu().numpy()
    out: np.ndarray = color.cpu().numpy().astype(np.float32)
    if not known.any():
        return np.full_like(out, 0.5)
    out[~known] = out[known].mean(axis=0)
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    into, source = ends[~known[ends[:, 0]]].T
    count = np.bincount(into, minlength=len(out))[:, None]
    for _ in range(_FILL_ROUNDS if len(into) else 0):
        mean = np.stack([np.bincount(into, out[source, c], minlength=len(out)) for c in range(3)], axis=1)
        out = np.where(count > 0, mean / np.maximum(count, 1), out).astype(np.float32)
    return out


def spread_of_hues(colors: np.ndarray) -> float:
    """How far the chromaticities of [P, 3] linear colours lie from their mean, for their brightness.

    Shading changes brightness, hardly hue: so it tells several paints from one under uneven light.
    """
    total = colors.sum(axis=1, keepdims=True)
    chroma = colors / np.maximum(total, 1e-4)
    weight = total / max(float(total.sum()), 1e-12)
    mean = (chroma * weight).sum(axis=0)
    return float(np.sqrt((((chroma - mean) ** 2).sum(axis=1, keepdims=True) * weight).sum()))


def light_turns_with_camera(samples: Samples) -> tuple[bool, float]:
    """Whether lamp and camera stand still while the object turns.

    Under light fixed to the world a matt point looks the same in all photos. Under light
    fixed to the camera its brightness follows its normal in view space. So: the variance of
    log brightness about each vertex's mean, and the share of it that a second-order function
    of the view-space normal explains.

    Returns:
        (answer, share explained 0..1).
    """
    weight = samples.weight * (samples.weight > 0).sum(dim=0).ge(_MIN_VIEWS)
    if float(weight.sum()) <= 0:
        return False, 0.0
    # 0.02: below that photos are noise, and the logarithm would make it large.
    brightness = torch.log(samples.color.mean(dim=-1).clamp_min(0) + 0.02)
    x, y, z = samples.view_normal.unbind(dim=-1)
    basis = torch.stack([x, y, z, x * y, y * z, x * z, x * x - y * y, 3 * z * z - 1], dim=-1)

    def centred(values: Tensor) -> Tensor:
        """Minus the weighted mean of each vertex over the photos."""
        total = weight.sum(dim=0).clamp_min(1e-6)
        return values - (values * weight[..., None]).sum(dim=0) / total[:, None]

    seen = weight > 0
    root = weight[seen].sqrt()[:, None]
    left = centred(basis)[seen] * root
    right = centred(brightness[..., None])[seen] * root
    solution = torch.linalg.lstsq(left.double(), right.double()).solution
    rest = (right.double() - left.double() @ solution).square().sum()
    share = 1.0 - float(rest / right.double().square().sum().clamp_min(1e-12))
    return share > _CAMERA_GAIN, share
