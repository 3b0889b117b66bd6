"""Cameras that were disturbed, and how near refinement brings them back.

    python main.py bench poses [--views N] [--size PX] [--steps N] [--degrees D] [--percent P]

Photos of a painted, bumpy ball by our own renderer; every camera is turned about the object by
`degrees` and shifted by `percent` of its distance, in random directions. Printed are the mean
errors before and after in degrees and in percent, once the motion that all share is taken out.
"""

from __future__ import annotations

import argparse

import numpy as np

from studio.core.optim.fit import Fit, FitProblem
from studio.core.optim.settings import load_preset
from studio.core.optim.views import refined
from studio.core.pipeline import render_image
from studio.core.scene import Camera, Mesh, Photo, PhotoSet, Scene, Similarity, look_at
from studio.core.scene.shapes import icosphere

DISTANCE = 3.0


def painted_ball() -> Mesh:
    """Bumps and colours at several scales, so that every view says where it is."""
    ball = icosphere(6, 0.6)
    x, y, z = ball.vertices.T / 0.6
    bumps = 0.12 * np.sin(4 * x + 1) * np.cos(3 * y) + 0.06 * np.sin(9 * z + 2 * x)
    ball.colors = np.clip(
        0.45 + 0.3 * np.stack([np.sin(11 * x + 5 * y), np.sin(13 * y - 4 * z), np.cos(12 * z + x)], axis=1),
        0.03,
        0.97,
    ).astype(np.float32)
    ball.vertices = (ball.vertices * (1 + bumps[:, None])).astype(np.float32)
    ball.normals = None
    return ball


def photograph(views: int, size: int) -> list[Photo]:
    mesh = painted_ball()
    photos = []
    for i in range(views):
        height = 1 - (2 * i + 1) / views
        turn, level = i * np.pi * (3 - np.sqrt(5)), np.sqrt(1 - height**2)
        eye = DISTANCE * np.array([level * np.cos(turn), height, level * np.sin(turn)])
        focal = 1.7 * size
        pose = look_at(eye, np.zeros(3))
        camera = Camera(size, size, focal, focal, size / 2, size / 2, pose, 1.0, 6.0, name=f"{i:02d}")
        rgba = render_image(Scene(meshes=[mesh]), camera, effects={})
        color = rgba[..., :3] / np.maximum(rgba[..., 3:], 1e-3)
        photos.append(Photo(camera.name, color.astype(np.float32), camera, rgba[..., 3].copy()))
    return photos


def errors(true: list[Camera], found: list[Camera]) -> tuple[float, float]:
    """(degrees, percent of the distance): mean turn and shift of the object from photo to photo."""
    moves = [np.linalg.inv(a.world_to_view) @ b.world_to_view for a, b in zip(true, found)]
    turns = np.stack([_rotation_vector(m[:3, :3]) for m in moves])
    shifts = np.stack([m[:3, 3] for m in moves])
    turns, shifts = turns - turns.mean(axis=0), shifts - shifts.mean(axis=0)
    degrees = np.degrees(np.linalg.norm(turns, axis=1)).mean()
    return float(degrees), float(100 * np.linalg.norm(shifts, axis=1).mean() / DISTANCE)


def _rotation_vector(matrix: np.ndarray) -> np.ndarray:
    """Of a small rotation: the antisymmetric part, right to the third order of the angle."""
    a = 0.5 * (matrix - matrix.T)
    return np.array([a[2, 1], a[0, 2], a[1, 0]])


def run(
    views: int, size: int, steps: int, degrees: float, percent: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """((degrees, percent) before, after)."""
    photos = photograph(views, size)
    random = np.random.default_rng(0).normal(size=(views, 2, 3))
    random /= np.linalg.norm(random, axis=2, keepdims=True)
    moves = np.concatenate(
        [np.radians(degrees) * random[:, 0], 0.01 * percent * DISTANCE * random[:, 1]], axis=1
    )
    disturbed = [
        Photo(p.name, p.image, refined(p.camera, move, np.zeros(3)), p.mask) for p, move in zip(photos, moves)
    ]
    settings = load_preset("quick")
    changes = {
        "steps": steps,
        "texture_steps": 0,
        "resolution": size,
        "hull_misses": 3,
        "hull_resolution": 56,
    }
    changes |= {"pose_enabled": True, "exposure_enabled": False, "views_per_step": 8}
    for name, value in changes.items():
        settings.set(name, value)
    fit = Fit(FitProblem(PhotoSet(disturbed, Similarity(), object_radius=0.75)), settings, "auto")
    fit.prepare()
    while fit.steps_done < fit.steps:
        fit.step()
    found = fit.snapshot().cameras
    true = [p.camera for p in photos]
    return errors(true, [p.camera for p in disturbed]), errors(true, [found[p.name] for p in photos])


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--views", type=int, default=24)
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--degrees", type=float, default=1.0)
    parser.add_argument("--percent", type=float, default=1.0)
    values = parser.parse_args(argv)
    before, after = run(values.views, values.size, values.steps, values.degrees, values.percent)
    for name, value in (("before", before), ("after", after)):
        print(f"{name}: {value[0]:.3f} degrees, {value[1]:.3f} % of the distance")
    print(f"better by {before[0] / after[0]:.1f} and {before[1] / after[1]:.1f}")


if __name__ == "__main__":
    main()
