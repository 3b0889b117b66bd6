"""Hull or volume: meshes from both are fitted briefly, and photos that they have not seen decide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from studio.core.errors import InputError, WorkError
from studio.core.optim import bake
from studio.core.optim.hull import Cancel, Progress
from studio.core.optim.settings import FitSettings
from studio.core.optim.start import FitProblem, decide_light, start_mesh
from studio.core.optim.start_volume import start_from_volume
from studio.core.optim.targets import Targets
from studio.core.scene import Mesh, Photo, PhotoSet

Attempt = Callable[[FitProblem, FitSettings, list[Photo]], float]
"""Fits a problem with some settings; the PSNR of photos that are not among the problem's, in dB."""

_EVERY, _FIRST = 6, 2
"""Of the training photos the third, the ninth and so on judge."""

_FEWEST = 2
"""With fewer judges one lucky view decides; then the hull, which is safe, is taken."""

_CLEARLY = 0.5
"""dB by which the volume's surface must be better: it is rougher, and its mesh larger."""

_STEPS, _STAGES, _PIXELS = 160, 2, 192
"""Length of the short fits, their stages, and long side of their photos."""

_POINTS = 96
"""Grid of the volume that is tried, along its box: what finer ones add is not what decides."""

_LIGHT_PIXELS = 160
"""Long side of the photos that tell what the light is fixed to."""


@dataclass(frozen=True, eq=False)
class Choice:
    """A start shape.

    Attributes:
        mesh: closed.
        kind: what settings call it, hull or volume.
        notes: why, one line each.
    """

    mesh: Mesh
    kind: str
    notes: list[str]


def choose_start(
    problem: FitProblem,
    training: PhotoSet,
    settings: FitSettings,
    device: torch.device,
    report: Progress,
    attempt: Attempt,
    cancel: Cancel | None = None,
) -> Choice:
    """The hull, unless fits from a volume's surface show photos that they have not seen clearly better.

    A volume opens hollows that no outline shows. But its colours do not change as the object turns
    under a lamp: there pits that hide themselves from some photos stand for highlights. So where the
    light is fixed to the camera the hull is taken untried. Elsewhere neither how well a volume fits
    the photos it was made from nor its looks tell, only photos that it was not made from.

    Args:
        training: photos with masks, none of them held out.
        report: called with (0..1, note).
        attempt: makes the short fits.
        cancel: asked now and then.
    Raises:
        InputError: no hull can be carved.
        Cancelled: `cancel` said so.
    """
    photos = training.photos
    own = _started(settings, "hull")
    hull = start_mesh(problem, training, own, _part(report, 0.0, 0.1), cancel)
    judges = photos[_FIRST::_EVERY]
    if len(judges) < _FEWEST:
        return Choice(hull, "hull", [f"start: hull; {len(photos)} photos are too few to hold some back"])
    small = Targets.build(photos, min(_LIGHT_PIXELS, int(settings["resolution"])), device)
    if decide_light(problem, photos, own, bake.sample_photos(hull, small), small)[0] == "camera":
        return Choice(hull, "hull", ["start: hull; a volume does not show light that is fixed to the camera"])
    shown = replace(training, photos=[photo for i, photo in enumerate(photos) if i % _EVERY != _FIRST])
    try:
        opened, _ = start_from_volume(shown, _coarser(settings), device, _part(report, 0.1, 0.4), cancel)
    except (InputError, WorkError) as error:
        return Choice(hull, "hull", [f"start: hull, as the volume has no surface: {error}"])
    report(0.4, "Trying the hull")
    closed_score = attempt(_given(problem, shown, hull), _short(settings, "hull"), judges)
    report(0.55, "Trying the volume's surface")
    open_score = attempt(_given(problem, shown, opened), _short(settings, "volume"), judges)
    told = (
        f"short fits from hull and volume show {len(judges)} other photos "
        f"at {closed_score:.1f} and {open_score:.1f} dB"
    )
    if open_score <= closed_score + _CLEARLY:
        return Choice(hull, "hull", [f"start: hull; {told}"])
    best, what = start_from_volume(training, settings, device, _part(report, 0.7, 1.0), cancel)
    return Choice(best, "volume", [what, f"start: volume; {told}"])


def _given(problem: FitProblem, photos: PhotoSet, mesh: Mesh) -> FitProblem:
    return replace(problem, photos=photos, mesh=replace(mesh, colors=None))


def _started(settings: FitSettings, start: str) -> FitSettings:
    out = settings.copy()
    out.set("start", start)
    return out


def _coarser(settings: FitSettings) -> FitSettings:
    """Settings of the volume that is only tried."""
    out = settings.copy()
    out.set("start_points", min(_POINTS, int(settings["start_points"])))
    return out


def _short(settings: FitSettings, kind: str) -> FitSettings:
    """Settings of a short fit: shape and colours of vertices alone."""
    out = _started(settings, "mesh")
    wished = {
        "holdout": 0,
        "steps": min(_STEPS, int(settings["steps"])),
        "stages": min(_STAGES, int(settings["stages"])),
        "resolution": min(_PIXELS, int(settings["resolution"])),
        "texture_steps": 0,
        "field_steps": 0,
        "light_model": "harmonics",
    }
    if kind == "volume":  # which keeps its triangles
        wished["remesh"] = False
    for name, value in wished.items():
        out.set(name, value)
    return out


def _part(report: Progress, begin: float, end: float) -> Progress:
    """The same for a part of the way."""
    return lambda share, note: report(begin + (end - begin) * share, note)
