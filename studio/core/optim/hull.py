"""Visual hull: the largest shape whose silhouettes agree with the photos' masks.

Space is carved by signed distances to the silhouettes instead of by yes and no: the zero
level then lies between the grid points, so that a coarse grid already gives a surface
without voxel steps (Laurentini 1994, "The Visual Hull Concept", on a sampled distance).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from skimage import measure
from torch import Tensor

from studio.core.errors import Cancelled, InputError
from studio.core.io.consensus import strangers
from studio.core.io.resample import fitted_size, resized_mask
from studio.core.optim.largesteps import smooth_vertices
from studio.core.scene import Mesh, Photo

Progress = Callable[[float, str], None]
Cancel = Callable[[], bool]

_BOUNDS_GRID = 64
"""Grid of the first pass, which only finds the box; 64 finds parts of 2 % of it."""

_MASK_LONG_SIDE = 400
"""Masks are shrunk to this before carving: a voxel of a 96 grid still covers 3 pixels."""

_STRANGER_LONG_SIDE = 160
"""Masks are shrunk to this to find those that fit none of the others."""

_KEEP_COMPONENT = 0.02
"""Pieces smaller than this share of the largest are carving noise."""

_MIN_SHARE = 0.5
"""Space seen by a smaller share of the photos is unknown, and carved away."""


class _Silhouette:
    """One photo's signed distance to its silhouette, to be sampled at points of the world."""

    def __init__(self, photo: Photo):
        photo = photo.without_canvas()  # beyond its frame a photo sees nothing
        mask = photo.mask
        if mask is None:
            raise InputError(f"{photo.name}: has no mask, expected one for the visual hull")
        height, width = mask.shape
        unknown = np.zeros(mask.shape, bool) if photo.ignore is None else photo.ignore
        inside = (mask > 0.5) & ~unknown
        stride = max(1, -(-max(inside.shape) // _MASK_LONG_SIDE))
        kept = (slice(stride // 2, None, stride),) * 2
        camera = photo.camera.resized(width, height)
        self.name = photo.name
        self.empty = not (inside.any() or unknown.all())
        self.clip = torch.tensor(camera.world_to_clip, dtype=torch.float32)
        # World units per pixel at distance 1; the mean of both axes, as pixels may be oblong.
        self.pixel = 0.5 * (1.0 / camera.fx + 1.0 / camera.fy)
        distance = _signed_distance(inside[kept], unknown[kept]) * stride
        self.field = torch.from_numpy(distance)[None, None]
        self.unknown = torch.from_numpy(unknown[kept].astype(np.float32))[None, None]
        # A subsampled grid has its pixel centres where the kept pixels were; grid_sample with
        # align_corners=True needs them in [-1, 1] of the first and last kept centre.
        rows, columns = distance.shape
        first = stride // 2 + 0.5
        self.scale = torch.tensor(
            [width / (stride * max(columns - 1, 1)), height / (stride * max(rows - 1, 1))]
        )
        self.shift = torch.tensor(
            [
                (width - 2 * first) / (stride * max(columns - 1, 1)) - 1,
                (height - 2 * first) / (stride * max(rows - 1, 1)) - 1,
            ]
        )

    def sample(self, points: Tensor) -> Tensor:
        """[P] distance inside the silhouette's cone in world units; inf where the photo says nothing."""
        clip = points @ self.clip[:, :3].T + self.clip[:, 3]
        w = clip[:, 3]
        ndc = clip[:, :2] / w.clamp_min(1e-6)[:, None]
        grid = (ndc * self.scale + self.shift)[None, None]
        pixels = F.grid_sample(self.field, grid, align_corners=True, padding_mode="border")[0, 0, 0]
        unknown = F.grid_sample(self.unknown, grid, "nearest", "border", align_corners=True)[0, 0, 0] > 0.5
        seen = (w > 0) & (ndc.abs() <= 1).all(dim=1) & ~unknown
        return torch.where(seen, pixels * w * self.pixel, torch.inf)


def _signed_distance(inside: np.ndarray, unknown: np.ndarray) -> np.ndarray:
    """[H, W] float32 pixels to the silhouette, positive inside, measured to pixel borders.

    Within, the distance is to what is known to be background; outside, to what is known to be the
    object. So the object may go on under unknown pixels, but none stands beside them alone.
    """
    maybe = inside | unknown
    if not inside.any() or maybe.all():
        return np.full(inside.shape, 1e3 if maybe.all() else -1e3, np.float32)
    within = ndimage.distance_transform_edt(maybe)
    without = ndimage.distance_transform_edt(~inside)
    return (np.where(maybe, within - 0.5, 0.5 - without)).astype(np.float32)


def visual_hull(
    photos: list[Photo],
    center: tuple[float, float, float] = (0.0, 0.0, 0.0),
    radius: float = 1.0,
    resolution: int = 56,
    misses: int = 0,
    smooth: float = 1.0,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Mesh:
    """The visual hull of the photos' masks as a closed mesh.

    First a coarse grid around (center, radius) finds the object's box, growing while the
    hull touches its sides; then a grid of `resolution` along the box's longest side.

    Args:
        photos: with masks; `ignore` pixels and space outside a photo carve nothing, but space that
            more than half of the photos do not show is no part of the hull.
        center, radius: where to look first, world units.
        resolution: voxels along the longest side of the object's box.
        misses: photos that may see background where the object stays, for imprecise
            cameras and masks.
        smooth: lambda of the implicit smoothing afterwards; thin parts want less.
        progress: called with (0..1, note).
        cancel: asked between photos; true raises Cancelled.
    Returns:
        mesh: closed, outward facing, without normals and colours.
    Raises:
        InputError: a mask is missing, or the masks have no space in common.
        Cancelled: `cancel` said so.
    """
    field, low, spacing = hull_field(photos, center, radius, resolution, misses, progress, cancel)
    vertices, faces = _surface(field, low, spacing)
    vertices = smooth_vertices(vertices, faces, smooth)
    if progress is not None:
        progress(1.0, "Visual hull")
    return Mesh(vertices, faces, name="hull")


def hull_field(
    photos: list[Photo],
    center: tuple[float, float, float] = (0.0, 0.0, 0.0),
    radius: float = 1.0,
    resolution: int = 56,
    misses: int = 0,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> tuple[np.ndarray, np.ndarray, float]:
    """The visual hull as distances on a grid around it; arguments and errors as of `visual_hull`.

    Returns:
        field: [X, Y, Z] float32 distance inside the hull, world units, at most 3 voxels either way.
        low: [3] float64, the first grid point; the hull keeps away from the grid's sides.
        spacing: of the grid points.
    """
    if not photos:
        raise InputError("visual hull: there are no photos, expected at least 2 with masks")
    missing = [photo.name for photo in photos if photo.mask is None]
    if missing:
        names = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise InputError(
            f"visual hull: {len(missing)} of {len(photos)} photos have no mask ({names}); "
            "give masks or start from a sphere or a mesh"
        )
    around = np.asarray(center, np.float64)
    silhouettes = []
    for photo in _without_strangers(photos, around, float(radius)):
        _check(cancel)
        silhouettes.append(_Silhouette(photo))
    carver = _Carver(silhouettes, misses, progress, cancel)
    low, high = carver.find_box(around, float(radius))
    field, spacing = carver.carve(low, high, resolution, 0.4, 0.95)
    if not (field > 0).any():
        raise InputError(carver.why_nothing(0.5 * (low + high), 0.5 * float((high - low).max())))
    return field, low, spacing


def hull_distance(
    photos: list[Photo],
    low: np.ndarray,
    spacing: float,
    counts: tuple[int, ...],
    misses: int = 0,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> np.ndarray:
    """Distance inside the visual hull at the points of a grid.

    Args:
        photos: with masks.
        low: [3] first point; spacing: between points; counts: of them along x, y, z.
        misses, progress, cancel: as in `visual_hull`.
    Returns:
        [X, Y, Z] float32, positive inside, world units, up to three spacings.
    Raises:
        InputError: a mask is missing.
        Cancelled: `cancel` said so.
    """
    half = 0.5 * spacing * (np.array(counts) - 1)
    photos = _without_strangers(photos, np.asarray(low) + half, float(half.max()))
    carver = _Carver([_Silhouette(photo) for photo in photos], misses, progress, cancel)
    return carver.on_grid(low, spacing, counts, 0.0, 1.0)


def _without_strangers(photos: list[Photo], center: np.ndarray, radius: float) -> list[Photo]:
    """The photos without the few that show the object where the others have none: one would carve it away."""
    masks, silent, cameras = [], [], []
    for photo in photos:
        if photo.mask is None:
            return photos  # it is named when its silhouette is taken
        height, width = fitted_size(photo.mask.shape[0], photo.mask.shape[1], _STRANGER_LONG_SIDE)
        masks.append(resized_mask(photo.mask > 0.5, height, width) > 0.5)
        unknown = np.zeros(photo.mask.shape, bool) if photo.ignore is None else photo.ignore
        silent.append(resized_mask(unknown, height, width) > 0)
        cameras.append(photo.camera.resized(width, height))
    strange = strangers(masks, cameras, center, 1.1 * radius, silent)
    return [photo for photo, odd in zip(photos, strange, strict=True) if not odd]


class _Carver:
    """Evaluates the hull's distance on grids."""

    def __init__(
        self, silhouettes: list[_Silhouette], misses: int, progress: Progress | None, cancel: Cancel | None
    ):
        self.silhouettes = silhouettes
        self.misses = misses
        self.progress = progress
        self.cancel = cancel

    def find_box(self, center: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
        """(low, high) of the object, with a margin of two coarse voxels."""
        half = 1.1 * radius  # so that an object of exactly this radius does not touch
        for _ in range(4):  # 1.6^4: an object 6 times larger than thought is still found
            field, spacing = self.carve(center - half, center + half, _BOUNDS_GRID, 0.0, 0.4)
            inside = np.argwhere(_large_pieces(field > -0.5 * spacing))  # thin parts count too
            if len(inside) and inside.min() > 0 and inside.max() < field.shape[0] - 1:
                break
            half *= 1.6
        if len(inside) == 0:
            raise InputError(self.why_nothing(center, radius))
        low = center - half + (inside.min(axis=0) - 2) * spacing
        high = center - half + (inside.max(axis=0) + 2) * spacing
        return low, high

    def carve(
        self, low: np.ndarray, high: np.ndarray, resolution: int, begin: float, end: float
    ) -> tuple[np.ndarray, float]:
        """([X, Y, Z] distance inside the hull, spacing) on a grid from low to at least high."""
        spacing = float((high - low).max()) / (resolution - 1)
        counts = np.ceil((high - low) / spacing - 1e-6).astype(int) + 1
        return self.on_grid(low, spacing, tuple(int(n) for n in counts), begin, end), spacing

    def on_grid(
        self, low: np.ndarray, spacing: float, counts: tuple[int, ...], begin: float, end: float
    ) -> np.ndarray:
        """[X, Y, Z] float32 distance inside the hull, up to three spacings, at low + spacing * index."""
        axes = [torch.arange(n, dtype=torch.float32) * spacing + float(a) for n, a in zip(counts, low)]
        points = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)
        far = -3.0 * spacing  # further out the exact distance no longer matters
        lowest = torch.full((self.misses + 1, len(points)), torch.inf)
        seen = torch.zeros(len(points), dtype=torch.int32)
        alive = torch.arange(len(points))
        for number, silhouette in enumerate(self.silhouettes):
            _check(self.cancel)
            value = silhouette.sample(points[alive])
            seen[alive] += torch.isfinite(value)
            self._insert(lowest, alive, value)
            alive = alive[lowest[self.misses, alive] > far]
            if self.progress is not None:
                self.progress(
                    begin + (end - begin) * (number + 1) / len(self.silhouettes), "Carving the visual hull"
                )
        needed = _MIN_SHARE * len(self.silhouettes)
        value = lowest[self.misses]
        value = torch.where((seen >= needed) | (value < 0), value, torch.full_like(value, far))
        field: np.ndarray = value.clamp(far, -far).reshape(counts).numpy()
        return field

    def _insert(self, lowest: Tensor, alive: Tensor, value: Tensor) -> None:
        """Keep the misses + 1 lowest values of each point, sorted."""
        for rank in range(self.misses + 1):
            kept = lowest[rank, alive]
            lowest[rank, alive] = torch.minimum(kept, value)
            value = torch.maximum(kept, value)

    def why_nothing(self, center: np.ndarray, radius: float) -> str:
        """Names the photos that disagree with the others most."""
        axis = torch.linspace(-radius, radius, 24)
        grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(-1, 3)
        points = grid + torch.tensor(center, dtype=torch.float32)
        outside = torch.stack([s.sample(points) < 0 for s in self.silhouettes])
        best = outside[:, outside.sum(dim=0).argmin()]  # the point that fewest photos refuse
        blank = [s.name for s in self.silhouettes if s.empty]
        names = blank or [s.name for s, bad in zip(self.silhouettes, best) if bad]
        if not names:
            return "visual hull: the object is thinner than a voxel; raise hull_resolution or allow misses"
        listed = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        reason = "empty masks" if blank else "the photos that disagree with the others"
        return (
            f"visual hull: the masks of {len(self.silhouettes)} photos have no space in common; "
            f"{reason}: {listed}. Check masks and cameras, or allow {len(names)} misses"
        )


def _surface(field: np.ndarray, low: np.ndarray, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Zero level of the field as (vertices [V, 3], faces [T, 3]) without its small pieces."""
    inside = field > 0
    field = np.where(inside & ~_large_pieces(inside), -1e-3 * spacing, field)
    # Exact zeros would give triangles without area.
    field = np.where(np.abs(field) < 1e-4 * spacing, np.float32(-1e-4 * spacing), field)
    padded = np.pad(field, 1, constant_values=-spacing).astype(np.float32)
    vertices, faces, _, _ = measure.marching_cubes(padded, 0.0, gradient_direction="ascent")
    vertices = (vertices - 1.0) * spacing + low
    return vertices.astype(np.float32), faces.astype(np.int32)


def _large_pieces(inside: np.ndarray) -> np.ndarray:
    """The [X, Y, Z] bool volume without its small connected pieces."""
    labels, count = ndimage.label(inside)
    if count == 0:
        return inside
    sizes = np.bincount(labels.ravel())
    large = sizes >= _KEEP_COMPONENT * sizes[1:].max()
    large[0] = False
    return np.asarray(large[labels])


def _check(cancel: Cancel | None) -> None:
    if cancel is not None and cancel():
        raise Cancelled("stopped while carving the visual hull")
