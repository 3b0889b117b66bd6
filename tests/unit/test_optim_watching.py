"""What is told of a fit while it runs: rates, motion, gradients of the vertices, a plateau."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from studio.core.errors import InputError
from studio.core.optim import messages as m
from studio.core.optim.checkpoint import load_checkpoint
from studio.core.optim.fit import Fit, FitProblem
from studio.core.optim.messages import HistoryRow
from studio.core.optim.watching import plateau, vertex_gradient
from studio.core.optim.worker import Worker
from tests.unit.optim_scenes import coloured_ball, photograph
from tests.unit.test_optim_fit import tiny


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture
def fit() -> Fit:
    made = Fit(FitProblem(photograph(coloured_ball())), tiny(), "cpu")
    made.prepare()
    for _ in range(4):
        made.step()
    return made


def test_rates_are_those_of_the_next_step(fit: Fit) -> None:
    fit.set_group("metallic", False)
    told = fit.snapshot().rates
    assert told["metallic"] == 0.0
    fit.step()
    acted = fit._optimizers["albedo"].param_groups[0]["lr"]
    assert told["albedo"] == pytest.approx(acted)
    assert told["albedo"] < fit.settings.rate("albedo"), "decay has begun"
    assert "normal_map" not in told, "there is none without textures"


def test_motion_is_the_change_per_step(fit: Fit) -> None:
    fit.snapshot()
    before = fit.variables.material.shade.detach().clone()
    fit.set_group("metallic", False)
    for _ in range(3):
        fit.step()
    moved = fit.snapshot().motion
    change = fit.variables.material.shade.detach() - before
    assert moved["albedo"] == pytest.approx(float(change.square().mean().sqrt()) / 3, rel=0.1)
    assert moved["metallic"] == 0.0
    fit.reset()
    assert "vertices" not in fit.snapshot().motion, "nothing can be said across a step back"


@pytest.mark.parametrize("term", ["total", "color", "mask"])
def test_gradients_of_vertices_agree_with_differences(fit: Fit, term: str) -> None:
    """The loss falls along the gradient by its length, squared; nothing of the run changes."""
    queue, values = list(fit._queue), fit.variables.differential.detach().clone()
    gradient = vertex_gradient(fit, term)
    assert gradient.shape == fit.snapshot().mesh.vertices.shape
    length = float(np.linalg.norm(gradient))
    assert length > 0
    direction = torch.from_numpy(gradient / length)
    step, losses = 2e-4 * fit.variables.scale, []
    for side in (1, -1):
        with torch.no_grad():
            box = fit.variables.box_vertices() + side * step * direction / fit.variables.scale
            moved = fit.variables.steps.to_differential(box)
            fit.variables.differential.copy_(moved)
        losses.append(_loss(fit, term))
        with torch.no_grad():
            fit.variables.differential.copy_(values)
    assert (losses[0] - losses[1]) / (2 * step) == pytest.approx(length, rel=0.05)
    assert fit._queue == queue
    assert torch.equal(fit.variables.differential, values)


def _loss(fit: Fit, term: str) -> float:
    """The value that `vertex_gradient` derives."""
    from studio.core.optim import watching

    values: list[float] = []
    plain = watching.measure

    def spy(*args: object) -> object:
        measured = plain(*args)  # type: ignore[arg-type]
        values.append(float(measured.total.detach().double()))
        return measured

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watching, "measure", spy)
        vertex_gradient(fit, term)
    return values[0]


def test_gradients_of_held_vertices_and_of_no_term(fit: Fit) -> None:
    fit.set_group("vertices", False)
    fit.step()
    assert np.abs(vertex_gradient(fit)).max() > 0
    with pytest.raises(InputError, match="no loss term 'colour'"):
        vertex_gradient(fit, "colour")
    assert fit.snapshot().gradient is None


def _rows(losses: np.ndarray) -> list[HistoryRow]:
    return [HistoryRow(i + 1, {"total": float(v)}, 20.0, 0.0) for i, v in enumerate(losses)]


def test_a_plateau_is_told_from_progress_and_from_noise() -> None:
    luck = np.exp(0.1 * np.random.default_rng(0).normal(size=600))
    falling = 0.5 * np.exp(-np.arange(600) / 150) * luck
    assert plateau(_rows(falling), 0, 600) is None
    flat = np.concatenate([falling[:300], np.full(300, falling[299]) * luck[300:]])
    assert plateau(_rows(flat), 0, 600) == 600 - 120 + 1
    assert plateau(_rows(flat[:350]), 0, 600) is None, "the fall is still within the window"
    assert plateau(_rows(flat), 550, 600) is None, "a new stage has only begun"
    assert plateau(_rows(flat[:50]), 0, 600) is None
    assert plateau([], 0, 600) is None


def test_the_worker_saves_resumes_and_carries_gradients(tmp_path: Path) -> None:
    problem = FitProblem(photograph(coloured_ball()))
    settings = tiny()
    settings.set("steps", 6)
    path = tmp_path / "here.safetensors"
    worker = Worker()
    try:
        worker.start(problem, settings, "cpu")
        wait_for(lambda: worker.status.phase == "done", 60)
        worker.post(m.SaveCheckpoint(path))
        wait_for(lambda: "written" in worker.status.note)
        assert load_checkpoint(path)["plain"]["steps_done"] == 6
        worker.post(m.SetGradient("total"))
        wait_for(lambda: worker.latest is not None and worker.latest.gradient is not None)
        assert worker.latest.gradient.shape == worker.latest.mesh.vertices.shape
        worker.post(m.SaveCheckpoint(path / "no.safetensors"))
        wait_for(lambda: "cannot be written" in worker.status.note)
        assert worker.status.phase == "done", "a checkpoint that fails ends nothing"
        settings.set("steps", 9)
        worker.start(problem, settings, "cpu", path)
        wait_for(lambda: worker.status.phase == "done" and worker.status.step == 9, 60)
        assert [row.step for row in worker.history] == [7, 8, 9]
        worker.start(problem, settings, "cpu", tmp_path / "missing.safetensors")
        wait_for(lambda: worker.status.phase == "failed")
        assert "missing.safetensors" in worker.status.note
    finally:
        worker.close()
