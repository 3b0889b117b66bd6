"""The report of a scene beside its photos at any time: of a run under way, or of what it left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from studio.core import effects
from studio.core.device import describe_device
from studio.core.errors import InputError
from studio.core.io.files import write_error
from studio.core.optim import report
from studio.core.optim.emitted import Look, look_of
from studio.core.optim.evaluate import Evaluation, evaluate_renders
from studio.core.optim.messages import HistoryRow
from studio.core.optim.page import save_page
from studio.core.optim.radiance_kinds import facts
from studio.core.optim.settings import FitSettings
from studio.core.optim.targets import Targets, split_holdout
from studio.core.optim.turntable import save_turntable
from studio.core.params import ParamSet
from studio.core.pipeline import render_image
from studio.core.scene import Photo, PhotoSet, Scene

MEASURED = 16
"""Photos used that are measured, spread over all of them."""

_SHOWN = 6
"""Photos whose pictures are shown."""

_SECONDS = 2.0
"""Of a turn."""

_METRICS = ("psnr", "psnr_leveled", "psnr_white", "ssim", "iou")


@dataclass(eq=False)
class Subject:
    """What a report is about.

    Attributes:
        exposure: [photos used] linear gain of each, or None.
        rows: of the run's curves.
        steps: of the run so far.
        notes: lines to be read first.
    """

    scene: Scene
    photos: PhotoSet
    settings: FitSettings
    rows: list[HistoryRow] = field(default_factory=list)
    steps: int = 0
    exposure: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)


def save_report(
    folder: Path,
    subject: Subject,
    device: torch.device,
    progress: Callable[[float, str], None] | None = None,
) -> Path:
    """Write report.html with its pictures, turntable.gif and loss.png into a folder, made if missing.

    Returns:
        the page.
    Raises:
        InputError: nothing to compare, or a place that cannot be written. WorkError: the disk filled up.
    """
    tell = progress or (lambda fraction, note: None)
    if subject.scene.empty:
        raise InputError("report: the scene is empty, expected something to compare with the photos")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _save(folder, subject, device, tell)
    except OSError as error:
        raise write_error(folder, error) from error


def _save(folder: Path, subject: Subject, device: torch.device, tell: Callable[[float, str], None]) -> Path:
    scene, settings = subject.scene, subject.settings
    training, held = split_holdout(subject.photos.photos, settings["holdout"])
    stride = max(1, len(training) // MEASURED)
    chosen = list(range(len(training)))[::stride][:MEASURED]
    metrics: dict[str, Any] = {}
    gains = np.ones(len(training), np.float32)
    if subject.exposure is not None and len(subject.exposure) == len(training):
        gains = subject.exposure  # else it is of other photos
    parts = {"train": ([training[i] for i in chosen], [float(gains[i]) for i in chosen])}
    if held:
        parts["holdout"] = (held, [float(np.exp(np.log(np.maximum(gains, 1e-6)).mean()))] * len(held))
    found: dict[str, Evaluation] = {}
    total = sum(len(photos) for photos, _ in parts.values())
    for which, (photos, gain) in parts.items():
        before = 0.6 * sum(len(e.views) for e in found.values()) / total

        def told(number: int, start: float = before) -> None:
            tell(start + 0.6 * number / total, "Comparing with the photos")

        found[which] = _compared(subject, photos, gain, device, told)
        for name in _METRICS:
            metrics[f"{name}_{which}"] = found[which].mean(name)
    tell(0.6, "Pictures")
    shown, end = parts["holdout" if held else "train"][0], found["holdout" if held else "train"]
    if scene.meshes:
        report.save_shaded(folder / "shaded.png", scene, [photo.camera for photo in shown[:4]], device)
    if subject.rows:
        report.save_loss_curve(folder / "loss.png", subject.rows)
    tell(0.7, "Pictures")
    report.save_sheet(folder / "sheet.png", end, scene, shown[: len(end.pictures)], device)
    save_turntable(
        scene,
        folder / "turntable.gif",
        _SECONDS,
        effects=_effects(subject),
        device=device,
        progress=lambda fraction, note: tell(0.8 + 0.2 * fraction, "Turntable"),
    )
    seconds = subject.rows[-1].seconds if subject.rows else None
    metrics |= _facts(scene) | {
        "iterations": subject.steps or None,
        "seconds": seconds,
        "iterations_per_second": len(subject.rows) / seconds if seconds else None,
        "device": describe_device(device),
        "photos": len(training),
        "photos_holdout": len(held),
        "preset": settings.preset,
        "seed": settings["seed"],
        "resolution": settings["resolution"],
        "notes": subject.notes,
        "settings": settings.as_dict(),
    }
    save_page(folder, Path(subject.photos.source).name or scene.name, metrics)
    return folder / "report.html"


def _facts(scene: Scene) -> dict[str, Any]:
    """What only a mesh, a volume or points have to tell."""
    if scene.meshes:
        return {"triangles": scene.triangle_count(), "light_fixed_to": scene.lighting.fixed_to}
    return {} if scene.emitter is None else facts(scene.emitter)


def _effects(subject: Subject) -> dict[str, ParamSet]:
    """Those that a fit renders with: shading, and the environment if there is a map."""
    if subject.settings["shading"] == "unlit":
        return {}
    pbr, sky = effects.get("pbr"), effects.get("environment")
    on = {pbr.name: ParamSet(pbr.name, pbr.params, subject.scene.effects.get(pbr.name))}
    if subject.scene.lighting.environment is not None:
        on[sky.name] = ParamSet(sky.name, sky.params, {"show_background": False})
    return on


def _compared(
    subject: Subject,
    photos: list[Photo],
    gains: list[float],
    device: torch.device,
    told: Callable[[int], None],
) -> Evaluation:
    look = _look_of(subject, device)

    def rendered(number: int, targets: Targets) -> np.ndarray:
        told(number)
        height, width = targets.color.shape[1:3]
        image = look(photos[number].camera.resized(width, height))
        image[..., :3] *= gains[number]
        if targets.mask is None:  # the photo has a background
            image[..., :3] += np.array(subject.scene.background) * (1 - image[..., 3:])
        return image

    return evaluate_renders(rendered, photos, int(subject.settings["resolution"]), device, _SHOWN)


def _look_of(subject: Subject, device: torch.device) -> Look:
    """How the scene is looked at, over black."""
    if not subject.scene.meshes and subject.scene.emitter is not None:
        return look_of(subject.scene.emitter, device)
    on, dark = _effects(subject), Scene(subject.scene.meshes, subject.scene.lighting)
    return lambda camera: np.array(render_image(dark, camera, on, device))
