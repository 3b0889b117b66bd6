"""Makes the built-in scene: a rubber duck from distance functions, and 24 photos of it.

    python assets/make_demo.py

Writes assets/demo/: duck.glb (the truth), transforms.json and images/*.png (RGBA). Nothing
here comes from elsewhere: the shape is a smooth union of ellipsoids (Quilez 2013, "Smooth
minimum", polynomial form), the photos are drawn by the studio's own renderer, 3x3
supersampled, under a sky of nine spherical harmonics and one sun.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from skimage.measure import marching_cubes

from studio.core.effects import registry
from studio.core.io.export import export_scene
from studio.core.io.images import save_png
from studio.core.params import ParamSet
from studio.core.pipeline import render_image
from studio.core.scene import SH_COUNT, Camera, Light, Lighting, Mesh, Scene, look_at

DEMO = Path(__file__).parent / "demo"
VIEWS = 24
SIZE = 320
SUPERSAMPLING = 3
GRID = 144  # cells along the longest side: about 86k triangles, creases still crisp
Y_UP_TO_Z_UP = np.array(((1, 0, 0, 0), (0, 0, -1, 0), (0, 1, 0, 0), (0, 0, 0, 1)), float)  # NeRF files

YELLOW, ORANGE, BLACK, WHITE = (0.85, 0.52, 0.03), (0.85, 0.16, 0.02), (0.01, 0.01, 0.015), (0.9, 0.9, 0.88)


def ellipsoid(p: np.ndarray, center: tuple, radii: tuple) -> np.ndarray:
    """Approximate signed distance to an ellipsoid (Quilez): exact at the surface to first order."""
    q = (p - np.array(center)) / np.array(radii)
    k0 = np.linalg.norm(q, axis=-1)
    k1 = np.linalg.norm(q / np.array(radii), axis=-1)
    return k0 * (k0 - 1.0) / np.maximum(k1, 1e-9)


def smooth_min(a: np.ndarray, b: np.ndarray, k: float) -> np.ndarray:
    h = np.maximum(k - np.abs(a - b), 0.0) / k
    return np.minimum(a, b) - h * h * k * 0.25


def duck(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(signed distance [...], linear albedo [..., 3]) of the duck, which looks along +Z."""
    body = ellipsoid(p, (0.0, -0.28, -0.05), (0.50, 0.40, 0.66))
    tail = ellipsoid(p, (0.0, 0.02, -0.68), (0.20, 0.16, 0.22))
    body = smooth_min(body, tail, 0.28)
    mirrored = np.concatenate([np.abs(p[..., :1]), p[..., 1:]], axis=-1)
    wing = ellipsoid(mirrored, (0.46, -0.18, -0.16), (0.10, 0.20, 0.34))
    body = smooth_min(body, wing, 0.06)
    head = ellipsoid(p, (0.0, 0.36, 0.30), (0.35, 0.34, 0.35))
    body = smooth_min(body, head, 0.16)
    beak = smooth_min(
        ellipsoid(p, (0.0, 0.33, 0.66), (0.16, 0.05, 0.15)),
        ellipsoid(p, (0.0, 0.27, 0.62), (0.12, 0.035, 0.12)),
        0.03,
    )
    eye = ellipsoid(mirrored, (0.185, 0.46, 0.565), (0.075, 0.085, 0.05))
    distance = smooth_min(smooth_min(body, beak, 0.03), eye, 0.01)

    glint = np.linalg.norm(mirrored - np.array((0.20, 0.50, 0.615)), axis=-1) - 0.024
    chest = 0.5 + 0.5 * np.tanh((p[..., 1] + 0.33) / 0.03)  # a paler belly below the waterline
    albedo = chest[..., None] * np.array(YELLOW) + (1 - chest[..., None]) * np.array((0.88, 0.68, 0.28))
    # Colours meet over 1.5 grid cells, which the vertices of the mesh can show without teeth.
    for inside, color in ((body - beak, ORANGE), (body - eye, BLACK), (-glint, WHITE)):
        share = np.clip(0.5 + inside / 0.02, 0.0, 1.0)[..., None]
        albedo = (1 - share) * albedo + share * np.array(color)
    return distance, albedo


