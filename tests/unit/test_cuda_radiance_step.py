"""Steps of volumes, distances and points as a GPU would do them; see test_cuda_step.py."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch

from studio.core.optim.points_fit import PointsFit
from studio.core.optim.radiance_fit import RadianceFit
from studio.core.optim.radiance_live import RadianceLive
from studio.core.optim.sdf_fit import SdfFit
from studio.core.optim.settings import FitSettings
from studio.core.optim.start import FitProblem
from studio.core.optim.volume_fit import VolumeFit
from tests.unit.optim_scenes import coloured_ball, photograph
from tests.without_memory import META, Transfers, pretending, without_memory

splats = importlib.import_module("studio.core.ops.splat")

SMALL: dict[str, Any] = {
    **{"resolution": 32, "hull_resolution": 16, "views_per_step": 2, "points_count": 200},
    **{"volume_resolution": 20, "sdf_resolution": 20, "volume_rays": 256},
    **{"volume_steps": 100, "sdf_steps": 100, "points_steps": 200},
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
    if not isinstance(fit, PointsFit):
        kernels = {name: fit.model.__dict__.pop(name) for name in ("_train", "_even")}
    moved = without_memory(fit)
    moved.device = META
    if isinstance(moved, PointsFit):
        moved._generator = generator  # which draws on the host
    else:
        moved.model.__dict__.update(kernels, device=META)
    return moved


@pytest.mark.parametrize("kind", [VolumeFit, SdfFit, PointsFit])
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
    assert 1 <= sum(launches.counts.values()) <= 10


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
    monkeypatch.setattr("studio.core.optim.radiance_live.Arrival", Late)
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
