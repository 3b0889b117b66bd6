"""Settings of a fit: one ParamSet that panel, command line and presets all read."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from studio.core.errors import InputError
from studio.core.optim.messages import GROUPS
from studio.core.params import Param, ParamSet
from studio.core.rasterizer import PARAMS as RASTERIZER

PRESETS = ("quick", "standard", "fine")
"""Names of the presets, in menu order; each is presets/<name>.toml."""

USUAL = "standard"
"""The preset of a new document; `fit` begins with it, too."""

TERMS = (
    "color",
    "ssim",
    "mask",
    "laplacian",
    "normal_consistency",
    "edge_length",
    "albedo_smoothness",
    "texture_smoothness",
    "material_smoothness",
    "flat_normals",
    "sign_changes",
    "carving",
    "light_white",
    "light_smoothness",
)
"""Loss terms; each has a setting `<term>_weight` and answers to messages.SetWeight."""

_RUN = (
    Param("steps", 600, "int", 0, 1_000_000, 10, help="Optimisation steps in all"),
    Param("resolution", 256, "int", 16, 4096, 16, "px", "Long side of the training images at the end"),
    Param("views_per_step", 4, "int", 1, 64, 1, help="Photos compared in every step"),
    Param("stages", 3, "int", 1, 6, 1, help="Coarse-to-fine stages of image and mesh"),
    Param("seed", 0, "int", 0, 2**31 - 1, 1, help="Seed of view order and training backgrounds"),
    Param("holdout", 0, "int", 0, 1000, 1, help="Keep every K-th photo out of training; 0 keeps none out"),
    Param(
        "cuda_graphs", True, "bool", help="On a GPU, replay steps that are alike instead of launching them"
    ),
    Param("decay", 0.1, low=0.001, high=1.0, help="Rates fall to this fraction by the last step"),
)
_START = (
    Param(
        "start",
        "hull",
        "choice",
        choices=("auto", "hull", "volume", "sdf", "sphere", "mesh"),
        help="Shape at step 0; auto tries hull and volume",
    ),
    Param("hull_resolution", 80, "int", 8, 256, 4, "voxels", "Grid of the visual hull along its box"),
    Param("hull_misses", 0, "int", 0, 100, 1, help="Photos that may disagree before space is carved away"),
    Param(
        "start_smooth", 1.0, low=0.0, high=100.0, step=0.5, help="Implicit smoothing of the hull; 0 is off"
    ),
    Param(
        "start_points",
        96,
        "int",
        16,
        512,
        8,
        help="Grid of the start's volume or distances along the object's box; at most 96 for few hues",
    ),
    Param("start_steps", 1200, "int", 1, 1_000_000, 100, help="Steps of the start's volume or distances"),
    Param("start_pixels", 256, "int", 16, 4096, 16, "px", "Long side of the photos that it is fitted to"),
    Param("sphere_subdivisions", 4, "int", 1, 7, 1, help="Subdivisions of the start sphere; 4 is 5120 faces"),
)
_MESH = (
    Param(
        "field_steps",
        0,
        "int",
        0,
        1_000_000,
        10,
        help="Steps at the beginning, of all, in which holes may open and parts may join; 0 is none",
    ),
    Param("field_resolution", 32, "int", 8, 256, 4, "nodes", "Grid of these steps, along the object's box"),
    Param("remesh", True, "bool", help="Even out the triangles between the stages (closed meshes)"),
    Param("edge_coarse", 0.025, low=0.002, high=0.5, step=0.005, help="Edge length at first, of the box"),
    Param(
        "edge_fine", 0.013, low=0.002, high=0.5, step=0.005, help="Edge length in the last stage, of the box"
    ),
    Param(
        "large_steps", 5.0, low=0.0, high=200.0, step=0.5, help="Preconditioner lambda; larger is smoother"
    ),
    Param(
        "thin_parts", True, "bool", help="Lower lambda where the start shape is thin, so that parts survive"
    ),
)
_MATERIAL = (
    Param(
        "material",
        "textures",
        "choice",
        choices=("vertices", "textures"),
        help="Where colour, roughness and metal end up; textures need texture_steps",
    ),
    Param(
        "texture_steps", 0, "int", 0, 1_000_000, 10, help="Steps at the end, of all, for textures; 0 is none"
    ),
    Param(
        "texture_size",
        512,
        "int",
        16,
        8192,
        16,
        "px",
        "Side of the textures; twice that on a volume's surface of many hues",
    ),
    Param(
        "texture_faces",
        20_000,
        "int",
        100,
        1_000_000,
        1000,
        help="Most triangles of the unwrapped mesh; half as many more on a volume's surface of many hues",
    ),
    Param(
        "warm_up",
        60,
        "int",
        0,
        100_000,
        5,
        "steps",
        help="One material for all at first, while light settles; none on a volume's surface of many hues",
    ),
    Param(
        "gloss_from",
        200,
        "int",
        0,
        100_000,
        5,
        "steps",
        help="Of the textures, in which roughness and metal are the same all over; at most two thirds",
    ),
    Param(
        "parting_smoothness",
        10.0,
        low=1.0,
        high=1000.0,
        help="Times that texture_smoothness counts at first, while colours part from light; it fades",
    ),
    Param(
        "ambient_occlusion", True, "bool", help="The mesh hides the environment from itself, with textures"
    ),
    Param(
        "directed_occlusion",
        True,
        "bool",
        help="Occlusion while fitting is that of the light found, and of bounces, if it stands still",
    ),
    Param("texture_vertices", 0.1, low=0.0, high=1.0, help="Rate of the vertices beside textures, of theirs"),
)
_SHADING = (
    Param(
        "shading", "pbr", "choice", choices=("unlit", "pbr"), help="unlit paints vertex colours as they are"
    ),
    Param(
        "light_fixed_to",
        "auto",
        "choice",
        choices=("auto", "world", "camera"),
        help="camera suits turntables, where the object turns under a still lamp",
    ),
    Param(
        "light_model",
        "harmonics",
        "choice",
        choices=("harmonics", "environment"),
        help="Light from all around: 25 harmonics, or from the textures on a map",
    ),
    Param("pose_from", 75, "int", 0, 1_000_000, 5, "steps", "Poses hold until then, while the shape forms"),
    Param(
        "training_background",
        "random",
        "choice",
        choices=("random", "noise", "fixed"),
        help="Behind object and photo while training with masks, so that holes show",
    ),
)
_LOSSES = (
    Param("color_loss", "l1", "choice", choices=("l1", "l2", "huber"), help="Colour difference, in sRGB"),
    Param("color_weight", 1.0, low=0.0, high=100.0, help="Weight of the colour difference"),
    Param("ssim_weight", 0.0, low=0.0, high=100.0, help="Weight of 1 - SSIM; brings out detail, costs time"),
    Param("mask_weight", 1.0, low=0.0, high=100.0, help="Weight of the silhouette's squared difference"),
    Param("laplacian_weight", 0.0, low=0.0, high=1000.0, help="Keeps the curvature of the start shape"),
    Param("normal_consistency_weight", 0.0, low=0.0, high=1000.0, help="Aligns neighbouring triangles"),
    Param("edge_length_weight", 0.0, low=0.0, high=1000.0, help="Keeps edges equally long"),
    Param("albedo_smoothness_weight", 0.0, low=0.0, high=1000.0, help="Evens out colours of vertices"),
    Param("texture_smoothness_weight", 0.01, low=0.0, high=1000.0, help="Evens out colours of texels"),
    Param(
        "material_smoothness_weight", 0.1, low=0.0, high=1000.0, help="Evens out texels' roughness and metal"
    ),
    Param("flat_normals_weight", 0.01, low=0.0, high=100.0, help="Keeps textured normals near the surface's"),
    Param(
        "sign_changes_weight", 0.01, low=0.0, high=100.0, help="Removes what no photo asks for, with a field"
    ),
    Param(
        "carving_weight", 1.0, low=0.0, high=100.0, help="Empties what lies before background, with a field"
    ),
    Param("light_white_weight", 0.005, low=0.0, high=100.0, help="Pulls the environment towards grey"),
    Param("light_smoothness_weight", 0.003, low=0.0, high=100.0, help="Keeps the environment map smooth"),
)
# Rates: vertices in units of the object's box; albedo in its square root; light relative to a
# white environment of radiance 1; normal_map in sines of angles;
# exposure and white_balance in stops; pose in radians and world units.
_RATES = {
    "vertices": (True, 2e-2),
    "albedo": (True, 4e-2),
    "roughness": (True, 1e-2),
    "metallic": (True, 1e-2),
    "normal_map": (True, 5e-3),
    "light": (True, 3e-2),
    "background": (False, 1e-2),
    "exposure": (True, 5e-3),
    "white_balance": (False, 5e-3),
    "pose": (False, 2e-3),
}
_GROUPS = tuple(
    param
    for group in GROUPS
    for param in (
        Param(f"{group}_enabled", _RATES[group][0], "bool", help=f"Optimise {group}"),
        Param(f"{group}_rate", _RATES[group][1], low=0.0, high=1.0, step=1e-3, log=True,
              help=f"Learning rate of {group}"),
    )
)  # fmt: skip

_VOLUME = (
    Param(
        "representation",
        "mesh",
        "choice",
        choices=("mesh", "volume", "sdf", "points", "network"),
        titles=("Mesh", "Volume", "Distances (SDF)", "Points (Gaussians)", "Network"),
        help="What is fitted: a mesh with materials under light, density and colour in space, distances to a "
        "surface and colour in space, Gaussians, or a network that gives density and colour",
    ),
    Param("volume_resolution", 160, "int", 16, 320, 8, "points", "Grid along the object's box at the end"),
    Param(
        "volume_degree", 1, "int", 0, 2, 1, help="How colour varies with direction: 0 not, 1 or 2 harmonics"
    ),
    Param("volume_steps", 2000, "int", 1, 1_000_000, 100, help="Steps of a volume, each a batch of rays"),
    Param("volume_rays", 8192, "int", 16, 1 << 20, 1024, help="Rays in a batch, as squares of 4 by 4 pixels"),
    Param("volume_density_rate", 0.5, low=0.0, high=10.0, log=True, help="Learning rate of densities"),
    Param("volume_color_rate", 0.2, low=0.0, high=10.0, log=True, help="Learning rate of colours"),
    Param("volume_density_smoothness", 6e-6, low=0.0, high=10.0, log=True, help="Evens out densities"),
    Param("volume_color_smoothness", 6e-6, low=0.0, high=10.0, log=True, help="Evens out colours"),
    Param(
        "volume_smooth_every", 4, "int", 0, 1000, 1, "steps", "Even out at every so many steps; 0 is never"
    ),
)

_SDF = (
    Param("sdf_resolution", 128, "int", 16, 320, 8, "points", "Grid along the object's box at the end"),
    Param("sdf_steps", 1500, "int", 1, 1_000_000, 100, help="Steps of distances, each a batch of rays"),
    Param(
        "sdf_thickness",
        0.02,
        low=0.001,
        high=1.0,
        log=True,
        help="Of the fog around the surface at first, of the box",
    ),
    Param("sdf_distance_rate", 0.1, low=0.0, high=10.0, log=True, help="Learning rate of distances"),
    Param(
        "sdf_sharpness_rate",
        5e-3,
        low=0.0,
        high=1.0,
        log=True,
        help="Learning rate of how sharp the surface is",
    ),
    Param("sdf_eikonal_weight", 1e-4, low=0.0, high=100.0, log=True, help="Keeps distances' slope at 1"),
    Param("sdf_bend_weight", 3e-5, low=0.0, high=100.0, log=True, help="Keeps surfaces from bending"),
)

_POINTS = (
    Param("points_count", 40_000, "int", 100, 10_000_000, 1000, help="Gaussians at the end"),
    Param(
        "points_degree", 1, "int", 0, 2, 1, help="How colour varies with direction: 0 not, 1 or 2 harmonics"
    ),
    Param("points_steps", 1500, "int", 1, 1_000_000, 100, help="Steps of points, each a few photos"),
    Param(
        "points_centers_rate",
        3e-3,
        low=0.0,
        high=1.0,
        log=True,
        help="Learning rate of centres, of the object's size",
    ),
    Param("points_log_sizes_rate", 1e-2, low=0.0, high=1.0, log=True, help="Learning rate of sizes"),
    Param("points_turns_rate", 1e-2, low=0.0, high=1.0, log=True, help="Learning rate of the axes"),
    Param("points_opacity_rate", 5e-2, low=0.0, high=1.0, log=True, help="Learning rate of opacities"),
    Param("points_colors_rate", 2e-2, low=0.0, high=1.0, log=True, help="Learning rate of colours"),
)

_NETWORK = (
    Param("network_steps", 1500, "int", 1, 1_000_000, 100, help="Steps of a network, each a batch of rays"),
    Param("network_rays", 512, "int", 16, 1 << 20, 256, help="Random rays in a batch"),
    Param("network_rate", 1e-2, low=0.0, high=1.0, log=True, help="Learning rate of tables and weights"),
)

SECTIONS: dict[str, tuple[Param, ...]] = {
    "Run": _RUN,
    "Start": _START,
    "Mesh": _MESH,
    "Rasterizer": RASTERIZER,
    "Material": _MATERIAL,
    "Shading": _SHADING,
    "Losses": _LOSSES,
    "Groups": _GROUPS,
    "Volume": _VOLUME,
    "Distances": _SDF,
    "Points": _POINTS,
    "Network": _NETWORK,
}
"""Every setting under the heading a panel shows it below."""

PARAMS = tuple(param for section in SECTIONS.values() for param in section)


class FitSettings(ParamSet):
    """Checked settings of a fit, read as `settings["steps"]`.

    Attributes:
        preset: name of the preset they came from, "" if from none.
        help: what the preset is for, one line.
    """

    def __init__(self, values: dict[str, Any] | None = None, preset: str = "", help: str = ""):
        super().__init__("fit", PARAMS, values)
        self.preset = preset
        self.help = help

    def copy(self) -> FitSettings:
        return FitSettings(self.as_dict(), self.preset, self.help)

    def enabled(self, group: str) -> bool:
        """Whether `group` (one of messages.GROUPS) moves."""
        return bool(self[f"{group}_enabled"])

    def rate(self, group: str) -> float:
        """Learning rate of `group` before decay."""
        return float(self[f"{group}_rate"])

    def weight(self, term: str) -> float:
        """Weight of a loss term (one of TERMS)."""
        return float(self[f"{term}_weight"])

    def optimize(self, groups: str) -> None:
        """Enable exactly the groups of a comma-separated list, e.g. "vertices,albedo"."""
        wanted = [name.strip() for name in groups.split(",") if name.strip()]
        for name in wanted:
            if name not in GROUPS:
                raise InputError(f"optimize: no group {name!r}; there are {', '.join(GROUPS)}")
        for group in GROUPS:
            self.set(f"{group}_enabled", group in wanted)


def load_preset(name: str = USUAL) -> FitSettings:
    """The settings of a preset: "quick", "standard", "fine", or a path to a .toml file.

    Raises:
        InputError: no such preset, broken TOML, or a value out of range.
    """
    path = Path(__file__).parent / "presets" / f"{name}.toml"
    if name not in PRESETS:
        path = Path(name)
        if path.suffix != ".toml" or not path.is_file():
            raise InputError(f"preset: no preset {name!r}; there are {', '.join(PRESETS)}, or a .toml file")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"preset {path.name}: {error}") from None
    help_line = str(table.pop("help", ""))
    return FitSettings(_flatten(table, path.name), preset=path.stem, help=help_line)


def _flatten(table: dict[str, Any], where: str) -> dict[str, Any]:
    """Settings of all sections in one dict; [groups.<name>] tables become <name>_<key>."""
    values: dict[str, Any] = {}
    for section, entries in table.items():
        if not isinstance(entries, dict):
            raise InputError(f"preset {where}: {section} stands outside a [section]")
        for key, value in entries.items():
            if isinstance(value, dict):
                values.update({f"{key}_{name}": v for name, v in value.items()})
            else:
                values[key] = value
    return values
