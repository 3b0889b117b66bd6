"""A start shape from a volume, meshed at the level that the photos agree with most, or from distances."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from studio.core.errors import InputError
from studio.core.optim.agreement import agreement
from studio.core.optim.hull import Cancel, Progress
from studio.core.optim.isosurface import Evidence, surface_of
from studio.core.optim.sdf_fit import fit_sdf
from studio.core.optim.settings import FitSettings
from studio.core.optim.start import evened
from studio.core.optim.targets import Targets
from studio.core.optim.variables import box_of
from studio.core.optim.volume_fit import fit_volume
from studio.core.scene import Mesh, PhotoSet
from studio.core.scene.volume import Volume

LEVELS = (0.15, 0.05, 0.5)
"""Optical depths of a voxel that are tried as the surface, the usual one first."""

_BLUR = 0.7
"""Standard deviation in voxels of the smoothing of densities: with 0.5 fits keep their noise, with 1.5
they lose what was open."""

_CLEARLY = 0.5
"""dB by which another level must be better than the usual one: denser ones have holes, thinner ones fog."""

_JUDGE_PIXELS = 200
_JUDGE_VIEWS = 16
"""Long side of the photos that shapes are compared on, and how many of them, spread over all."""

_FITTING = 0.75
"""Share of the time that the volume takes, the rest being its meshes."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A start shape and how much the photos agree with it.

    Attributes:
        mesh: closed.
        what: it is, for a note.
        score: dB, see `agreement`.
    """

    mesh: Mesh
    what: str
    score: float


class Jury:
    """Compares shapes by the photos.

    Args:
        training: photos with masks.
        settings: for hull_misses and resolution.
        device: where they are drawn.
    """

    def __init__(self, training: PhotoSet, settings: FitSettings, device: torch.device):
        self.training, self.settings = training, settings
        photos = training.photos
        stride = max(1, len(photos) // _JUDGE_VIEWS)
        pixels = min(_JUDGE_PIXELS, int(settings["resolution"]))
        self.targets = Targets.build(photos[::stride], pixels, device)

    def judge(self, mesh: Mesh, what: str) -> Candidate:
        """The mesh and its score."""
        return Candidate(mesh, what, agreement(mesh, self.targets))

    def best_level(self, volume: Volume, report: Progress, cancel: Cancel | None) -> Candidate:
        """The surface of a volume at the usual level, unless the photos agree clearly more with another.

        Raises:
            InputError: no level has a surface.
            Cancelled: `cancel` said so.
        """
        evidence = Evidence.of_photos(
            volume, self.training.photos, self.settings["hull_misses"], None, cancel
        )
        found: list[Candidate] = []
        failure: InputError | None = None
        for number, depth in enumerate(LEVELS):
            report(number / len(LEVELS), "Meshing the volume")
            try:
                mesh = surface_of(volume, depth, evidence, _BLUR, smooth=0.0, cancel=cancel)
            except InputError as error:  # nothing as dense as that; another level may have a surface
                failure = error
                continue
            found.append(self.judge(mesh, f"volume at an optical depth of {depth:g} per voxel"))
        if failure is not None and not found:
            raise failure
        best = max(found, key=lambda candidate: candidate.score)
        return best if best.score > found[0].score + _CLEARLY else found[0]


def start_from_volume(
    training: PhotoSet,
    settings: FitSettings,
    device: torch.device,
    report: Progress,
    cancel: Cancel | None = None,
) -> tuple[Mesh, str]:
    """Fit a volume for a short while and mesh it; the triangles are about as long as its voxels.

    Args:
        training: photos with masks, none of them held out.
        settings: start_points, start_steps and start_pixels say how finely and how long.
        report: called with (0..1, note).
        cancel: asked now and then.
    Returns:
        (the mesh, a note on what was chosen).
    Raises:
        InputError: photos lack masks, or no level has a surface.
        WorkError: the volume diverged.
        Cancelled: `cancel` said so.
    """
    volume = fit_volume(
        training,
        _short(settings, "volume", 0),
        lambda share, note: report(_FITTING * share, note),
        cancel,
        str(device),
    )
    jury = Jury(training, settings, device)
    best = jury.best_level(volume, lambda share, note: report(_FITTING + 0.25 * share, note), cancel)
    return best.mesh, f"start: {best.what}, mean colours fit to {best.score:.1f} dB"


def start_from_sdf(
    training: PhotoSet,
    settings: FitSettings,
    device: torch.device,
    report: Progress,
    cancel: Cancel | None = None,
) -> tuple[Mesh, str]:
    """Fit distances for a short while and take their surface; as `start_from_volume`."""
    short = _short(settings, "sdf", 1)
    fitted = fit_sdf(training, short, lambda share, note: report(_FITTING * share, note), cancel, str(device))
    report(_FITTING, "Comparing the surface with the photos")
    even = evened(replace(fitted, colors=None), float(settings["edge_fine"]) * box_of(fitted.vertices)[1])
    found = Jury(training, settings, device).judge(even, "surface of distances")
    return found.mesh, f"start: {found.what}, mean colours fit to {found.score:.1f} dB"


def _short(settings: FitSettings, kind: str, degree: int) -> FitSettings:
    """Settings of the start's volume or distances."""
    short = settings.copy()
    wished = {
        "holdout": 0,
        "resolution": min(int(settings["resolution"]), int(settings["start_pixels"])),
        f"{kind}_resolution": settings["start_points"],
        f"{kind}_steps": settings["start_steps"],
        "volume_degree": degree,
    }
    for name, value in wished.items():
        short.set(name, value)
    return short
