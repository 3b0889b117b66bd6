"""Our pictures against path tracing where the answer is known: GGX lobes, shadow edges, penumbras.

    python main.py bench reference [--docs]

Needs Mitsuba (pip install "mitsuba>=3.5"). Both sides draw the same scene:

    lobe        a ball under one directional light, seen by its highlight alone; the error of
                radiance over the ball as a share of its mean. Mitsuba has Smith's term of each
                direction by itself, ours is correlated in height, and ours makes up for light
                that is reflected more than once: on rough metals that is what differs
    edge        the shadow of a straight edge under a point light, row by row
    penumbra    the same under lamps of growing radius: from 10 to 90 % of the light
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from benchmarks import _docs
from benchmarks.effects import Rows, effect_set, markdown
from studio.core.device import configure_threads
from studio.core.pipeline import render_image
from studio.core.scene import Camera, Light, Lighting, Material, Mesh, Scene, look_at
from studio.core.scene.light import ambient_sh
from studio.core.scene.shapes import icosphere
from studio.reference import render_reference

DARK = ambient_sh((0.0, 0.0, 0.0))
CPU = torch.device("cpu")


def lobe_rows() -> Rows:
    """Mean error of the specular lobe, per roughness."""
    rows: Rows = []
    for metallic, name in ((0.0, "dielectric, f0 0.04"), (1.0, "metal with compensation")):
        for roughness in (0.1, 0.2, 0.35, 0.5, 0.75, 1.0):
            ball = icosphere(6)
            color = (metallic,) * 3  # black below the dielectric's highlight
            ball.material = Material(base_color=color, perceptual_roughness=roughness, metallic=metallic)
            light = Light(direction=(0.7, 0.5, 0.6), intensity=1.0)
            pose = look_at(np.array((0.0, 0.0, 8.0)), np.zeros(3))
            camera = Camera(128, 128, 480, 480, 64, 64, pose, near=1, far=20)
            scene = Scene([ball], Lighting([light], sh=DARK))
            fine = render_image(scene, camera.resized(512, 512), effect_set({"pbr"}), CPU)
            ours = fine.reshape(128, 4, 128, 4, 4).mean((1, 3))
            theirs = render_reference(scene, camera, samples=64, bounces=1)
            inside = (ours[..., 3] > 0.999) & (theirs[..., 3] > 0.999)
            a, b = ours[inside][:, 0], theirs[inside][:, 0]
            rows.append((f"{name}, roughness {roughness:g}", f"{100 * np.abs(a - b).mean() / b.mean():.1f} %",
                         f"{100 * (a.mean() / b.mean() - 1):+.1f} %"))  # fmt: skip
            print("  " + "  ".join(rows[-1]), flush=True)
    return rows


def _quad(corners: list[tuple[float, float, float]], color: float) -> Mesh:
    return Mesh(
        np.array(corners, np.float32),
        np.array([(0, 1, 2), (0, 2, 3)], np.int32),
        material=Material(base_color=(color,) * 3, perceptual_roughness=1.0),
    )


def edge_scene(size: float) -> tuple[Scene, Camera]:
    """A floor seen from above, and a plate out of view whose straight edge throws its shadow on it.

    The lamp is 4 above the floor and the plate 1: a penumbra is a third of the lamp's diameter.
    """
    floor = _quad([(-8, 0, 8), (8, 0, 8), (8, 0, -8), (-8, 0, -8)], 0.8)
    plate = _quad([(-6, 1, 6), (-0.9, 1, 6), (-0.7, 1, -6), (-6, 1, -6)], 0.8)
    lamp = Light(kind="point", position=(-1.2, 4.0, 0.1), intensity=12.0, size=size)
    pose = look_at(np.array((-0.67, 0.95, 0.0)), np.array((-0.67, 0.0, 0.0)), up=(0, 0, -1))
    camera = Camera(192, 48, 170, 170, 96, 24, pose, near=0.1, far=20.0)
    return Scene([floor, plate], Lighting([lamp], sh=DARK)), camera


def profiles(size: float, samples: int, settings: dict[str, object]) -> tuple[np.ndarray, np.ndarray]:
    """[rows, columns] share of the light that arrives, ours and the reference's."""
    scene, camera = edge_scene(size)
    effects = effect_set({"pbr", "shadows"})
    for name, value in settings.items():
        effects["shadows"].set(name, value)
    lit = effect_set({"pbr"})
    ours = render_image(scene, camera, effects, CPU) / render_image(scene, camera, lit, CPU)
    bare = Scene(scene.meshes[:1], scene.lighting)
    theirs = render_reference(scene, camera, samples, 1) / render_reference(bare, camera, samples, 1)
    return ours[..., 0], theirs[..., 0]


def crossing(profile: np.ndarray, level: float) -> np.ndarray:
    """[rows] column, between pixels, at which the light reaches `level` of the brightest."""
    out = []
    for row in profile / np.quantile(profile, 0.98):
        above = np.flatnonzero((row[:-1] < level) & (row[1:] >= level))
        out.append(
            above[0] + (level - row[above[0]]) / (row[above[0] + 1] - row[above[0]]) if len(above) else np.nan
        )
    return np.array(out)


def edge_rows() -> Rows:
    """Where a hard shadow ends."""
    ours, theirs = profiles(0.0, 256, {"mode": "hard", "map_size": "2048"})
    off = np.abs(crossing(ours, 0.5) - crossing(theirs, 0.5))
    return [("hard shadow, edge off by, pixels", f"mean {np.nanmean(off):.2f}", f"max {np.nanmax(off):.2f}")]


def penumbra_rows() -> Rows:
    """How wide penumbras are."""
    rows: Rows = []
    for size in (0.05, 0.15, 0.3, 0.6):
        ours, theirs = profiles(size, 512, {"mode": "vssm", "map_size": "1024"})
        theirs = np.broadcast_to(theirs.mean(0), theirs.shape)  # rows are nearly alike: less noise
        widths = [np.nanmean(crossing(p, 0.9) - crossing(p, 0.1)) for p in (ours, theirs)]
        error = np.abs(ours.mean(0) - theirs.mean(0)).mean()
        share = f"{100 * (widths[0] / widths[1] - 1):+.1f} %"
        rows.append((f"penumbra, radius {size:g}: {widths[1]:.1f} pixels", share, f"mean error {error:.4f}"))
        print("  " + "  ".join(rows[-1]), flush=True)
    return rows


def main(arguments: list[str] | None = None) -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="bench reference", description=__doc__.split("\n")[0])
    parser.add_argument("--docs", action="store_true", help="write the table into docs/benchmarks.md")
    options = parser.parse_args(arguments)
    configure_threads()
    rows = [*lobe_rows(), *edge_rows(), *penumbra_rows()]
    text = markdown(("against path tracing", "mean error or difference", "of the whole, or worst"), rows)
    print("\n" + text)
    if options.docs:
        _docs.put("reference", text)


if __name__ == "__main__":
    main()
