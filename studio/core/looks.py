"""How volumes and points are shown: what changes their picture, not what they are."""

from __future__ import annotations

from typing import Any

from studio.core.params import Param, ParamSet

AXES = ("none", "x", "y", "z")

MESHES = (Param("shown", True, "bool", help="Draw the meshes"),)

VOLUME = (
    Param("shown", True, "bool", help="Draw the volume"),
    Param("density_scale", 1.0, low=0.05, high=20.0, step=0.05, log=True, label="Density",
          help="Multiplies the extinction everywhere: more makes thin fog solid"),
    Param("step", 0.5, low=0.1, high=4.0, step=0.05, unit="voxels", label="Step",
          help="Distance of samples along a ray; longer is faster and coarser"),
    Param("termination", 1e-3, low=1e-4, high=0.5, log=True, step=1e-4, label="Termination",
          help="A ray ends where less than this share would be seen of what is behind"),
    Param("slice", "none", "choice", choices=AXES, titles=("None", "Across X", "Across Y", "Across Z"),
          help="Cut away what lies before a plane, and show the density on it"),
    Param("slice_position", 0.5, low=0.0, high=1.0, step=0.01, label="Position",
          help="Where the plane cuts the box, from one side to the other"),
    Param("surface", False, "bool", label="Iso-surface",
          help="Show the surface that Make mesh would begin with, instead of the volume"),
    Param("threshold", 0.5, low=0.02, high=8.0, step=0.01, log=True, label="Threshold",
          help="Optical depth of a voxel at the surface: lower takes thinner fog for solid"),
)  # fmt: skip

POINTS = (
    Param("shown", True, "bool", help="Draw the points"),
    Param("size_scale", 1.0, low=0.05, high=4.0, step=0.05, log=True, label="Size",
          help="Multiplies the size of every Gaussian"),
    Param("share", 1.0, low=0.0, high=1.0, step=0.01, label="Count",
          help="Share of the Gaussians that are drawn, those that cover most first"),
    Param("opacity_cut", 0.0, low=0.0, high=1.0, step=0.01, label="Opacity from",
          help="Leave out Gaussians less opaque than this at their centres"),
)  # fmt: skip

LOOKS = {"meshes": MESHES, "volume": VOLUME, "points": POINTS}
"""Parameters by what they are about."""


def looks(values: dict[str, dict[str, Any]] | None = None) -> dict[str, ParamSet]:
    """Checked values of LOOKS, the defaults where `values` says nothing."""
    return {name: ParamSet(name, params, (values or {}).get(name)) for name, params in LOOKS.items()}
