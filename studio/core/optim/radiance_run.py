"""Fits of volumes, distances or points from start to files, without a window: for the command line."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import Tensor

from studio.core.device import describe_device
from studio.core.errors import StudioError, WorkError
from studio.core.io.export import export_scene
from studio.core.io.files import write_error
from studio.core.optim import report
from studio.core.optim.checkpoint import (
    checkpoint_path,
    checkpoints_in,
    load_checkpoint,
    prune,
    prune_after,
    save_checkpoint,
)
from studio.core.optim.evaluate import Evaluation, evaluate_look
from studio.core.optim.fitrun import CHECKPOINTS, LOG, write_json
from studio.core.optim.messages import HistoryRow
from studio.core.optim.metrics import peak_memory_mb
from studio.core.optim.page import save_page
from studio.core.optim.radiance_fit import RadianceFit
from studio.core.optim.radiance_kinds import KINDS, facts
from studio.core.optim.radiance_readings import RadianceReadings
from studio.core.optim.recovery import ATTEMPTS, Diverged
from studio.core.optim.settings import FitSettings
from studio.core.optim.turntable import DARK, save_turntable
from studio.core.scene import Mesh, PhotoSet, Points, Scene, Volume

Report = Callable[[float, str], None]


_LOG_EVERY = 20
"""Steps of one line of the log."""

_CHECKPOINTS_KEPT = 2
"""Newest checkpoints that stay; one of a volume may have 100 MB."""

_PICTURES = 6
_TRAIN_VIEWS = 16
"""Views shown side by side, and training photos measured; as for meshes."""

_SECONDS = 2.0
"""Of a turn."""

Watch = Callable[[RadianceFit], None]


def run_radiance(
    photos: PhotoSet,
    settings: FitSettings,
    out_dir: Path | str,
    device: str = "auto",
    progress: Report | None = None,
    resume: Path | str | None = None,
    checkpoint_seconds: float = 30.0,
    watch: Watch | None = None,
) -> dict[str, Any]:
    """Fit a volume, distances or points and leave everything in a folder: result, metrics, pictures, log.

    Ctrl-C ends the run early: what was reached so far is evaluated and written, and
    metrics["interrupted"] says so. The same holds when the work fails midway; then the error is
    raised after the files were written. Now and then and at the end a checkpoint is left in
    out_dir/checkpoints; a fit that diverges goes back to the last one and on at half the rates.

    Args:
        photos: as loaded, with masks.
        settings: of the fit; see VolumeFit, SdfFit, PointsFit and NetworkFit.
        out_dir: made if missing; gets volume.safetensors or points.ply, of distances mesh.glb too,
            metrics.json, report.html with its pictures, turntable.gif, log.jsonl and renders/.
        device: auto, cpu or cuda.
        progress: called with (0..1, note); a note is "phase: details".
        resume: checkpoint to go on from; the log in out_dir is continued.
        checkpoint_seconds: between checkpoints, which is what a crash may cost.
        watch: called before the first step and after every one.
    Returns:
        The contents of metrics.json.
    Raises:
        InputError: photos or settings do not allow a fit.
        WorkError: the fit failed, or the folder cannot be written.
    """
    tell = progress or (lambda fraction, note: None)
    out = Path(out_dir)
    began = time.perf_counter()
    kind = KINDS[settings["representation"]]
    fit = kind.make(photos, settings, device, tell)
    run = _Run(fit, out, tell, checkpoint_seconds, watch or (lambda fit: None))
    run.begin(resume)
    prepared = time.perf_counter()
    failure: WorkError | None = None
    interrupted = False
    try:
        try:
            run.optimize()
        except KeyboardInterrupt:
            interrupted = True
        except WorkError as error:
            failure = error
        result = fit.result()
        kind.save(result, out / kind.file)
        metrics = facts(result)
        if kind.surface is not None:
            tell(0.0, "Writing: mesh")
            metrics["triangles"] = _save_mesh(fit, kind.surface(fit), out)
        metrics |= _metrics(fit, run.rows) | {
            "notes": run.notes,
            "seconds": round(time.perf_counter() - began, 3),
            "seconds_preparing": round(prepared - began, 3),
            "interrupted": interrupted,
        }
        write_json(out / "metrics.json", metrics)
        _save_pictures(fit, _scene_of(result), out, run.rows, tell)
        save_page(out, Path(photos.source).name or result.name, metrics)
    except OSError as error:
        raise write_error(out, error) from error
    if failure is not None:
        raise failure
    tell(1.0, "Writing: done")
    return metrics


class _Run:
    """The steps of a fit with their log and checkpoints.

    Attributes:
        rows: of the log.
        notes: for the user.
    """

    def __init__(self, fit: RadianceFit, out: Path, tell: Report, pause: float, watch: Watch) -> None:
        self.fit, self.out, self.tell, self.pause, self.watch = fit, out, tell, pause, watch
        self.folder = out / CHECKPOINTS
        self.rows: list[HistoryRow] = []
        self.notes: list[str] = []
        self._attempts = ATTEMPTS

    def begin(self, resume: Path | str | None) -> None:
        """Prepare the fit, or bring it to a checkpoint; those of other runs in the folder go."""
        if resume is None:
            self.fit.prepare()
        else:
            self.fit.restore(load_checkpoint(resume, self.fit.device))
            self.rows = _earlier_rows(self.out / LOG, self.fit.steps_done)
        prune_after(self.folder, -1 if resume is None else self.fit.steps_done)

    def optimize(self) -> None:
        """All steps; after a divergence from the last checkpoint on, at half the rates."""
        self.out.mkdir(parents=True, exist_ok=True)
        if self.fit.steps_done < self.fit.steps and not checkpoints_in(self.folder):
            self._save()  # what an early divergence goes back to
        while True:
            try:
                return self._go_on()
            except Diverged as error:
                self._recover(error)

    def _go_on(self) -> None:
        """Every few steps a line of the log, now and then a checkpoint, one at the end.

        Lines are written as their numbers arrive; only a checkpoint waits for a GPU.
        """
        fit, before = self.fit, self.rows[-1].seconds if self.rows else 0.0
        began = saved = time.perf_counter()
        first, readings = fit.steps_done, RadianceReadings(fit)
        with open(self.out / LOG, "w", encoding="utf-8") as log:
            log.writelines(_log_line(row) for row in self.rows)
            self.watch(fit)
            while fit.steps_done < fit.steps:
                fit.step()
                self.watch(fit)
                if fit.steps_done % _LOG_EVERY and fit.steps_done < fit.steps:
                    continue
                readings.send()
                due = fit.steps_done >= fit.steps or time.perf_counter() - saved > self.pause
                for step, reached in readings.receive(wait=due):
                    spent = time.perf_counter() - began
                    self._note(log, step, reached, before + spent, (step - first) / spent)
                if due:
                    self._save()
                    saved = time.perf_counter()

    def _note(self, log: TextIO, step: int, reached: float, seconds: float, rate: float) -> None:
        """A line of the log, and of progress."""
        self.rows.append(HistoryRow(step, {"total": 10 ** (-reached / 10)}, reached, seconds))
        log.write(_log_line(self.rows[-1]))
        log.flush()
        steps = self.fit.steps
        self.tell(step / steps, f"Optimizing: {step}/{steps}, {reached:.1f} dB, {rate:.0f} it/s")

    def _save(self) -> None:
        """A checkpoint; a full disk must not end a fit that could still be kept elsewhere.

        Raises:
            Diverged: some value is not finite.
        """
        state = self.fit.state()
        if not _finite(state["own"]):
            raise Diverged(f"fit: values are not finite at step {self.fit.steps_done}; lower the rates")
        try:
            save_checkpoint(checkpoint_path(self.folder, self.fit.steps_done), state)
            prune(self.folder, _CHECKPOINTS_KEPT)
        except StudioError as error:
            self.notes.append(f"step {self.fit.steps_done}: no checkpoint: {error}")

    def _recover(self, error: Diverged) -> None:
        """Back to the newest checkpoint, if there is one; after some attempts that is the result."""
        found = checkpoints_in(self.folder)
        if not found:
            raise error
        caution = 0.5 * self.fit.caution
        self.fit.restore(load_checkpoint(found[-1], self.fit.device))
        self.rows = [row for row in self.rows if row.step <= self.fit.steps_done]
        if self._attempts == 0:
            raise error
        self._attempts -= 1
        self.fit.caution = caution
        reason = str(error).removeprefix("fit: ").split(";")[0]
        self.notes.append(
            f"{reason}: back to the values of step {self.fit.steps_done}, on with rates times {caution:g}"
        )


def _finite(tree: Any) -> bool:
    """Whether all tensors in a tree of dicts and lists are; one look at each device."""
    found: dict[torch.device, list[Tensor]] = {}
    for tensor in _tensors(tree):
        found.setdefault(tensor.device, []).append(tensor.isfinite().all())
    return all(bool(torch.stack(each).all()) for each in found.values())


def _tensors(tree: Any) -> Iterator[Tensor]:
    """Those in a tree of dicts and lists."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, dict | list | tuple):
        for value in tree.values() if isinstance(tree, dict) else tree:
            yield from _tensors(value)


