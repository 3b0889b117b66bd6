"""The kinds of fits that are not of a mesh, and what differs between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.core.io.splats import save_points
from studio.core.io.volumes import save_volume
from studio.core.optim.network_fit import NetworkFit
from studio.core.optim.points_fit import PointsFit
from studio.core.optim.radiance_fit import RadianceFit
from studio.core.optim.sdf_fit import SdfFit
from studio.core.optim.volume_fit import VolumeFit
from studio.core.scene import Mesh, Points, Volume


@dataclass(frozen=True)
class Kind:
    """What differs between them.

    Attributes:
        file: name of the result's file.
        surface: a mesh of it in the normalised world, if the kind has one.
    """

    make: Callable[..., RadianceFit]
    file: str
    save: Callable[[Any, Path], None]
    surface: Callable[[Any], Mesh] | None = None


KINDS = {
    "volume": Kind(VolumeFit, "volume.safetensors", save_volume),
    "sdf": Kind(SdfFit, "volume.safetensors", save_volume, SdfFit.surface),
    "points": Kind(PointsFit, "points.ply", save_points),
    "network": Kind(NetworkFit, "volume.safetensors", save_volume),
}
"""By the setting `representation`."""


def facts(what: Volume | Points) -> dict[str, Any]:
    """About a result, for metrics.json."""
    size = {"grid": list(what.shape)} if isinstance(what, Volume) else {"points": len(what)}
    return {**size, "degree": what.degree}
