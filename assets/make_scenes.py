"""Makes the built-in scenes: Cornell box, tea set, bust and material balls.

    python assets/make_scenes.py

Writes assets/scenes/*.glb. Light and cameras are in studio/core/scenes.py. Sources: the Cornell
box's measured geometry and spectra (Cornell University Program of Computer Graphics, 1998; Goral
et al. 1984), Newell's teapot (see teaset.py); the rest is made here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from bust import SHELF, bust_mesh
from solids import prism, quads, slab
from teaset import tea_set

from studio.core.io.export import export_scene
from studio.core.scene import Material, Mesh, Scene
from studio.core.scene.shapes import icosphere

SCENES = Path(__file__).parent / "scenes"

# Reflectance every 4 nm from 400 to 700 nm, in thousandths.
WHITE = """343 445 551 624 665 687 708 723 715 710 745 758 739 767 777 765 751 745 748 729 745 757 753
    750 746 747 735 732 739 734 725 721 733 725 732 743 744 748 728 716 733 726 713 740 754 764 752 736
    734 741 740 732 745 755 751 744 731 733 744 731 712 708 729 730 727 707 703 729 750 760 751 739 724
    730 740 737"""
GREEN = """92 96 98 97 98 95 95 97 95 94 97 98 96 101 103 104 107 109 112 115 125 140 160 187 229 285
    343 390 435 464 472 476 481 462 447 441 426 406 373 347 337 314 285 277 266 250 230 207 186 171 160
    148 141 136 130 126 123 121 122 119 114 115 117 117 118 120 122 128 132 139 144 146 150 152 157 159"""
RED = """40 46 48 53 49 50 53 55 57 56 59 57 61 61 60 62 62 62 61 62 60 59 57 58 58 58 56 55 56 59 57
    55 59 59 58 59 61 61 63 63 67 68 72 80 90 99 124 154 192 255 287 349 402 443 487 513 558 584 620 606
    609 651 612 610 650 638 627 620 630 628 642 639 657 639 635 642"""
NANOMETRES = np.arange(400.0, 701.0, 4.0)
LAMP = np.interp(NANOMETRES, (400, 500, 600, 700), (0.0, 8.0, 15.6, 18.4))
"""Radiance of the box's light."""

XYZ_TO_SRGB = np.array(
    (
        (3.2404542, -1.5371385, -0.4985314),
        (-0.969266, 1.8760108, 0.041556),
        (0.0556434, -0.2040259, 1.0572252),
    )
)
D65 = np.array((0.95047, 1.0, 1.08883))

UNIT = 278.0
"""Millimetres of the measured box to one unit: the box is two units wide, around the origin."""


def observer() -> np.ndarray:
    """[3, 76] CIE 1931 matching functions, multi-lobe fit (Wyman, Sloan and Shirley 2013, JCGT 2(2))."""

    def lobe(peak: float, below: float, above: float) -> np.ndarray:
        width = np.where(peak > NANOMETRES, below, above)
        return np.exp(-0.5 * ((NANOMETRES - peak) / width) ** 2)

    return np.stack(
        [
            1.056 * lobe(599.8, 37.9, 31.0)
            + 0.362 * lobe(442.0, 16.0, 26.7)
            - 0.065 * lobe(501.1, 20.4, 26.2),
            0.821 * lobe(568.8, 46.9, 40.5) + 0.286 * lobe(530.9, 16.3, 31.1),
            1.217 * lobe(437.0, 11.8, 36.0) + 0.681 * lobe(459.0, 26.0, 13.8),
        ]
    )


def radiance_color(spectrum: np.ndarray) -> np.ndarray:
    """[3] linear sRGB of a spectrum of light; ones has luminance 1."""
    matching = observer()
    return XYZ_TO_SRGB @ (matching @ spectrum) / matching[1].sum()


def surface_color(text: str) -> tuple[float, float, float]:
    """Linear sRGB of a reflectance; equal reflectance everywhere is grey."""
    matching = observer()
    xyz = D65 * (matching @ (np.array(text.split(), float) / 1000)) / matching.sum(axis=1)
    r, g, b = np.clip(XYZ_TO_SRGB @ xyz, 0.0, 1.0)
    return float(r), float(g), float(b)


