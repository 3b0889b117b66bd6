"""From a volume of density to a closed mesh without what no camera sees.

The surface is where the density passes a level. Around it the photos decide: outside the visual hull
is nothing, and inside of it empty space counts only where cameras look into it past the surface, the
rest is solid (Kutulakos and Seitz 2000, "A Theory of Shape by Space Carving"). So the walls of hidden
chambers go, as do pinholes through which hardly a camera looks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from scipy import ndimage
from skimage import measure
from torch import Tensor

from studio.core.errors import Cancelled, InputError
from studio.core.gbuffer import CameraBatch
from studio.core.ops.rasterize import rasterize
from studio.core.ops.tetrahedra import marching_tetrahedra
from studio.core.optim.hull import Cancel, Progress, hull_distance
from studio.core.optim.largesteps import smooth_vertices
from studio.core.scene import Camera, Mesh, Photo
from studio.core.scene.volume import Volume

_SPAN = 4.0
"""Density values further than this from the level count as that far: they say empty or full, no more."""

_PIXELS_PER_POINT = 2.0
"""Depth pictures are this much finer than the grid, so that a pixel does not straddle grid points."""

_MOST_PIXELS = 400
"""Long side of the depth pictures at most."""

_SEEN_SHARE = 0.05
"""Share of the cameras, and two at least, that must look into space for it to be empty."""

_KEEP_PIECE = 0.005
"""Loose pieces smaller than this share of the largest are floaters."""

_LEAST_POINTS = 8
"""Loose pieces of fewer grid points are noise at any size of the object."""

_PREVIEW_POINTS = 1_200_000
"""Larger grids are previewed at half resolution: a million points take half a second."""

_MARGIN = 2
"""Empty points kept around the solid."""


@dataclass(eq=False)
class Evidence:
    """What photos say about the points of a volume's grid beside its density.

    Attributes:
        cameras: of the photos.
        hull: [X, Y, Z] distance inside the visual hull in voxels, or None without masks.
    """

    cameras: list[Camera]
    hull: np.ndarray | None = field(default=None, repr=False)

    @classmethod
    def of_photos(
        cls,
        volume: Volume,
        photos: list[Photo],
        misses: int = 0,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> Evidence:
        """Of photos; the hull only if all of them have masks. Raises as `hull_distance`."""
        cameras = [photo.camera for photo in photos]
        if not photos or any(photo.mask is None for photo in photos):
            return cls(cameras)
        hull = hull_distance(photos, volume.low, volume.voxel, volume.shape, misses, progress, cancel)
        return cls(cameras, hull / np.float32(volume.voxel))


def surface_of(
    volume: Volume,
    depth: float = 0.5,
    evidence: Evidence | None = None,
    blur: float = 0.5,
    smooth: float = 1.0,
    cancel: Cancel | None = None,
) -> Mesh:
    """The volume's surface as a closed mesh, as finely as its grid has it.

    Args:
        volume: of density.
        depth: optical depth of one voxel at the surface: lower takes thinner fog for solid.
        evidence: what the photos say; None takes the density as it is.
        blur: standard deviation in voxels of the smoothing of density values.
        smooth: lambda of the implicit smoothing of the mesh.
        cancel: asked between the parts; true raises Cancelled.
    Returns:
        mesh: closed, outward facing, world units, without normals and colours.
    Raises:
        InputError: nothing in the volume is as dense as that, or `depth` is not positive.
        Cancelled: `cancel` said so.
    """
    values = _values(volume, depth, blur)
    nothing = f"{volume.name}: nothing is as dense as {depth:g} per voxel; lower the level or fit it longer"
    return closed_surface(volume, values, evidence, nothing, smooth, cancel)


def closed_surface(
    volume: Volume,
    values: np.ndarray,
    evidence: Evidence | None,
    nothing: str,
    smooth: float = 1.0,
    cancel: Cancel | None = None,
) -> Mesh:
    """The zero level of a field as a closed mesh, its holes and pieces judged as by `surface_of`.

    Args:
        volume: whose grid and name it has.
        values: [X, Y, Z] float32, positive inside; voxels, or whatever goes from -1 to 1 around the surface.
        evidence, smooth, cancel: as of `surface_of`.
        nothing: what to say where there is no surface.
    Raises:
        InputError: `nothing`.
        Cancelled: `cancel` said so.
    """
    values = _without_small_pieces(_within(np.clip(values, -1, 1).astype(np.float32), evidence))
    if not (values > 0).any():
        raise InputError(nothing)
    if evidence is not None and evidence.cameras:
        _check(cancel)
        values = _closed_where_unseen(volume, values, evidence.cameras)
    values = _without_chambers(values)
    _check(cancel)
    vertices, faces = _extracted(volume, values)
    return Mesh(smooth_vertices(vertices, faces, smooth), faces, name=volume.name)


def with_colors(mesh: Mesh, volume: Volume) -> Mesh:
    """The mesh with the volume's colours at its vertices, the mean over directions."""
    plain = replace(mesh.material, base_color=(1.0, 1.0, 1.0))
    return replace(mesh, colors=volume.sample(mesh.vertices)[1], material=plain)


