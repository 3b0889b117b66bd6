"""Steps a second of a fit: 4 views of 256 px per step, about 20k triangles.

    python -m benchmarks.fit_speed [--shading unlit|pbr] [--steps N]

Photos of a ball that the script renders itself, from a ball of 20,480 triangles; positions and
vertex colours move (with pbr also roughness, metallic and light). Prints the median and spread of
ten equal runs, so that a busy machine shows.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from studio.core.device import describe_device
from studio.core.optim.fit import Fit, FitProblem
from studio.core.optim.metrics import peak_memory_mb
from studio.core.optim.settings import FitSettings
from studio.core.pipeline import render_image
from studio.core.scene import Camera, Mesh, Photo, PhotoSet, Scene, Similarity, look_at
from studio.core.scene.shapes import icosphere

SIZE = 256
VIEWS = 24
RUNS = 10


def photos_of(mesh: Mesh) -> PhotoSet:
    """Unlit photos from a ring of cameras; the object covers a third of the picture."""
    photos = []
    for i in range(VIEWS):
        angle, height = 2 * np.pi * i / VIEWS, 0.8 * np.sin(5 * i)
        eye = np.array([3 * np.cos(angle), height, 3 * np.sin(angle)])
        camera = Camera(
            SIZE, SIZE, 1.6 * SIZE, 1.6 * SIZE, SIZE / 2, SIZE / 2, look_at(eye, np.zeros(3)), near=1, far=6
        )
        rgba = render_image(Scene(meshes=[mesh]), camera, effects={})
        photos.append(Photo(f"{i:02d}", np.ascontiguousarray(rgba[..., :3]), camera, rgba[..., 3].copy()))
    return PhotoSet(photos, Similarity(), object_radius=0.6)


def measure(shading: str, steps: int) -> tuple[np.ndarray, Fit]:
    """([RUNS] steps a second, the fit)."""
    ball = icosphere(5, 0.6)
    ball.colors = (0.5 + 0.4 * np.sin(9 * ball.vertices)).astype(np.float32)
    settings = FitSettings(
        {"start": "mesh", "remesh": False, "stages": 1, "resolution": SIZE, "steps": steps * (RUNS + 1)}
    )
    settings.set("shading", shading)
    settings.optimize("vertices,albedo" + (",roughness,metallic,light" if shading == "pbr" else ""))
    start = icosphere(5, 0.55)
    fit = Fit(FitProblem(photos_of(ball), start), settings, "auto")
    fit.prepare()
    rates = []
    for run in range(RUNS + 1):
        began = time.perf_counter()
        for _ in range(steps):
            fit.step()
        if run:  # the first warms up
            rates.append(steps / (time.perf_counter() - began))
    return np.array(rates), fit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shading", choices=("unlit", "pbr"), default="unlit")
    parser.add_argument("--steps", type=int, default=20, help="steps of one run")
    arguments = parser.parse_args()
    rates, fit = measure(arguments.shading, arguments.steps)
    print(
        f"{arguments.shading}: {np.median(rates):.1f} it/s ({rates.min():.1f} to {rates.max():.1f}), "
        f"{len(fit.variables.faces):,} triangles, {VIEWS} photos of {SIZE} px, "
        f"peak {peak_memory_mb():.0f} MB, {describe_device(fit.device)}"
    )


if __name__ == "__main__":
    main()