def from_measured(points: list) -> np.ndarray:
    """Measured millimetres (x left, y up, z away) to the scene's axes (x right, y up, z near)."""
    return (np.array(points, float) - (278.0, 274.4, 279.6)) * (-1, 1, -1) / UNIT


def cornell() -> list[Mesh]:
    """Room (single walls that face in), two blocks (closed) and the light."""
    matte = {name: Material(name, surface_color(text), 1.0) for name, text in
             (("white", WHITE), ("green", GREEN), ("red", RED))}  # fmt: skip
    floor = [(552.8, 0, 0), (0, 0, 0), (0, 0, 559.2), (549.6, 0, 559.2)]
    ceiling = [(556, 548.8, 0), (556, 548.8, 559.2), (0, 548.8, 559.2), (0, 548.8, 0)]
    back = [(549.6, 0, 559.2), (0, 0, 559.2), (0, 548.8, 559.2), (556, 548.8, 559.2)]
    right = [(0, 0, 559.2), (0, 0, 0), (0, 548.8, 0), (0, 548.8, 559.2)]
    left = [(552.8, 0, 0), (549.6, 0, 559.2), (556, 548.8, 559.2), (556, 548.8, 0)]
    # Half a millimetre below the ceiling, which has no hole here.
    lamp = [(343, 548.3, 227), (343, 548.3, 332), (213, 548.3, 332), (213, 548.3, 227)]
    short = [(130, 165, 65), (82, 165, 225), (240, 165, 272), (290, 165, 114)]
    tall = [(423, 330, 247), (265, 330, 296), (314, 330, 456), (472, 330, 406)]
    r, g, b = np.maximum(radiance_color(LAMP), 0.0).tolist()
    glow = Material("light", surface_color("780 " * 76), 1.0, emissive=(r, g, b))
    low = float(from_measured([(0, 0, 0)])[0, 1])
    return [
        quads(np.stack([from_measured(q) for q in (floor, ceiling, back)]), "room", matte["white"]),
        quads(from_measured(right)[None], "right wall", matte["green"]),
        quads(from_measured(left)[None], "left wall", matte["red"]),
        prism(from_measured(short), low, "short block", matte["white"]),
        prism(from_measured(tall), low, "tall block", matte["white"]),
        quads(from_measured(lamp)[None], "light", glow),
    ]


def teaset() -> list[Mesh]:
    """The tea set on a glossy floor."""
    steel = Material("floor", (0.45, 0.45, 0.47), perceptual_roughness=0.18, metallic=1.0)
    return [slab((-6, -0.2, -5), (6, 0, 5), "floor", steel), *tea_set()]


def bust() -> list[Mesh]:
    """The bust on a slab."""
    stone = Material("stone", (0.3, 0.3, 0.32), perceptual_roughness=0.7)
    return [bust_mesh(), slab((-1.3, SHELF - 0.12, -0.9), (1.3, SHELF, 0.9), "slab", stone)]


def balls() -> list[Mesh]:
    """Seven columns of roughness (0.05 to 1), five rows of metallic (0 below, 1 above), and a wall."""
    out = [slab((-4, -3, -1.2), (4, 3, -1.0), "wall", Material("wall", (0.4, 0.4, 0.4), 0.9))]
    ball = icosphere(3, 0.42)
    for row, metallic in enumerate(np.linspace(0.0, 1.0, 5).tolist()):
        for column, roughness in enumerate(np.linspace(0.05, 1.0, 7).tolist()):
            name = f"roughness {roughness:.2f} metallic {metallic:.2f}"
            material = Material(name, (0.9, 0.55, 0.2), roughness, metallic)
            at = ball.vertices + np.float32((column - 3, row - 2, 0))
            out.append(Mesh(at, ball.faces, ball.normals, material=material, name=name))
    return out


def main() -> None:
    SCENES.mkdir(exist_ok=True)
    for make in (cornell, teaset, bust, balls):
        scene = Scene(meshes=make(), name=make.__name__)
        path = SCENES / f"{make.__name__}.glb"
        export_scene(scene, path)
        print(f"{path}: {scene.triangle_count():,} triangles, {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
