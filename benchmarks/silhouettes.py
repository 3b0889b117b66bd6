"""Sphere to object from 64x64 silhouettes: prints mean IoU and seconds.

    python -m benchmarks.silhouettes [FOLDER] [--steps N] [--rasterizer NAME] [--out FILE.png]

FOLDER holds source.npy ([V, 4, H, W] uint8 RGBA) and camera.npy ([V, 3] distance, elevation and
azimuth in degrees) of the SoftRas mesh reconstruction example (Liu et al. 2019). Its cameras
look at the origin with a half angle of 15 degrees. Its view space is left-handed; with z turned
round the same pictures belong to right-handed cameras, which is how they are read here.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from studio.core.errors import InputError
from studio.core.optim import metrics
from studio.core.optim.fit import Fit, FitProblem
from studio.core.optim.settings import FitSettings
from studio.core.scene import Camera, Photo, PhotoSet, Similarity, look_at

HALF_ANGLE = 15.0
SETTINGS = {
    "start": "sphere", "sphere_subdivisions": 4, "stages": 3, "steps": 400, "resolution": 64,
    "views_per_step": 16, "edge_coarse": 0.05, "edge_fine": 0.02, "large_steps": 2.0, "color_weight": 0.0,
    "mask_weight": 1.0, "shading": "unlit", "training_background": "fixed", "vertices_rate": 2e-2,
}  # fmt: skip
DEFAULT = Path(__file__).resolve().parents[2] / "shared/data/fitting/softras"


def load_silhouettes(folder: Path) -> PhotoSet:
    """The views of a SoftRas data folder as photos with masks, the object at the origin."""
    try:
        images = np.load(folder / "source.npy", allow_pickle=False)
        places = np.load(folder / "camera.npy", allow_pickle=False).astype(np.float64)
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: expected source.npy and camera.npy ({error})") from None
    if images.ndim != 4 or images.shape[1] != 4 or places.shape != (len(images), 3):
        raise InputError(
            f"{folder}: expected source.npy [V, 4, H, W] and camera.npy [V, 3], "
            f"got {images.shape} and {places.shape}"
        )
    photos = [_photo(i, image, place) for i, (image, place) in enumerate(zip(images, places))]
    distance = float(places[:, 0].mean())
    radius = distance * np.sin(np.radians(HALF_ANGLE)) * 0.5
    return PhotoSet(photos, Similarity(), str(folder), object_radius=radius)


def _photo(number: int, image: np.ndarray, place: np.ndarray) -> Photo:
    distance, elevation, azimuth = place[0], np.radians(place[1]), np.radians(place[2])
    level = distance * np.cos(elevation)
    eye = np.array([level * np.sin(azimuth), distance * np.sin(elevation), level * np.cos(azimuth)])
    height, width = image.shape[1:]
    focal = 0.5 * width / np.tan(np.radians(HALF_ANGLE))
    camera = Camera(
        width, height, focal, focal, width / 2, height / 2, look_at(eye, np.zeros(3)),
        near=0.1 * distance, far=3 * distance, name=f"{number:03d}",
    )  # fmt: skip
    pixels = image.transpose(1, 2, 0)[::-1].astype(np.float32) / 255  # row 0 to the bottom
    return Photo(
        camera.name, np.ascontiguousarray(pixels[..., :3]), camera, np.ascontiguousarray(pixels[..., 3])
    )


def silhouette_settings(steps: int | None = None, seed: int = 0) -> FitSettings:
    """Vertices only, silhouettes only, from a sphere."""
    settings = FitSettings(SETTINGS | {"seed": seed})
    settings.optimize("vertices")
    if steps is not None:
        settings.set("steps", steps)
    return settings


def fit_silhouettes(photos: PhotoSet, settings: FitSettings) -> tuple[Fit, dict[str, float]]:
    """(the finished fit, its figures)."""
    began = time.perf_counter()
    fit = Fit(FitProblem(photos), settings, "auto")
    fit.prepare()
    while fit.steps_done < fit.steps:
        fit.step()
    seconds = time.perf_counter() - began
    evaluation = fit.evaluate(photos.photos, pictures=len(photos.photos))
    masks = [photo.mask for photo in photos.photos]
    soft = [metrics.soft_iou(p.coverage, m) for p, m in zip(evaluation.pictures, masks) if m is not None]
    return fit, {
        "iou": evaluation.mean("iou") or 0.0,
        "iou_soft": float(np.mean(soft)),
        "seconds": seconds,
        "iterations": fit.steps_done,
        "triangles": len(fit.variables.faces),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=DEFAULT)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--rasterizer", help="antialias, softras or nmr")
    parser.add_argument("--softras-sigma", type=float, default=3e-5, help="3e-5 is the paper's for 64 pixels")
    parser.add_argument("--out", type=Path, help="picture of the shaded result")
    arguments = parser.parse_args()
    photos = load_silhouettes(arguments.folder)
    settings = silhouette_settings(arguments.steps)
    settings.set("rasterizer", arguments.rasterizer or settings["rasterizer"])
    settings.set("softras_sigma", arguments.softras_sigma)
    fit, figures = fit_silhouettes(photos, settings)
    print(", ".join(f"{name} {value:.4g}" for name, value in figures.items()))
    if arguments.out:
        from studio.core.optim.report import save_shaded

        cameras = [photo.camera.resized(320, 320) for photo in photos.photos[::30]]
        save_shaded(arguments.out, fit.result(), cameras, fit.device)


if __name__ == "__main__":
    main()
