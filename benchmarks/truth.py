"""Fits to photos of objects whose shape, colours and roughness are known.

    python main.py bench truth [--model spot|bob] [--views N] [--size PX] [--samples N]
        [--keep FILE.npz] [--set SETTING=VALUE]... [--preset NAME]

Photos are path-traced (`--samples 0`: by our own renderer) under a sky with four windows; every
8th is held out. Printed are: the distance of the truth's visible surface to the fit in % of the
box's diagonal, the angle between normals, the base colour's PSNR (sRGB, after one scale per channel,
which light may keep), the error of roughness, and the PSNR under another sky (both by our renderer).
The models are those of the development data (see benchmarks/_models.py).
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks._models import _DATA
from studio.contact import _sky
from studio.core.color import display, mse_to_psnr
from studio.core.effects import get
from studio.core.io.meshes import load_scene
from studio.core.ops.ambient import ambient_visibility
from studio.core.optim.atlas import Atlas
from studio.core.optim.fit import Fit, FitProblem
from studio.core.optim.settings import load_preset
from studio.core.optim.surface import SurfacePoints
from studio.core.params import ParamSet
from studio.core.pipeline import render_channels
from studio.core.scene import Camera, Lighting, Mesh, Photo, PhotoSet, Scene, Similarity, look_at
from studio.core.scene.mesh import merge

ROUGHNESS = 0.4

_EXPOSURE = np.float32(0.45)
"""Of the sky: a white object must not be overexposed, as a clipped pixel says nothing."""


def truth_scene(model: str) -> Scene:
    """The model within the unit sphere under the sky."""
    mesh = merge(load_scene(_DATA / "meshes" / model / f"{model}.obj").meshes)
    low, high = mesh.bounds()
    scale = 1.4 / float(np.linalg.norm(high - low))
    mesh = mesh.with_vertices(((mesh.vertices - 0.5 * (low + high)) * scale).astype(np.float32))
    mesh.normals = mesh.vertex_normals()
    material = replace(
        mesh.material, base_color=(1.0, 1.0, 1.0), perceptual_roughness=ROUGHNESS, metallic=0.0
    )
    mesh = replace(mesh, material=material)
    return Scene([mesh], Lighting(lights=[]).with_environment(_EXPOSURE * _sky()), name=model)


def cameras(count: int, size: int) -> list[Camera]:
    """Around the object, mostly from above."""
    out = []
    for i in range(count):
        height = 0.95 - 1.35 * (i + 0.5) / count
        turn, level = i * np.pi * (3 - np.sqrt(5)), np.sqrt(1 - height**2)
        eye = 3.0 * np.array([level * np.cos(turn), height, level * np.sin(turn)])
        focal = 1.9 * size
        pose = look_at(eye, np.zeros(3))
        out.append(Camera(size, size, focal, focal, size / 2, size / 2, pose, near=1, far=6, name=f"{i:02d}"))
    return out


def effects() -> dict[str, ParamSet]:
    """Shading under the map, without the map behind it."""
    sky, pbr = get("environment"), get("pbr")
    return {
        sky.name: ParamSet(sky.name, sky.params, {"show_background": False}),
        pbr.name: ParamSet(pbr.name, pbr.params),
    }


def photograph(scene: Scene, views: int, size: int, samples: int, keep: Path | None) -> PhotoSet:
    """Photos with exact masks; those of an earlier run if the file has them."""
    shots = cameras(views, size)
    if keep is not None and keep.exists():
        images = np.load(keep)["images"]
    else:
        images = np.stack([_photo(scene, camera, samples) for camera in shots])
        if keep is not None:
            np.savez_compressed(keep, images=images)
    photos = []
    for camera, rgba in zip(shots, images, strict=True):
        color = rgba[..., :3] / np.maximum(rgba[..., 3:], 1e-3)
        photos.append(Photo(camera.name, np.clip(color, 0, 1), camera, np.clip(rgba[..., 3], 0, 1)))
    return PhotoSet(photos, Similarity(), object_radius=0.7)


def _photo(scene: Scene, camera: Camera, samples: int) -> np.ndarray:
    """[H, W, 4] premultiplied."""
    if samples == 0:
        return render_channels(scene, camera, effects())["rgba"]
    from studio.reference import render_reference

    return render_reference(scene, camera, samples, transparent=True)


def with_occlusion(mesh: Mesh) -> Mesh:
    """The truth with the part of the sky that each point sees, as a fit's textures have it."""
    vertices, faces, normals, uvs = (
        torch.from_numpy(np.ascontiguousarray(a))
        for a in (mesh.vertices, mesh.faces, mesh.vertex_normals(), mesh.uvs)
    )
    atlas = Atlas.lay_out(torch.arange(len(vertices)), faces, uvs, 512)
    seen = atlas.bake(ambient_visibility(vertices, faces, normals))[0].numpy()
    return replace(mesh, material=replace(mesh.material, occlusion_texture=np.repeat(seen, 3, axis=2)))


