"""A fit from start to files, without a window: what the command line runs."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import torch

from studio.core.device import describe_device
from studio.core.errors import WorkError
from studio.core.io.files import write_error
from studio.core.optim import report
from studio.core.optim.evaluate import Evaluation
from studio.core.optim.fit import Fit, FitProblem, StepResult
from studio.core.optim.messages import HistoryRow
from studio.core.optim.metrics import peak_memory_mb
from studio.core.optim.settings import FitSettings
from studio.core.scene import Lighting, Mesh, PhotoSet

Report = Callable[[float, str], None]

_FLUSH_STEPS = 20
"""Steps between writes of log.jsonl: an interrupted run loses less than a second."""

_PICTURES = 6
"""Views shown side by side; more make files nobody looks at."""

_TRAIN_VIEWS = 16
"""Training photos measured at the end, spread over all of them."""

_METRICS = ("psnr", "ssim", "iou")


def run_fit(
    photos: PhotoSet,
    settings: FitSettings,
    out_dir: Path | str,
    mesh: Mesh | None = None,
    device: str = "auto",
    progress: Report | None = None,
    lighting: Lighting | None = None,
) -> dict[str, Any]:
    """Fit and leave everything in a folder: mesh, metrics, pictures, log.

    Ctrl-C ends the run early: what was reached so far is evaluated and exported, and
    metrics["interrupted"] says so. The same holds when the work fails midway; then the
    error is raised after the files were written.

    Args:
        photos: as loaded.
        settings: of the fit.
        out_dir: made if missing; gets mesh.glb, metrics.json, log.jsonl, loss.png,
            shaded.png and renders/.
        mesh: for settings start = mesh.
        device: auto, cpu or cuda.
        progress: called with (0..1, note); a note is "phase: details".
        lighting: start light.
    Returns:
        The contents of metrics.json.
    Raises:
        InputError: photos, mesh or settings do not allow a fit.
        WorkError: the fit failed, or the folder cannot be written.
    """
    tell = progress or (lambda fraction, note: None)
    out = Path(out_dir)
    fit = Fit(FitProblem(photos, mesh, lighting), settings, device, progress=tell)
    began = time.perf_counter()
    fit.prepare()
    prepared = time.perf_counter()
    rows: list[HistoryRow] = []
    failure: WorkError | None = None
    interrupted = False
    try:
        out.mkdir(parents=True, exist_ok=True)
        start = fit.evaluate(_shown(fit), pictures=1)
        with open(out / "log.jsonl", "w", encoding="utf-8") as log:
            try:
                _optimize(fit, rows, log, tell)
            except KeyboardInterrupt:
                interrupted = True
            except WorkError as error:
                failure = error
        stepping = rows[-1].seconds if rows else 0.0
        metrics = _metrics(fit, rows, stepping, time.perf_counter() - began, prepared - began)
        metrics["interrupted"] = interrupted
        _finish(fit, photos, out, rows, metrics, start, tell)
    except OSError as error:
        raise write_error(out, error) from error
    if failure is not None:
        raise failure
    return metrics


def _optimize(fit: Fit, rows: list[HistoryRow], log: TextIO, tell: Report) -> None:
    """All steps, each one line of the log."""
    seconds = 0.0
    while fit.steps_done < fit.steps:
        began = time.perf_counter()
        result = fit.step()
        seconds += time.perf_counter() - began
        rows.append(HistoryRow(result.step, result.losses, result.psnr, seconds))
        log.write(json.dumps(_log_row(result, seconds)) + "\n")
        if result.step % _FLUSH_STEPS == 0 or fit.steps_done >= fit.steps:
            log.flush()
            rate = result.step / max(seconds, 1e-9)
            tell(
                fit.steps_done / fit.steps,
                f"Optimizing: {result.step}/{fit.steps}, {result.psnr:.1f} dB, {rate:.0f} it/s",
            )


def _log_row(result: StepResult, seconds: float) -> dict[str, Any]:
    losses = {name: round(value, 7) for name, value in result.losses.items()}
    return {
        "step": result.step,
        "seconds": round(seconds, 4),
        "psnr": round(result.psnr, 3),
        "losses": losses,
    }


def _shown(fit: Fit) -> list[Any]:
    """The photos whose pictures are kept: held-out ones, else some of the training."""
    photos = fit.holdout or fit.training
    stride = max(1, len(photos) // _PICTURES)
    return photos[::stride][:_PICTURES]


def _metrics(
    fit: Fit, rows: list[HistoryRow], stepping: float, seconds: float, preparing: float
) -> dict[str, Any]:
    stride = max(1, len(fit.training) // _TRAIN_VIEWS)
    results: dict[str, Evaluation] = {"train": fit.evaluate(fit.training[::stride][:_TRAIN_VIEWS])}
    if fit.holdout:
        results["holdout"] = fit.evaluate(fit.holdout)
    metrics: dict[str, Any] = {}
    for which in ("train", "holdout"):
        for name in _METRICS:
            value = results[which].mean(name) if which in results else None
            metrics[f"{name}_{which}"] = None if value is None else round(value, 5)
    variables = fit.variables
    peak = peak_memory_mb()
    if fit.device.type == "cuda":
        metrics["peak_gpu_memory_mb"] = torch.cuda.max_memory_allocated(fit.device) / 2**20
    return metrics | {
        "iterations": fit.steps_done,
        "seconds": round(seconds, 3),
        "seconds_preparing": round(preparing, 3),
        "seconds_stepping": round(stepping, 3),
        "iterations_per_second": round(len(rows) / stepping, 3) if stepping > 0 else 0.0,
        "peak_memory_mb": round(peak, 1),
        "device": describe_device(fit.device),
        "triangles": len(variables.faces),
        "vertices": len(variables.differential),
        "photos": len(fit.training),
        "photos_holdout": len(fit.holdout),
        "preset": fit.settings.preset,
        "seed": fit.settings["seed"],
        "resolution": fit.settings["resolution"],
        "light_fixed_to": variables.fixed_to,
        "notes": fit.notes,
        "settings": fit.settings.as_dict(),
    }


def _finish(
    fit: Fit,
    photos: PhotoSet,
    out: Path,
    rows: list[HistoryRow],
    metrics: dict[str, Any],
    start: Evaluation,
    tell: Report,
) -> None:
    """Mesh first, as it is what counts, then numbers, then pictures."""
    from studio.core.io.export import export_scene

    tell(0.0, "Writing: mesh.glb")
    scene = fit.result()
    export_scene(scene, out / "mesh.glb", photos.input_to_world.inverse())
    write_json(out / "metrics.json", metrics)
    tell(0.4, "Writing: pictures")
    shown = _shown(fit)
    end = fit.evaluate(shown, pictures=len(shown))
    folder = out / "renders"
    folder.mkdir(exist_ok=True)
    report.save_sheets(folder, start, end)
    report.save_shaded(out / "shaded.png", scene, [photo.camera for photo in shown[:4]], fit.device)
    report.save_loss_curve(out / "loss.png", rows)
    tell(1.0, "Writing: done")


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON file as a whole or not at all; NaN becomes null."""
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(json.dumps(_finite(value), indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return value
