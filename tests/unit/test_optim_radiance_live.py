"""Volumes and points in the worker: snapshots, settings that act at once, checkpoints, reset."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from studio.core.errors import InputError
from studio.core.optim import messages as m
from studio.core.optim import network_fit
from studio.core.optim.convergence import memory, thinned
from studio.core.optim.fit import Fit, FitProblem
from studio.core.optim.radiance_live import RadianceLive
from studio.core.optim.worker import Worker, make_fit
from studio.core.scene import Lighting, PhotoSet, Volume
from tests.unit.optim_scenes import coloured_ball, photograph
from tests.unit.test_optim_radiance_resume import tiny


@pytest.fixture(scope="module")
def photos() -> PhotoSet:
    return photograph(coloured_ball(), count=12, size=48)


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.005)


def test_the_representation_says_which_fit(photos: PhotoSet) -> None:
    problem = FitProblem(photos)
    assert isinstance(make_fit(problem, tiny("mesh"), "cpu"), Fit)
    assert isinstance(make_fit(problem, tiny("volume"), "cpu"), RadianceLive)
    with pytest.raises(InputError, match="expected one of volume"):
        RadianceLive(problem, tiny("mesh"), "cpu")


@pytest.mark.parametrize("kind", ["volume", "sdf", "points", "network"])
def test_snapshots_say_how_far_off_each_photo_is(
    kind: str, photos: PhotoSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The photo that was spoiled is the worst, and those held out are not looked at."""
    monkeypatch.setattr(network_fit, "_BAKED", 16)
    spoiled = replace(photos, photos=list(photos.photos))
    spoiled.photos[4] = replace(photos.photos[4], image=1 - photos.photos[4].image)
    fit = RadianceLive(FitProblem(spoiled), tiny(kind, network_rays=64), "cpu")
    fit.prepare()
    for _ in range(3 if kind == "network" else 30):
        fit.step()
    errors = fit.snapshot().view_errors
    assert sorted(errors) == sorted(photo.name for n, photo in enumerate(photos.photos) if n % 6)
    if kind != "network":  # which learns too slowly for a test
        assert max(errors, key=lambda name: errors[name]) == photos.photos[4].name
    assert all(0 < error < 1 for error in errors.values())


@pytest.mark.parametrize("kind", ["volume", "points"])
def test_snapshots_do_not_change_and_reset_begins_anew(kind: str, photos: PhotoSet) -> None:
    fit = RadianceLive(FitProblem(photos), tiny(kind), "cpu")
    fit.prepare()
    first = fit.snapshot()
    result = fit.step()
    assert result.losses["total"] == pytest.approx(10 ** (-result.psnr / 10))
    live, after = fit.snapshot(live=True), fit.snapshot()
    for snapshot in (first, live, after):
        assert snapshot.mesh is None
        assert snapshot.emits
        assert (getattr(snapshot, kind) is None, memory([snapshot]) > 0) == (False, True)

    def colors(snapshot: m.Snapshot) -> np.ndarray:
        return np.asarray(getattr(snapshot, kind).colors, np.float32)

    np.testing.assert_allclose(colors(live.whole()), colors(after), atol=2e-3)
    assert np.abs(colors(after) - colors(first)).max() > 1e-3
    fit.reset()
    assert fit.steps_done == 0
    np.testing.assert_array_equal(colors(fit.snapshot()), colors(first))


def test_its_own_settings_act_and_those_of_meshes_do_not(photos: PhotoSet) -> None:
    fit = RadianceLive(FitProblem(photos), tiny("volume"), "cpu")
    fit.prepare()
    fit.set_rate("volume_density", 0.125)
    fit.set_rate("vertices", 0.5)
    fit.set_group("albedo", False)
    fit.set_weight("color", 3.0)
    fit.set_rasterizer("rasterizer", "softras")
    fit.set_steps(7)
    assert fit.settings["volume_density_rate"] == 0.125
    assert fit.settings.rate("vertices") == tiny("volume").rate("vertices")
    assert fit.steps == 7


def test_a_timeline_keeps_every_second_point() -> None:
    grid = np.arange(80 * 60 * 70, dtype=np.float32).reshape(80, 60, 70)
    volume = Volume(grid, np.zeros((*grid.shape, 1, 3), np.float32), np.zeros(3), 0.5)
    snapshot = m.Snapshot(3, None, Lighting(), (0.0, 0.0, 0.0), {}, volume=volume)
    small = thinned(snapshot).volume
    assert small is not None
    np.testing.assert_array_equal(small.density, grid[::2, ::2, ::2])
    np.testing.assert_allclose(small.points()[3, 4, 5], volume.points()[6, 8, 10])
    assert small.unit == volume.unit, "densities count as before"


def test_the_worker_runs_pauses_saves_and_goes_on(photos: PhotoSet, tmp_path: Path) -> None:
    worker = Worker()
    problem, path = FitProblem(photos), tmp_path / "a.safetensors"
    try:
        worker.start(problem, tiny("points", points_steps=5000), "cpu")
        until(lambda: worker.status.step > 3, "it runs")
        worker.post(m.Pause())
        until(lambda: worker.status.phase == "paused", "it pauses")
        step = worker.status.step
        worker.post(m.SaveCheckpoint(path))
        until(path.exists, "a checkpoint")
        worker.post(m.SetSteps(step + 2))
        worker.post(m.Resume())
        until(lambda: worker.status.phase == "done", "it ends")
        assert worker.status.step == step + 2
        worker.start(problem, tiny("points", points_steps=step + 1), "cpu", path)
        until(lambda: worker.status.phase == "done" and worker.status.step == step + 1, "on from there")
        assert [row.step for row in worker.history] == [step + 1]
        worker.post(m.Reset())
        until(lambda: worker.status.phase == "paused" and worker.status.step == 0, "reset")
        result = worker.result()
        assert result is not None
        assert result.points is not None
        assert result.meshes == []
    finally:
        worker.close()
