"""Figures and pictures of what a fit found beside what was there, for the benchmark `truth`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from benchmarks._truth_scene import OTHER_LIGHT, cameras, effects, environment, with_occlusion
from studio.core.color import display, mse_to_psnr
from studio.core.optim.known import Distances, distances
from studio.core.optim.report import shaded
from studio.core.pipeline import render_channels
from studio.core.scene import Camera, Lighting, Scene

_SHOWN = 3
"""Which of the views is on the sheet."""

_BACKGROUND = (0.009, 0.009, 0.009)

Channels = list[dict[str, np.ndarray]]


@dataclass
class Figures:
    """See the head of benchmarks/truth.py; PSNR in dB."""

    distances: Distances
    shading_degrees: float
    base_color_psnr: float
    roughness_error: float
    metallic_error: float
    relit_psnr: float
    held_out_psnr: float = float("nan")
    processor_seconds: float = float("nan")

    def as_dict(self) -> dict[str, Any]:
        return {
            name: {k: round(v, 4) for k, v in value.items()} if isinstance(value, dict) else round(value, 4)
            for name, value in asdict(self).items()
        }


def compare(truth: Scene, found: Scene, seen_from: list[Camera], held_out: list[Camera]) -> Figures:
    """Shape where the training's cameras see it, materials in the pixels of those held out."""
    names = ("albedo", "normal", "perceptual_roughness", "metallic", "covered")
    true, fit = ([render_channels(s, c, {}, names) for c in held_out] for s in (truth, found))
    both = [(a["covered"] * b["covered"])[..., 0] > 0 for a, b in zip(true, fit)]

    def pixels(which: Channels, name: str) -> np.ndarray:
        return np.concatenate([c[name][inside] for c, inside in zip(which, both)])

    def error(name: str) -> float:
        return float(np.abs(pixels(true, name) - pixels(fit, name)).mean())

    cosine = (pixels(true, "normal") * pixels(fit, "normal")).sum(axis=1)
    color, guess = pixels(true, "albedo"), pixels(fit, "albedo")
    scale = _scale(color, guess)
    pairs = [
        [np.concatenate([v[..., :3][inside] for v, inside in zip(_relit(s, held_out), both)])]
        for s in (with_truths_occlusion(truth), tinted(found, scale))
    ]
    return Figures(
        distances(truth.meshes[0], found.meshes[0], seen_from),
        float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean()),
        _psnr(color, guess * scale),
        error("perceptual_roughness"),
        error("metallic"),
        _psnr(pairs[0][0], pairs[1][0]),
    )


def with_truths_occlusion(truth: Scene) -> Scene:
    return replace(truth, meshes=[with_occlusion(truth.meshes[0])])


def tinted(scene: Scene, scale: np.ndarray) -> Scene:
    """The scene with its base colour multiplied."""
    mesh = scene.meshes[0]
    tint = tuple(float(a * b) for a, b in zip(mesh.material.base_color, scale))
    return replace(scene, meshes=[replace(mesh, material=replace(mesh.material, base_color=tint))])


def _relit(scene: Scene, shots: list[Camera]) -> list[np.ndarray]:
    light = Lighting(lights=[]).with_environment(environment(OTHER_LIGHT))
    other = replace(scene, lighting=light, background=_BACKGROUND)
    return [render_channels(other, shot, effects())["rgba"] for shot in shots]


def _scale(true: np.ndarray, found: np.ndarray) -> np.ndarray:
    """[3] factors of the channels that bring found colours nearest to the true ones."""
    return np.asarray((true * found).sum(axis=0) / np.maximum((found * found).sum(axis=0), 1e-12))


def pictures(truth: Scene, found: Scene, size: int) -> list[np.ndarray]:
    """True and found surface, base colour, roughness and object under other light, sRGB.

    The found base colour is scaled as for the figures.
    """
    camera = cameras(36, size)[_SHOWN]
    seen = [render_channels(scene, camera, {}, ("albedo", "covered")) for scene in (truth, found)]
    both = (seen[0]["covered"] * seen[1]["covered"])[..., 0] > 0
    found = tinted(found, _scale(*(one["albedo"][both] for one in seen)))
    tiles: list[list[np.ndarray]] = []
    for scene in (with_truths_occlusion(truth), found):
        dark = replace(scene, background=_BACKGROUND)
        made = render_channels(dark, camera, {}, ("perceptual_roughness",))
        tiles.append(
            [
                shaded(scene, [camera], torch.device("cpu"))[0],
                display(made["rgba"][..., :3]),
                np.repeat(made["perceptual_roughness"], 3, axis=2),
                display(_relit(scene, [camera])[0][..., :3]),
            ]
        )
    return [tile for pair in zip(*tiles) for tile in pair]


def _psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Of linear values, compared in sRGB."""
    return mse_to_psnr(float(np.square(display(a) - display(b)).mean()))
