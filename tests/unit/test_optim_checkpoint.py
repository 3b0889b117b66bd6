"""Checkpoints: a fit goes on from one bit for bit; damaged ones and full disks lose nothing."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from studio.core.errors import InputError, WorkError
from studio.core.optim import fitrun
from studio.core.optim.checkpoint import (
    checkpoint_path,
    checkpoints_in,
    load_checkpoint,
    prune,
    save_checkpoint,
)
from studio.core.optim.fit import Fit, FitProblem
from studio.core.optim.resume import restore, saved_settings, state_of
from studio.core.scene import PhotoSet
from tests.unit.optim_scenes import coloured_ball, photograph
from tests.unit.test_optim_fit import TINY, prepared, run, tiny

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def photos() -> PhotoSet:
    return photograph(coloured_ball(), count=12, size=48)


def resumed(photos: PhotoSet, path: Path, **changes) -> Fit:
    fit = Fit(FitProblem(photos), tiny(**changes), "cpu")
    restore(fit, load_checkpoint(path))
    return fit


def same(a: Fit, b: Fit) -> None:
    first, second = a.snapshot(), b.snapshot()
    assert first.step == second.step
    for name in ("vertices", "faces", "colors", "roughness", "metallic"):
        np.testing.assert_array_equal(getattr(first.mesh, name), getattr(second.mesh, name))
    np.testing.assert_array_equal(first.lighting.sh, second.lighting.sh)
    np.testing.assert_array_equal(first.exposure, second.exposure)


@pytest.mark.parametrize("stop_at", [0, 4, 20], ids=["start", "first stage", "last stage"])
def test_a_resumed_fit_is_the_same_fit(photos, tmp_path, stop_at):
    fit = prepared(photos, shading="pbr", laplacian_weight=0.1)
    while fit.steps_done < stop_at:
        fit.step()
    save_checkpoint(tmp_path / "a.safetensors", state_of(fit))
    again = resumed(photos, tmp_path / "a.safetensors", shading="pbr", laplacian_weight=0.1)
    same(run(fit), run(again))


@pytest.mark.parametrize(
    ("faces", "stop_at"), [(20_000, 24), (150, 19), (150, 24)], ids=["textures", "warm-up", "simplified"]
)
def test_textures_resume(photos, tmp_path, faces, stop_at):
    settings = {"shading": "pbr", "texture_steps": 12, "texture_size": 64, "texture_faces": faces}
    fit = prepared(photos, **settings)
    while fit.steps_done < stop_at:
        fit.step()
    save_checkpoint(tmp_path / "a.safetensors", state_of(fit))
    again = resumed(photos, tmp_path / "a.safetensors", **settings)
    same(run(fit), run(again))
    first, second = (f.snapshot().mesh.material for f in (fit, again))
    for name in ("base_color_texture", "orm_texture", "normal_texture"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_a_resumed_fit_resets_to_its_start(photos, tmp_path):
    fit = prepared(photos)
    start = fit.snapshot()
    for _ in range(20):
        fit.step()
    save_checkpoint(tmp_path / "a.safetensors", state_of(fit))
    again = resumed(photos, tmp_path / "a.safetensors")
    again.reset()
    np.testing.assert_array_equal(again.snapshot().mesh.vertices, start.mesh.vertices)


def test_settings_come_back(photos, tmp_path):
    fit = prepared(photos, seed=7)
    save_checkpoint(tmp_path / "a.safetensors", state_of(fit))
    assert saved_settings(tmp_path / "a.safetensors").as_dict() == fit.settings.as_dict()


def test_other_photos_are_refused(photos, tmp_path):
    save_checkpoint(tmp_path / "a.safetensors", state_of(prepared(photos)))
    other = photograph(coloured_ball(0.5), count=12, size=48)
    with pytest.raises(InputError, match="belongs to other photos"):
        resumed(other, tmp_path / "a.safetensors")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_damaged_checkpoint_is_one_line(photos, tmp_path, share):
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, state_of(prepared(photos)))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputError, match=r"a\.safetensors: .*expected a checkpoint") as told:
        load_checkpoint(path)
    assert "\n" not in str(told.value)


def test_unknown_classes_are_refused(tmp_path):
    with pytest.raises(TypeError, match="Path is not among"):
        save_checkpoint(tmp_path / "a.safetensors", {"where": Path()})
    save_checkpoint(tmp_path / "a.safetensors", {"fine": torch.zeros(2)})
    raw = (tmp_path / "a.safetensors").read_bytes()
    node = rb"{\"tensor\": \"0\", \"leaf\": false}"
    assert node in raw
    evil = rb"{\"class\": \"Popen\",\"fields\":{}}"
    (tmp_path / "a.safetensors").write_bytes(raw.replace(node, evil.ljust(len(node))))
    with pytest.raises(InputError, match="damaged"):
        load_checkpoint(tmp_path / "a.safetensors")


def test_a_full_disk_leaves_the_earlier_checkpoint(photos, tmp_path):
    path = tmp_path / "a.safetensors"
    fit = prepared(photos)
    save_checkpoint(path, state_of(fit))
    before = path.read_bytes()
    fit.step()
    with file_limit(4096), pytest.raises(WorkError, match="disk is full"):
        save_checkpoint(path, state_of(fit))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_fit_survives_a_full_disk(photos, tmp_path, monkeypatch):
    def full(path, state):
        raise WorkError(f"{path}: the disk is full; an earlier file of this name is unchanged")

    monkeypatch.setattr(fitrun, "save_checkpoint", full)
    metrics = fitrun.run_fit(photos, tiny(steps=3, stages=1), tmp_path, device="cpu")
    assert metrics["iterations"] == 3
    assert any("no checkpoint" in note for note in metrics["notes"])
    assert (tmp_path / "mesh.glb").is_file()


def test_a_finished_run_is_extended_and_its_log_goes_on(photos, tmp_path):
    fitrun.run_fit(photos, tiny(steps=6, stages=1), tmp_path, device="cpu", checkpoint_seconds=0)
    assert [p.name[5:12] for p in checkpoints_in(tmp_path / "checkpoints")] == [
        "0000004",
        "0000005",
        "0000006",
    ]
    newest = checkpoints_in(tmp_path / "checkpoints")[-1]
    metrics = fitrun.run_fit(photos, tiny(steps=9, stages=1), tmp_path, device="cpu", resume=newest)
    assert metrics["iterations"] == 9
    steps = [line.split(",")[0] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert steps == [f'{{"step": {n}' for n in range(1, 10)]


def test_only_the_newest_stay(tmp_path):
    for step in (5, 200, 30):
        checkpoint_path(tmp_path, step).write_bytes(b"x")
    prune(tmp_path, 2)
    assert checkpoints_in(tmp_path) == [checkpoint_path(tmp_path, 30), checkpoint_path(tmp_path, 200)]


class file_limit:
    """No file may grow beyond a number of bytes, as on a full disk."""

    def __init__(self, size: int):
        self.size = size

    def __enter__(self) -> None:
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)
        self.handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.before[1]))

    def __exit__(self, *_: object) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)
        signal.signal(signal.SIGXFSZ, self.handler)


@pytest.mark.slow
def test_a_killed_run_reaches_the_same_mesh(tmp_path):
    """kill -9 between checkpoints, --resume, and compare with a run that was left alone."""
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in TINY.items()]
    command = [sys.executable, "main.py", "fit", "assets/demo", *flags, "--steps=400", "--device=cpu"]
    subprocess.run([*command, f"--out={tmp_path / 'whole'}"], cwd=ROOT, check=True, capture_output=True)
    cut = [*command, f"--out={tmp_path / 'cut'}", "--checkpoint-seconds=0.2"]
    process = subprocess.Popen(cut, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    folder = tmp_path / "cut" / "checkpoints"
    until = time.monotonic() + 120
    while not checkpoints_in(folder) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "cut" / "mesh.glb").exists()
    subprocess.run([*cut, "--resume"], cwd=ROOT, check=True, capture_output=True)
    whole, again = (tmp_path / name / "mesh.glb" for name in ("whole", "cut"))
    assert whole.read_bytes() == again.read_bytes()
