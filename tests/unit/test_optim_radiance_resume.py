"""Checkpoints of fits of volumes and points: they go on bit for bit, and survive what goes wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from studio.core.errors import InputError, WorkError
from studio.core.optim import network_fit, radiance_run
from studio.core.optim.checkpoint import checkpoint_path, checkpoints_in, load_checkpoint, save_checkpoint
from studio.core.optim.fit import Fit, FitProblem
from studio.core.optim.hull import hull_field
from studio.core.optim.radiance_fit import RadianceFit
from studio.core.optim.radiance_kinds import KINDS
from studio.core.optim.radiance_run import run_radiance
from studio.core.optim.recovery import Diverged
from studio.core.optim.resume import restore, saved_settings, saved_step
from studio.core.optim.settings import FitSettings
from studio.core.scene import PhotoSet
from tests.unit.optim_scenes import coloured_ball, photograph

ROOT = Path(__file__).resolve().parents[2]
TINY = {
    "resolution": 48, "holdout": 6, "hull_resolution": 24, "volume_resolution": 28, "volume_rays": 512,
    "volume_steps": 60, "points_count": 600, "points_steps": 60, "points_degree": 0, "views_per_step": 2,
    "sdf_resolution": 28, "sdf_steps": 60, "network_steps": 60, "network_rays": 16,
}  # fmt: skip


@pytest.fixture(scope="module")
def photos() -> PhotoSet:
    return photograph(coloured_ball(), count=12, size=48)


@pytest.fixture(autouse=True)
def _coarse(monkeypatch):
    monkeypatch.setattr(network_fit, "_BAKED", 16)
    monkeypatch.setattr(radiance_run, "_SECONDS", 0.1)


def tiny(kind: str, **changes: object) -> FitSettings:
    return FitSettings({**TINY, "representation": kind, **changes})


def new(kind: str, photos: PhotoSet, **changes: object) -> RadianceFit:
    return KINDS[kind].make(photos, tiny(kind, **changes), "cpu")


def run(fit: RadianceFit, until: int | None = None) -> RadianceFit:
    while fit.steps_done < (fit.steps if until is None else until):
        fit.step()
    return fit


def arrays(kind: str, fit: RadianceFit) -> dict[str, np.ndarray | float]:
    result = fit.result()
    return {name: value for name, value in vars(result).items() if isinstance(value, np.ndarray | float)}


def same(kind: str, a: RadianceFit, b: RadianceFit) -> None:
    first, second = arrays(kind, a), arrays(kind, b)
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("stop_at", [0, 12, 47], ids=["start", "early", "late"])
def test_a_resumed_fit_is_the_same_fit(photos, tmp_path, kind, stop_at):
    fit = new(kind, photos)
    fit.prepare()
    run(fit, stop_at)
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, fit.state())
    assert saved_settings(path).as_dict() == fit.settings.as_dict()
    assert saved_step(path) == stop_at
    again = new(kind, photos)
    again.restore(load_checkpoint(path))
    assert again.steps_done == stop_at
    run(fit)
    same(kind, fit, run(again))
    assert fit.psnr() == again.psnr()


def test_a_network_keeps_its_step_whatever_its_box(photos, tmp_path, monkeypatch):
    def carve(*given: object) -> tuple[np.ndarray, np.ndarray, float]:
        field, low, spacing = hull_field(*given)
        return field, low, spacing * 1.0001  # which single precision cannot hold

    monkeypatch.setattr(network_fit, "hull_field", carve)
    fit, again = new("network", photos), new("network", photos)
    fit.prepare()
    save_checkpoint(tmp_path / "a.safetensors", fit.state())
    again.restore(load_checkpoint(tmp_path / "a.safetensors"))
    assert fit.field.step == again.field.step


@pytest.mark.parametrize("kind", ["volume", "sdf", "points"])
def test_a_finished_run_is_extended_and_its_log_goes_on(photos, tmp_path, kind):
    settings = tiny(kind)
    run_radiance(photos, settings, tmp_path, "cpu", checkpoint_seconds=0)
    folder = tmp_path / "checkpoints"
    assert checkpoints_in(folder) == [checkpoint_path(folder, step) for step in (40, 60)]
    settings.set(f"{kind}_steps", 100)
    metrics = run_radiance(photos, settings, tmp_path, "cpu", resume=checkpoint_path(folder, 60))
    assert metrics["iterations"] == 100
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [20, 40, 60, 80, 100]
    assert [row["seconds"] for row in rows] == sorted(row["seconds"] for row in rows)
    run_radiance(photos, tiny(kind, **{f"{kind}_steps": 20}), tmp_path, "cpu")
    assert checkpoints_in(folder) == [checkpoint_path(folder, step) for step in (0, 20)]


def test_what_does_not_belong_together_is_refused(photos, tmp_path):
    fit = new("points", photos)
    fit.prepare()
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, fit.state())
    state = load_checkpoint(path)
    with pytest.raises(InputError, match="of a fit of points, expected one of volume"):
        new("volume", photos).restore(state)
    with pytest.raises(InputError, match="of a fit of points, expected one of a mesh"):
        restore(Fit(FitProblem(photos), FitSettings({"resolution": 48}), "cpu"), state)
    other = photograph(coloured_ball(0.5), count=12, size=48)
    with pytest.raises(InputError, match="belongs to other photos"):
        new("points", other).restore(state)


def spoiled(fit: RadianceFit) -> None:
    """What a rate that is far too high ends in."""
    value = fit.model.grid.density if fit.KIND == "volume" else fit.values["colors"]
    with torch.no_grad():
        value.fill_(float("nan"))


@pytest.mark.parametrize("kind", ["volume", "points"])
def test_a_run_that_diverges_goes_back_and_on(photos, tmp_path, monkeypatch, kind):
    made = KINDS[kind].make
    step, bad = made.step, [30]

    def stepping(fit):
        if fit.steps_done in bad:
            bad.clear()
            spoiled(fit)
        step(fit)

    monkeypatch.setattr(made, "step", stepping)
    metrics = run_radiance(photos, tiny(kind), tmp_path, "cpu", checkpoint_seconds=0)
    assert metrics["iterations"] == 60
    assert "back to the values of step 20, on with rates times 0.5" in metrics["notes"][0]
    assert metrics["psnr_holdout"] > 10
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [20, 40, 60]


def test_a_run_that_always_diverges_fails_with_what_it_had(photos, tmp_path, monkeypatch):
    def checked(fit, error, step):
        raise Diverged("fit: the loss is not finite at step 20; lower the rates")

    monkeypatch.setattr(KINDS["points"].make, "checked", checked)
    with pytest.raises(WorkError, match="not finite"):
        run_radiance(photos, tiny("points"), tmp_path, "cpu")
    assert len(json.loads((tmp_path / "metrics.json").read_text())["notes"]) == 4
    assert (tmp_path / "points.ply").is_file()


def test_a_fit_survives_a_full_disk(photos, tmp_path, monkeypatch):
    def full(path, state):
        raise WorkError(f"{path}: the disk is full; an earlier file of this name is unchanged")

    monkeypatch.setattr(radiance_run, "save_checkpoint", full)
    metrics = run_radiance(photos, tiny("points", points_steps=3), tmp_path, "cpu")
    assert metrics["iterations"] == 3
    assert any("no checkpoint" in note for note in metrics["notes"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(KINDS))
def test_a_killed_run_reaches_the_same_result(tmp_path, kind):
    """kill -9 between checkpoints, --resume, and compare with a run that was left alone."""
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in TINY.items()]
    command = [sys.executable, "main.py", "fit", "assets/demo", f"--representation={kind}", *flags]
    command += ["--steps=600", "--device=cpu"]
    subprocess.run([*command, f"--out={tmp_path / 'whole'}"], cwd=ROOT, check=True, capture_output=True)
    cut = [*command, f"--out={tmp_path / 'cut'}", "--checkpoint-seconds=0.1"]
    process = subprocess.Popen(cut, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    folder = tmp_path / "cut" / "checkpoints"
    until = time.monotonic() + 120
    while len(checkpoints_in(folder)) < 2 and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "cut" / "metrics.json").exists()
    subprocess.run([*cut, "--resume"], cwd=ROOT, check=True, capture_output=True)
    whole, again = (tmp_path / name / KINDS[kind].file for name in ("whole", "cut"))
    assert whole.read_bytes() == again.read_bytes()
