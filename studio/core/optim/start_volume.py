"""A start shape from a volume: fitted briefly, then meshed at the level that the photos agree with most."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from studio.core.errors import Cancelled, InputError
from studio.core.optim.agreement import agreement
from studio.core.optim.hull import Cancel, Progress
from studio.core.optim.isosurface import Evidence, surface_of
from studio.core.optim.settings import FitSettings
from studio.core.optim.start import evened
from studio.core.optim.targets import Targets
from studio.core.optim.variables import box_of
from studio.core.optim.volume_fit import fit_volume
from studio.core.scene import Mesh, Photo, PhotoSet
from studio.core.scene.volume import Volume

LEVELS = (0.5, 0.15, 1.5)
"""Optical depths of a voxel that are tried as the surface: in the middle, thinner fog, denser only."""

_JUDGE_PIXELS = 200
_JUDGE_VIEWS = 16
"""Long side of the photos that shapes are compared on, and how many of them, spread over all."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A start shape and how well the photos agree with it.

    Attributes:
        mesh: closed, of the wished edge length.
        depth: optical depth of a voxel at its surface; 0 for the visual hull.
        score: dB, see `agreement`.
    """

    mesh: Mesh
    depth: float
    score: float


def start_from_volume(
    training: PhotoSet,
    settings: FitSettings,
    edge_length: float,
    device: torch.device,
    progress: Progress,
    cancel: Cancel | None = None,
) -> tuple[Mesh, str]:
    """Fit a volume for a short while and mesh it.

    Args:
        training: photos with masks, none of them held out.
        settings: those called start_volume_* say how long and how finely, hull_misses and seed hold too.
        edge_length: of the mesh, as a share of its box's longest side.
        progress: called with (0..1, note).
        cancel: asked now and then.
    Returns:
        (the mesh, a note on the level that was chosen).
    Raises:
        InputError: photos lack masks, or no level has a surface.
        WorkError: the volume diverged.
        Cancelled: `cancel` said so.
    """
    short = settings.copy()
    for name, value in {
        "holdout": 0,
        "resolution": min(int(settings["resolution"]), int(settings["start_volume_pixels"])),
        "volume_resolution": settings["start_volume_resolution"],
        "volume_steps": settings["start_volume_steps"],
        "volume_degree": 0,
    }.items():
        short.set(name, value)
    volume = fit_volume(training, short, lambda share, note: progress(0.8 * share, note), cancel, str(device))
    progress(0.8, "Meshing the volume")
    best = chosen_level(
        volume, training.photos, settings, edge_length, device,
        lambda share, note: progress(0.8 + 0.2 * share, note), cancel,
    )  # fmt: skip
    return best.mesh, (
        f"start: the volume's surface at an optical depth of {best.depth:g} per voxel, "
        f"whose mean colours fit the photos to {best.score:.1f} dB"
    )


def chosen_level(
    volume: Volume,
    photos: list[Photo],
    settings: FitSettings,
    edge_length: float,
    device: torch.device,
    progress: Progress,
    cancel: Cancel | None = None,
) -> Candidate:
    """The surface of the volume that the photos agree with most; arguments and errors as above."""
    evidence = Evidence.of_photos(volume, photos, settings["hull_misses"], None, cancel)
    stride = max(1, len(photos) // _JUDGE_VIEWS)
    targets = Targets.build(photos[::stride], min(_JUDGE_PIXELS, settings["resolution"]), device)
    best: Candidate | None = None
    failure: InputError | None = None
    for number, depth in enumerate(LEVELS):
        progress((number + 0.5) / len(LEVELS), "Meshing the volume")
        if cancel is not None and cancel():
            raise Cancelled("stopped while meshing the volume")
        try:
            mesh = surface_of(volume, depth, evidence, smooth=settings["start_smooth"], cancel=cancel)
        except InputError as error:  # nothing as dense as that; another level may have a surface
            failure = error
            continue
        mesh = evened(mesh, edge_length * box_of(mesh.vertices)[1])
        score = agreement(mesh, targets)
        if best is None or score > best.score:
            best = Candidate(mesh, depth, score)
    if best is None:
        assert failure is not None
        raise failure
    return best