def preview_of(volume: Volume, depth: float) -> Mesh:
    """The bare surface of a volume, quickly: no smoothing, no evidence, large grids at half resolution.

    Args, Raises:
        As of `surface_of`.
    """
    step = 2 if volume.density.size > _PREVIEW_POINTS else 1
    values = volume.density[::step, ::step, ::step] - np.float32(volume.value_of(depth / volume.voxel))
    values = np.pad(values, 1, constant_values=-1.0)  # closed at the border
    field = torch.from_numpy(np.clip(values, -_SPAN, _SPAN))
    found = marching_tetrahedra(field)
    if len(found.faces) == 0:
        raise InputError(f"{volume.name}: nothing is as dense as {depth:g} per voxel; lower the threshold")
    places = torch.from_numpy(np.moveaxis(np.indices(values.shape, np.float32), 0, -1).copy())
    grid = found.interpolate(found.share(field), places).numpy().astype(np.float64) - 1
    vertices = (volume.low + step * volume.voxel * grid).astype(np.float32)
    return with_colors(Mesh(vertices, found.faces.numpy(), name=volume.name), volume)


def _values(volume: Volume, depth: float, blur: float) -> np.ndarray:
    """[X, Y, Z] float32, positive inside, -1 to 1: density against the level."""
    level = volume.value_of(depth / volume.voxel)
    values = np.clip((volume.density - np.float32(level)) / _SPAN, -1, 1).astype(np.float32)
    return np.asarray(ndimage.gaussian_filter(values, blur, mode="nearest")) if blur > 0 else values


def _within(values: np.ndarray, evidence: Evidence | None) -> np.ndarray:
    """The field with nothing outside the hull and along the border of the grid."""
    if evidence is not None and evidence.hull is not None:
        values = np.minimum(values, np.clip(evidence.hull, -1, 1))
    for axis in range(3):
        for end in (0, -1):
            values[(slice(None),) * axis + (end,)] = -1
    return values


def _without_small_pieces(values: np.ndarray) -> np.ndarray:
    """The field with loose pieces of few points emptied."""
    labels, count = ndimage.label(values > 0)
    if count <= 1:
        return values
    sizes = np.bincount(labels.ravel())
    small = sizes < max(_LEAST_POINTS, _KEEP_PIECE * sizes[1:].max())
    small[0] = False
    return np.asarray(np.where(small[labels], np.float32(-1), values))


def _without_chambers(values: np.ndarray) -> np.ndarray:
    """The field with emptiness filled that no way leads into from outside."""
    labels, count = ndimage.label(values <= 0)
    if count <= 1:
        return values
    hidden = (labels > 0) & (labels != labels[0, 0, 0])  # the border is outside, and in one piece
    return np.asarray(np.where(hidden, np.float32(1), values))