def _log_line(row: HistoryRow) -> str:
    entry = {"step": row.step, "seconds": round(row.seconds, 4), "psnr": round(row.psnr, 3)}
    return json.dumps(entry) + "\n"


def _earlier_rows(path: Path, steps: int) -> list[HistoryRow]:
    """What an earlier run logged up to step `steps`; the line it was killed in is left out."""
    rows: list[HistoryRow] = []
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if row["step"] <= steps:
                loss = {"total": 10 ** (-row["psnr"] / 10)}
                rows.append(HistoryRow(row["step"], loss, row["psnr"], row["seconds"]))
    except (OSError, ValueError, KeyError, TypeError):
        pass  # a missing or damaged log only shortens the curve
    return rows


def _metrics(fit: RadianceFit, rows: list[HistoryRow]) -> dict[str, Any]:
    stride = max(1, len(fit.training) // _TRAIN_VIEWS)
    chosen = {"train": fit.training[::stride][:_TRAIN_VIEWS], "holdout": fit.holdout}
    metrics: dict[str, Any] = {"views": {}}
    for which, photos in chosen.items():
        result = evaluate_look(fit.render, photos, int(fit.settings["resolution"]))
        metrics["views"] |= {view.name: round(view.psnr, 3) for view in result.views}
        for name in ("psnr", "ssim", "iou", "psnr_white"):
            value = result.mean(name)
            metrics[f"{name}_{which}"] = None if value is None else round(value, 5)
    stepping = rows[-1].seconds if rows else 0.0
    return metrics | {
        "iterations": fit.steps_done,
        "seconds_stepping": round(stepping, 3),
        "iterations_per_second": round(fit.steps_done / stepping, 3) if stepping > 0 else 0.0,
        "peak_memory_mb": round(peak_memory_mb(), 1),
        "device": describe_device(fit.device),
        "photos": len(fit.training),
        "photos_holdout": len(fit.holdout),
        "seed": fit.settings["seed"],
        "resolution": fit.settings["resolution"],
        "settings": fit.settings.as_dict(),
    }


def _scene_of(result: Volume | Points) -> Scene:
    """The result alone."""
    if isinstance(result, Volume):
        return Scene(volume=result, background=DARK, name=result.name)
    return Scene(points=result, background=DARK, name=result.name)


def _save_mesh(fit: RadianceFit, mesh: Mesh, out: Path) -> int:
    """Write mesh.glb in the coordinates of the photos' files, and shaded.png; gives its triangles."""
    scene = Scene(meshes=[mesh], name=mesh.name)
    export_scene(scene, out / "mesh.glb", fit.photos.input_to_world.inverse())
    photos = fit.holdout or fit.training
    shown = photos[:: max(1, len(photos) // 4)][:4]
    report.save_shaded(out / "shaded.png", scene, [photo.camera for photo in shown], fit.device)
    return len(mesh.faces)


def _save_pictures(fit: RadianceFit, scene: Scene, out: Path, rows: list[HistoryRow], tell: Report) -> None:
    tell(0.4, "Writing: pictures")
    photos = fit.holdout or fit.training
    shown = photos[:: max(1, len(photos) // _PICTURES)][:_PICTURES]
    end = evaluate_look(fit.render, shown, int(fit.settings["resolution"]), pictures=len(shown))
    folder = out / "renders"
    folder.mkdir(exist_ok=True)
    report.save_sheets(folder, Evaluation([]), end)
    report.save_loss_curve(out / "loss.png", rows)
    report.save_sheet(out / "sheet.png", end, scene, shown, fit.device)
    tell(0.7, "Writing: turntable")
    save_turntable(scene, out / "turntable.gif", _SECONDS, device=fit.device)
