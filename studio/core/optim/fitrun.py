"""A fit from start to files, without a window: what the command line runs."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch

from studio.core.device import describe_device
from studio.core.errors import StudioError, WorkError
from studio.core.io.files import write_error
from studio.core.optim import report
from studio.core.optim.checkpoint import checkpoint_path, load_checkpoint, prune, prune_after, save_checkpoint
from studio.core.optim.evaluate import Evaluation
from studio.core.optim.fit import Fit, FitProblem
from studio.core.optim.known import distances
from studio.core.optim.messages import HistoryRow, Snapshot
from studio.core.optim.metrics import peak_memory_mb
from studio.core.optim.page import save_page
from studio.core.optim.ranks import Ranks
from studio.core.optim.resume import prepare_together, restore, state_of
from studio.core.optim.settings import FitSettings
from studio.core.optim.sky import save_sky
from studio.core.scene import Lighting, Mesh, PhotoSet

Report = Callable[[float, str], None]
Keep = Callable[[Snapshot, list[HistoryRow]], None]
Watch = Callable[[Fit], None]

LOG = "log.jsonl"
CHECKPOINTS = "checkpoints"
"""File and folder that a fit leaves in its folder."""

_FLUSH_STEPS = 20
"""Steps between writes of log.jsonl: an interrupted run loses less than a second."""

_CHECKPOINTS_KEPT = 3
"""Newest checkpoints that stay; each is some megabytes."""

_PICTURES = 6
"""Views shown side by side; more make files nobody looks at."""

_TRAIN_VIEWS = 16
"""Training photos measured at the end, spread over all of them."""

_METRICS = ("psnr", "psnr_leveled", "psnr_white", "ssim", "iou")


def run_fit(
    photos: PhotoSet,
    settings: FitSettings,
    out_dir: Path | str,
    mesh: Mesh | None = None,
    device: str = "auto",
    progress: Report | None = None,
    lighting: Lighting | None = None,
    resume: Path | str | None = None,
    checkpoint_seconds: float = 30.0,
    problem: FitProblem | None = None,
    keep: Keep | None = None,
    known: Mesh | None = None,
    formats: tuple[str, ...] = ("glb",),
    watch: Watch | None = None,
) -> dict[str, Any]:
    """Fit and leave everything in a folder: mesh, metrics, pictures, log.

    Ctrl-C ends the run early: what was reached so far is evaluated and exported, and
    metrics["interrupted"] says so. The same holds when the work fails midway; then the
    error is raised after the files were written. Now and then and at the end a checkpoint
    is left in out_dir/checkpoints.

    Args:
        photos: as loaded.
        settings: of the fit.
        out_dir: made if missing; gets the mesh, cameras.json, metrics.json, report.html with
            its pictures, turntable.gif, log.jsonl, renders/ and checkpoints/.
        mesh: for settings start = mesh.
        device: auto, cpu or cuda.
        progress: called with (0..1, note); a note is "phase: details".
        lighting: start light.
        resume: checkpoint to go on from; the log in out_dir is continued.
        checkpoint_seconds: between checkpoints, which is what a crash may cost; one takes a
            tenth of a second.
        problem: all that is known beforehand, instead of `mesh` and `lighting`.
        keep: called with the last state and the rows of the plots before the files are written.
        formats: suffixes of the mesh's files, of glb, obj and ply.
        known: the true shape, in the coordinates of the photos' files; metrics["known"] then says
            how far the result is from it, see studio.core.optim.known.
        watch: called before the first step and after every one.
    Returns:
        The contents of metrics.json; nothing in the other processes of a shared fit.
    Raises:
        InputError: photos, mesh or settings do not allow a fit.
        WorkError: the fit failed, or the folder cannot be written. A checkpoint that cannot be
            written is only noted.
    """
    tell = progress or (lambda fraction, note: None)
    out = Path(out_dir)
    ranks = Ranks.join(device)
    try:
        given = problem or FitProblem(photos, mesh, lighting)
        fit = Fit(given, settings, device, tell, ranks=ranks)
        if ranks.rank > 0:
            return _follow(fit, resume)
        return _lead(fit, out, tell, resume, checkpoint_seconds, keep, known, formats, watch)
    finally:
        ranks.leave()


def _follow(fit: Fit, resume: Path | str | None) -> dict[str, Any]:
    """The part of a process that only renders; the first one writes what comes out."""
    _prepare(fit, resume)
    while fit.steps_done < fit.steps:
        fit.step()
    return {}


def _prepare(fit: Fit, resume: Path | str | None) -> None:
    if resume is None:
        prepare_together(fit)
    else:
        restore(fit, load_checkpoint(resume, fit.device))


def _lead(
    fit: Fit,
    out: Path,
    tell: Report,
    resume: Path | str | None,
    pause: float,
    keep: Keep | None,
    known: Mesh | None,
    formats: tuple[str, ...],
    watch: Watch | None,
) -> dict[str, Any]:
    """A whole fit with all of its files."""
    began = time.perf_counter()
    rows: list[HistoryRow] = []
    _prepare(fit, resume)
    if resume is not None:
        rows = _earlier_rows(out / LOG, fit.steps_done)
    prune_after(out / CHECKPOINTS, -1 if resume is None else fit.steps_done)
    prepared = time.perf_counter()
    failure: WorkError | None = None
    interrupted = False
    try:
        out.mkdir(parents=True, exist_ok=True)
        start = fit.evaluate(_shown(fit), pictures=1)
        with open(out / LOG, "w", encoding="utf-8") as log:
            log.writelines(json.dumps(_log_row(row)) + "\n" for row in rows)
            try:
                _optimize(fit, rows, log, tell, out / CHECKPOINTS, pause, watch)
            except KeyboardInterrupt:
                interrupted = True
            except WorkError as error:
                failure = error
        if keep is not None:
            keep(fit.snapshot(), rows)
        stepping = rows[-1].seconds if rows else 0.0
        metrics = _metrics(fit, rows, stepping, time.perf_counter() - began, prepared - began)
        metrics["interrupted"] = interrupted
        if known is not None:
            metrics["known"] = _distances(fit, known)
        _finish(fit, out, rows, metrics, start, tell, formats)
    except OSError as error:
        raise write_error(out, error) from error
    if failure is not None:
        raise failure
    return metrics


def _optimize(
    fit: Fit,
    rows: list[HistoryRow],
    log: TextIO,
    tell: Report,
    folder: Path,
    pause: float,
    watch: Watch | None = None,
) -> None:
    """All steps, each one line of the log, with a checkpoint every `pause` seconds and at the end."""
    seconds = rows[-1].seconds if rows else 0.0
    first, start = fit.steps_done, seconds
    saved = time.perf_counter()
    if watch is not None:
        watch(fit)
    while fit.steps_done < fit.steps:
        began = time.perf_counter()
        result = fit.step()
        ended = time.perf_counter()
        seconds += ended - began
        for arrived in fit.take_results():
            rows.append(HistoryRow(arrived.step, arrived.losses, arrived.psnr, seconds))
            log.write(json.dumps(_log_row(rows[-1])) + "\n")
        if watch is not None:
            watch(fit)
        finished = fit.steps_done >= fit.steps
        if fit.steps_done % _FLUSH_STEPS == 0 or finished:
            log.flush()
            rate = (fit.steps_done - first) / max(seconds - start, 1e-9)
            tell(
                fit.steps_done / fit.steps,
                f"Optimizing: {fit.steps_done}/{fit.steps}, {result.psnr:.1f} dB, {rate:.0f} it/s",
            )
        if finished or ended - saved > pause:
            _save(fit, folder)
            saved = time.perf_counter()


def _save(fit: Fit, folder: Path) -> None:
    """A checkpoint; a full disk must not end a fit that could still be kept elsewhere."""
    try:
        save_checkpoint(checkpoint_path(folder, fit.steps_done), state_of(fit))
        prune(folder, _CHECKPOINTS_KEPT)
    except StudioError as error:
        fit.notes.append(f"step {fit.steps_done}: no checkpoint: {error}")


def _log_row(row: HistoryRow) -> dict[str, Any]:
    losses = {name: round(value, 7) for name, value in row.losses.items()}
    return {
        "step": row.step,
        "seconds": round(row.seconds, 4),
        "psnr": round(row.psnr, 3),
        "losses": losses,
    }


def _earlier_rows(path: Path, steps: int) -> list[HistoryRow]:
    """What an earlier run logged up to step `steps`; the line it was killed in is left out."""
    rows: list[HistoryRow] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return rows
    for line in lines[:steps]:
        try:
            row = json.loads(line)
            rows.append(HistoryRow(row["step"], row["losses"], row["psnr"], row["seconds"]))
        except (ValueError, KeyError, TypeError):
            break
    return rows


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


def _distances(fit: Fit, known: Mesh) -> dict[str, float]:
    """How far the result is from the true mesh, where the training photos see them."""
    moved = known.with_vertices(fit.problem.photos.input_to_world.apply(known.vertices).astype(np.float32))
    if known.normals is not None:
        moved.normals = (known.normals @ fit.problem.photos.input_to_world.rotation.T).astype(np.float32)
    found = distances(moved, fit.result().meshes[0], [photo.camera for photo in fit.training])
    return {name: round(value, 5) for name, value in found.as_dict().items()}


def _finish(
    fit: Fit,
    out: Path,
    rows: list[HistoryRow],
    metrics: dict[str, Any],
    start: Evaluation,
    tell: Report,
    formats: tuple[str, ...],
) -> None:
    """Mesh first, as it is what counts, then numbers, then pictures."""
    from studio.core.io.cameras_write import save_cameras
    from studio.core.io.export import export_scene
    from studio.core.optim.turntable import save_turntable

    tell(0.0, "Writing: mesh")
    scene, photos = fit.result(), fit.problem.photos
    to_input = photos.input_to_world.inverse()
    for kind in formats:
        export_scene(scene, out / f"mesh.{kind}", to_input)
    shot = [replace(photo, camera=camera) for photo, camera in zip(photos.photos, scene.cameras)]
    save_cameras(out / "cameras.json", shot, to_input)
    if fit.variables.sky is not None:
        turn = to_input.rotation if fit.variables.fixed_to == "world" else None
        save_sky(out / "environment.hdr", fit.variables.sky, turn)
    write_json(out / "metrics.json", metrics)
    tell(0.4, "Writing: pictures")
    shown = _shown(fit)
    end = fit.evaluate(shown, pictures=len(shown))
    folder = out / "renders"
    folder.mkdir(exist_ok=True)
    report.save_sheets(folder, start, end)
    report.save_shaded(out / "shaded.png", scene, [photo.camera for photo in shown[:4]], fit.device)
    report.save_loss_curve(out / "loss.png", rows)
    if end.pictures:
        report.save_sheet(out / "sheet.png", end, scene, shown, fit.device)
    tell(0.7, "Writing: turntable")
    save_turntable(
        scene,
        out / "turntable.gif",
        effects={} if fit.settings["shading"] == "unlit" else None,
        device=fit.device,
    )
    save_page(out, Path(photos.source).name or scene.name, metrics)
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
