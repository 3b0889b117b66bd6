"""Steps of volumes, distances and points as a GPU would do them; see test_cuda_step.py."""

from __future__ import annotations

import contextlib
import importlib
from typing import Any

import numpy as np
import pytest
import torch

from studio.core.optim import network_fit
from studio.core.optim.moment import Moments
from studio.core.optim.network_fit import NetworkFit
from studio.core.optim.points_fit import PointsFit
from studio.core.optim.radiance_fit import RadianceFit
from studio.core.optim.radiance_live import RadianceLive
from studio.core.optim.sdf_fit import SdfFit
from studio.core.optim.settings import FitSettings
from studio.core.optim.start import FitProblem
from studio.core.optim.volume_fit import VolumeFit
from tests.unit.optim_scenes import coloured_ball, photograph
from tests.without_memory import META, Looks, Transfers, pretending, without_memory

splats = importlib.import_module("studio.core.ops.splat")

SMALL: dict[str, Any] = {
    **{"resolution": 32, "hull_resolution": 16, "views_per_step": 2, "points_count": 200},
    **{"volume_resolution": 20, "sdf_resolution": 20, "volume_rays": 256},
    **{"volume_steps": 100, "sdf_steps": 100, "points_steps": 200, "network_rays": 64},
}


@pytest.fixture(scope="module")
def photos():
    return photograph(coloured_ball(), 4, 32)


def twin(photos: Any, kind: type[RadianceFit]) -> RadianceFit:
    """A fit after a step on CPU, moved to where there is no memory."""
    fit = kind(photos, FitSettings(SMALL | {"representation": kind.KIND}), "cpu")
    fit.prepare()
    fit.step()
    generator, fit._generator = fit._generator, None
    kernels: dict[str, Any] = {}
    if isinstance(fit, VolumeFit):
        kernels = {name: fit.model.__dict__.pop(name) for name in ("_train", "_even")}
    if isinstance(fit, NetworkFit):
        fit._room = fit._expected()
    moved = without_memory(fit)
    moved.device = META
    if isinstance(moved, PointsFit):
        moved._generator = generator  # which draws on the host
    elif isinstance(moved, VolumeFit):
        moved.model.__dict__.update(kernels, device=META)
    return moved


@pytest.mark.parametrize("kind", [VolumeFit, SdfFit, PointsFit, NetworkFit])
def test_a_step_waits_for_nothing(photos, monkeypatch, kind):
    fit = twin(photos, kind)
    monkeypatch.setattr(splats._Rooms, "of", lambda self, which, total: 3000)
    transfers = Transfers(monkeypatch)
    with pretending(monkeypatch) as launches, transfers:
        fit.step()  # constants are copied once
        transfers.found.clear()
        launches.counts.clear()
        fit.step()
        assert fit.error().device == META
    assert transfers.found == []
    assert fit.steps_done == 3
    assert (kind is not NetworkFit) <= sum(launches.counts.values()) <= 10, "a network is torch's alone"


@pytest.mark.parametrize("kind", [VolumeFit, SdfFit, PointsFit, NetworkFit])
def test_a_snapshot_is_asked_for_without_waiting(photos, monkeypatch, kind):
    fit, transfers = twin(photos, kind), Transfers(monkeypatch)
    with transfers:
        fit.frozen_snapshot(half=True)
    assert transfers.found == []


class Event:
    """Recorded behind work that takes until somebody says so."""

    done = False

    def query(self) -> bool:
        return self.done


@pytest.mark.parametrize("kind", ["volume", "points", "network"])
def test_a_snapshot_is_of_the_step_at_which_it_was_asked_for(photos, monkeypatch, kind):
    for name in ("_BAKED", "_WATCHED"):
        monkeypatch.setattr(network_fit, name, 8)
    events: list[Event] = []

    def event() -> Event:
        events.append(Event())
        return events[-1]

    live = RadianceLive(FitProblem(photos), FitSettings(SMALL | {"representation": kind}), "cpu")
    live.prepare()
    live.step()
    expected = live.snapshot(live=True)
    monkeypatch.setattr("studio.core.optim.moment.on_cuda", lambda device: True)
    monkeypatch.setattr("studio.core.optim.moment.recorded", event)
    monkeypatch.setattr(Moments, "aside", lambda self, moment: contextlib.nullcontext())
    assert not live.snapshot_ready()
    for _ in range(3):
        live.step()
        assert not live.snapshot_ready()
    assert len(events) == 1
    events[0].done = True
    assert live.snapshot_ready()
    late = live.snapshot(live=True)
    assert (late.step, late.psnr, late.view_errors) == (1, expected.psnr, expected.view_errors)
    found, wanted = (each.points if kind == "points" else each.volume for each in (late, expected))
    assert np.array_equal(found.colors, wanted.colors)
    assert live.snapshot().step == 4, "who does not watch gets what there is now"
    live.snapshot_ready()
    live.reset()
    assert not live.snapshot_ready(), "the one on its way is not of this run any more"
    assert len(events) == 3


def test_points_grow_with_one_wait(photos):
    fit = PointsFit(photos, FitSettings(SMALL | {"representation": "points"}), "cpu")
    fit.prepare()
    fit.step()
    before = len(fit.values["centers"])
    with torch.no_grad():
        fit.values["opacity_logits"][:7] = -9.0
    with Looks() as looks:
        fit._grow(3)
    assert looks.found == ["nonzero"]
    assert before - 7 < len(fit.values["centers"]) <= 200
    fit.step()


def test_looking_at_a_number_is_noticed(photos, monkeypatch):
    fit = twin(photos, VolumeFit)
    with pretending(monkeypatch):
        fit.step()
        with pytest.raises(RuntimeError, match="cannot be called on meta tensors"):
            fit.psnr()


def test_what_arrives_late_comes_in_order(photos, monkeypatch):
    class Late:
        def __init__(self, tensors: list[torch.Tensor]) -> None:
            self.ready = False
            self.arrays = lambda: [tensor.numpy().copy() for tensor in tensors]
            made.append(self)

    made: list[Late] = []
    monkeypatch.setattr("studio.core.optim.radiance_readings.Arrival", Late)
    settings = FitSettings(SMALL | {"representation": "points", "points_steps": 6})
    live = RadianceLive(FitProblem(photos), settings, "cpu")
    live.prepare()
    assert [live.step().step for _ in range(3)] == [1, 1, 1], "only the first is waited for"
    assert [result.step for result in live.take_results()] == [1]
    made[1].ready = True
    assert live.step().step == 2
    assert live.step().step == 2
    assert live.step().step == 6, "the last waits for all"
    assert [result.step for result in live.take_results()] == [2, 3, 4, 5, 6]