def mesh() -> Mesh:
    low, high = np.array((-0.72, -0.80, -1.02)), np.array((0.72, 0.80, 0.92))
    step = (high - low).max() / GRID
    axes = [np.arange(a, b + step, step) for a, b in zip(low, high)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    vertices, faces, _, _ = marching_cubes(duck(points)[0], level=0.0, spacing=(step,) * 3)
    vertices = vertices + low
    # Marching cubes places vertices linearly; three Newton steps put them on the surface.
    for _ in range(3):
        vertices -= duck(vertices)[0][:, None] * normals_of(vertices)
    _, albedo = duck(vertices - 1e-3 * normals_of(vertices))
    return Mesh(
        vertices=vertices.astype(np.float32),
        faces=faces.astype(np.int32),
        normals=normals_of(vertices).astype(np.float32),
        colors=albedo.astype(np.float32),
        roughness=np.full((len(vertices), 1), 0.35, np.float32),
        metallic=np.zeros((len(vertices), 1), np.float32),
        name="duck",
    )


def normals_of(points: np.ndarray, step: float = 1e-4) -> np.ndarray:
    """Unit gradient of the distance by central differences."""
    gradient = np.stack(
        [duck(points + step * axis)[0] - duck(points - step * axis)[0] for axis in np.eye(3)], axis=-1
    )
    return gradient / np.maximum(np.linalg.norm(gradient, axis=-1, keepdims=True), 1e-12)


def lighting() -> Lighting:
    """A bright sky, a dim warm ground, and one sun."""
    sh = np.zeros((SH_COUNT, 3), np.float32)
    sh[0] = (1.55, 1.6, 1.7)
    sh[1] = (0.55, 0.65, 0.8)  # y: light from above
    sh[2] = (0.12, 0.10, 0.08)
    sh[3] = (0.10, 0.05, 0.0)
    sun = Light(name="sun", direction=(0.45, 0.75, 0.48), intensity=0.8, color=(1.0, 0.95, 0.86))
    return Lighting(lights=[sun], sh=sh)


def cameras(width: int) -> list[Camera]:
    """Fibonacci spiral from nearly above to a little below, all looking at the middle."""
    out = []
    for i in range(VIEWS):
        y = 0.93 - 1.33 * (i + 0.5) / VIEWS  # sine of the elevation, 63 degrees to -20
        angle = i * np.pi * (3 - np.sqrt(5))
        r = np.sqrt(1 - y * y)
        eye = 3.0 * np.array((r * np.sin(angle), y, r * np.cos(angle)))
        focal = 0.5 * width / np.tan(np.radians(40) / 2)
        pose = look_at(eye, np.array((0.0, -0.02, -0.05)))
        out.append(Camera(width, width, focal, focal, width / 2, width / 2, pose, name=f"photo_{i:02d}"))
    return out


def main() -> None:
    (DEMO / "images").mkdir(parents=True, exist_ok=True)
    scene = Scene(meshes=[mesh()], lighting=lighting(), name="duck")
    export_scene(scene, DEMO / "duck.glb")
    on = {name: effect for name, effect in registry().items() if effect.enabled}
    effects = {name: ParamSet(name, effect.params) for name, effect in on.items()}
    frames = []
    for camera in cameras(SIZE * SUPERSAMPLING):
        image = render_image(scene, camera, effects=effects)
        k = SUPERSAMPLING
        image = image.reshape(SIZE, k, SIZE, k, 4).mean(axis=(1, 3))
        # Colours over black are premultiplied; PNG wants them straight.
        image[..., :3] /= np.maximum(image[..., 3:], 1e-6)
        save_png(DEMO / "images" / f"{camera.name}.png", image)
        frames.append(
            {
                "file_path": f"images/{camera.name}.png",
                "transform_matrix": np.round(Y_UP_TO_Z_UP @ camera.view_to_world, 7).tolist(),
            }
        )
    camera = cameras(SIZE)[0]
    meta = {"fl_x": camera.fx, "fl_y": camera.fy, "cx": SIZE / 2, "cy": SIZE / 2, "w": SIZE, "h": SIZE}
    text = json.dumps({**meta, "frames": frames}, indent=1)
    (DEMO / "transforms.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