def compare(truth: Scene, fitted: Scene, shots: list[Camera]) -> dict[str, float]:
    """The figures of the module's head, seen from cameras that were held out."""
    own, fit = truth.meshes[0], fitted.meshes[0]
    names = ("albedo", "normal", "position", "perceptual_roughness", "covered")
    true, found = ([render_channels(s, c, {}, names) for c in shots] for s in (truth, fitted))
    both = [(a["covered"] * b["covered"])[..., 0] > 0 for a, b in zip(true, found)]

    def pixels(which: list[dict[str, np.ndarray]], name: str) -> np.ndarray:
        return np.concatenate([c[name][inside] for c, inside in zip(which, both)])

    points = pixels(true, "position")[::7]
    surface = SurfacePoints(fit.vertices, fit.faces)
    distance = np.linalg.norm(surface.project(points) - points, axis=1)
    diagonal = float(np.linalg.norm(np.subtract(*own.bounds())))
    cosine = (pixels(true, "normal") * pixels(found, "normal")).sum(axis=1)
    color, guess = pixels(true, "albedo"), pixels(found, "albedo")
    scale = (color * guess).sum(axis=0) / (guess * guess).sum(axis=0)
    relit = _relit(truth, fitted, scale, shots, both)
    return {
        "distance_percent": 100 * float(distance.mean()) / diagonal,
        "distance_p99_percent": 100 * float(np.quantile(distance, 0.99)) / diagonal,
        "normals_degrees": float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean()),
        "base_color_psnr": _psnr(color, guess * scale),
        "roughness_error": float(
            np.abs(pixels(true, "perceptual_roughness") - pixels(found, "perceptual_roughness")).mean()
        ),
        "relit_psnr": relit,
    }


def _relit(
    truth: Scene, fitted: Scene, scale: np.ndarray, shots: list[Camera], both: list[np.ndarray]
) -> float:
    """PSNR under the sky turned and dimmed on one side, base colours brought to one scale."""
    turned = _EXPOSURE * np.roll(_sky(), 37, axis=1) * np.linspace(0.4, 1.6, 128, dtype=np.float32)[:, None]
    light = Lighting(lights=[]).with_environment(turned)
    tint = tuple(float(v) for v in scale)
    mesh = fitted.meshes[0]
    material = replace(mesh.material, base_color=tint)
    pairs = []
    for scene in (
        replace(truth, meshes=[with_occlusion(truth.meshes[0])], lighting=light),
        replace(fitted, meshes=[replace(mesh, material=material)], lighting=light),
    ):
        seen = [render_channels(scene, shot, effects())["rgba"][..., :3] for shot in shots]
        pairs.append(np.concatenate([image[inside] for image, inside in zip(seen, both)]))
    return _psnr(*pairs)


def _psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Of linear values, compared in sRGB."""
    return mse_to_psnr(float(np.square(display(a) - display(b)).mean()))


def run(arguments: argparse.Namespace) -> dict[str, float]:
    """One fit and its figures."""
    truth = truth_scene(arguments.model)
    keep = Path(arguments.keep) if arguments.keep else None
    photos = photograph(truth, arguments.views, arguments.size, arguments.samples, keep)
    settings = load_preset(arguments.preset)
    changes = dict(entry.split("=", 1) for entry in arguments.set)
    for name, value in {
        "resolution": arguments.size,
        "holdout": 8,
        "light_fixed_to": "world",
        **changes,
    }.items():
        settings.set(name, value)
    fit = Fit(FitProblem(photos), settings, "auto")
    began = time.perf_counter()
    fit.prepare()
    while fit.steps_done < fit.steps:
        fit.step()
    seconds = time.perf_counter() - began
    view = fit.evaluate(fit.holdout).mean("psnr") or float("nan")
    figures = compare(truth, fit.result(), [photo.camera for photo in fit.holdout])
    return {**figures, "view_psnr": view, "seconds": seconds}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="spot", choices=("spot", "bob"))
    parser.add_argument("--views", type=int, default=40)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--keep")
    parser.add_argument("--set", action="append", default=[], metavar="SETTING=VALUE")
    parser.add_argument("--preset", default="standard")
    figures: dict[str, Any] = run(parser.parse_args(argv))
    print("  ".join(f"{name} {value:.3f}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