def _closed_where_unseen(volume: Volume, values: np.ndarray, cameras: list[Camera]) -> np.ndarray:
    """The field made solid where hardly a camera sees empty space, within the box of the solid."""
    box = _box(values > 0, 0)
    empty = np.zeros(values.shape, bool)
    empty[box] = values[box] <= 0
    vertices, faces = _extracted(volume, values)
    size = min(_MOST_PIXELS, math.ceil(_PIXELS_PER_POINT * max(volume.shape)))
    points = volume.low + volume.voxel * np.argwhere(empty)
    enough = min(len(cameras), max(2, math.ceil(_SEEN_SHARE * len(cameras))))
    seen = _seen_by(Mesh(vertices, faces), points, cameras, enough, size, volume.voxel)
    out = values.copy()
    out[empty] = np.where(seen, values[empty], np.float32(1))
    return out


def _box(inside: np.ndarray, margin: int) -> tuple[slice, slice, slice]:
    """The part of a grid around the points that are true, with `margin` more on each side."""
    cut = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        ends = np.flatnonzero(inside.any(axis=others))[[0, -1]]
        cut.append(slice(max(0, int(ends[0]) - margin), int(ends[1]) + margin + 1))
    x, y, z = cut
    return x, y, z


@torch.no_grad()
def _seen_by(
    mesh: Mesh, points: np.ndarray, cameras: list[Camera], enough: int, size: int, margin: float
) -> np.ndarray:
    """[P] bool: points that enough cameras see not farther than `margin` behind the nearest surface."""
    corners = torch.nn.functional.pad(torch.from_numpy(mesh.vertices), (0, 1), value=1.0)
    faces = torch.from_numpy(mesh.faces)
    left = torch.from_numpy(points.astype(np.float32))  # of which more must be known
    index = torch.arange(len(points))
    count = torch.zeros(len(points), dtype=torch.int32)
    for camera in cameras:
        scale = size / max(camera.width, camera.height)
        small = camera.resized(max(1, round(camera.width * scale)), max(1, round(camera.height * scale)))
        batch = CameraBatch.from_cameras([small])
        matrix = batch.world_to_clip[0]
        clip = (corners @ matrix.T)[None]
        rast, _ = rasterize(None, clip, faces, (batch.height, batch.width), output_db=False)
        nearest = _eye_depth(rast[0], batch.view_to_clip[0])
        x, y, _, w = (left @ matrix[:, :3].T + matrix[:, 3]).unbind(dim=1)
        column = ((x / w + 1) * (0.5 * batch.width)).floor()
        row = ((y / w + 1) * (0.5 * batch.height)).floor()
        inside = (w > 0) & (column >= 0) & (column < batch.width) & (row >= 0) & (row < batch.height)
        place = torch.where(inside, row * batch.width + column, 0.0).long()
        hit = inside & (w < nearest.reshape(-1)[place] + margin)
        count[index[hit]] += 1
        rest = count[index] < enough
        left, index = left[rest], index[rest]
    return np.asarray((count >= enough).numpy())


def _eye_depth(rast: Tensor, view_to_clip: Tensor) -> Tensor:
    """[H, W] distance along the camera's -Z of what `rasterize` found; inf where nothing is."""
    depth = view_to_clip[2, 3] / (rast[..., 2] + view_to_clip[2, 2])
    return torch.where(rast[..., 3] > 0, depth, torch.inf)


def _extracted(volume: Volume, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """([V, 3] float32 world, [T, 3] int32): the zero level, by marching cubes in the solid's box."""
    # Exact zeros would give triangles without area.
    values = np.where(
        np.abs(values) < 1e-3, np.where(values > 0, np.float32(1e-3), np.float32(-1e-3)), values
    )
    cut = _box(values > 0, _MARGIN)
    first = np.array([span.start for span in cut])
    part = np.ascontiguousarray(values[cut])
    vertices, faces, _, _ = measure.marching_cubes(part, 0.0, gradient_direction="ascent")
    return (volume.low + volume.voxel * (vertices + first)).astype(np.float32), faces.astype(np.int32)


def _check(cancel: Cancel | None) -> None:
    if cancel is not None and cancel():
        raise Cancelled("stopped while meshing the volume")
