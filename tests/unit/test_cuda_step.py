"""A step of a fit as a GPU would do it, on tensors without numbers: it may look at none of them."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
import torch

from studio.core.arrival import Arrival, constant, sent
from studio.core.optim.fit import Fit, FitProblem
from studio.core.optim.graphs import SETTLED, Graphs
from studio.core.optim.materials import TextureMaterial
from studio.core.optim.messages import GROUPS
from studio.core.optim.moment import Moments
from studio.core.optim.readings import Readings
from studio.core.optim.room import PIXEL, SSIM_PIXEL, TEXTURED_PIXEL, needed, views_that_fit
from studio.core.optim.settings import FitSettings
from studio.core.scene.shapes import icosphere
from tests.unit.optim_scenes import coloured_ball, photograph
from tests.without_memory import META, Allocations, Operations, Transfers, pretending, without_memory


class Solver:
    """Stands in for the solver of large steps."""

    def solve(self, right_side: torch.Tensor, out: torch.Tensor) -> None:
        assert right_side.device == out.device == META
        assert right_side.shape == out.shape

    def __deepcopy__(self, memo: dict) -> Solver:
        return self


@pytest.fixture(scope="module")
def photos():
    return photograph(coloured_ball(), 4, 32)


def running(photos: Any, **settings: Any) -> Fit:
    """A small fit that begins with a ball."""
    values = {"steps": 8, "resolution": 32, "stages": 1, "views_per_step": 2, "start": "mesh"}
    values |= {"remesh": False, **settings}
    fit = Fit(FitProblem(photos, icosphere(2, 0.5)), FitSettings(values), "cpu")
    fit.prepare()
    return fit


def twin(photos: Any, done: int = 1, **settings: Any) -> Fit:
    """A fit after some steps on CPU, moved to where there is no memory."""
    fit = running(photos, **{"steps": 40, **settings})
    for _ in range(done):
        fit.step()
    fit._generator = None
    fit.variables.steps._solver = Solver()
    fit._start = fit._keeper._variables = None
    moved = without_memory(fit)
    moved.device = META
    return moved


def second_step(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, int], list[str]]:
    """(launches by kernel, copies that are waited for) of a step that others came before."""
    monkeypatch.setattr(Readings, "receive", lambda self, wait=False: [])
    transfers = Transfers(monkeypatch)
    with pretending(monkeypatch) as launches, transfers:
        fit._try_step()
        fit.steps_done += 1
        launches.counts.clear()
        transfers.found.clear()
        fit._try_step()
    return launches.counts, transfers.found


PLAIN: dict[str, Any] = {}
EVERYTHING = {
    **{"training_background": "noise", "pose_enabled": True, "pose_from": 0, "ssim_weight": 0.1},
    **{"exposure_enabled": True, "white_balance_enabled": True, "background_enabled": True},
    **{"color_loss": "huber", "edge_length_weight": 0.1, "normal_consistency_weight": 0.1},
}


TEXTURED = {
    **{"material": "textures", "texture_steps": 30, "texture_size": 32, "warm_up": 2},
    **{"light_model": "environment", "directed_occlusion": False},
}


@pytest.mark.parametrize(
    "settings",
    [PLAIN, EVERYTHING, {"shading": "unlit"}, {"rasterizer": "nmr"}, {"rasterizer": "softras"}],
    ids=["standard", "everything", "unlit", "nmr", "softras"],
)
def test_a_step_waits_for_nothing(photos, monkeypatch, settings):
    launches, waited = second_step(twin(photos, **settings), monkeypatch)
    assert waited == []
    assert launches["image_loss"] == 1, "all photos of the step at once"
    assert sum(launches.values()) <= 30


@pytest.mark.parametrize("rasterizer", ["antialias", "softras"])
def test_a_step_on_textures_waits_for_nothing(photos, monkeypatch, rasterizer):
    fit = twin(photos, 14, **TEXTURED, rasterizer=rasterizer)
    assert isinstance(fit.variables.material, TextureMaterial)
    launches, waited = second_step(fit, monkeypatch)
    assert waited == []
    assert launches["image_loss"] == 1


@pytest.mark.parametrize(
    ("settings", "done", "most"), [(PLAIN, 1, 145), (TEXTURED, 14, 400)], ids=["vertices", "textures"]
)
def test_a_step_has_few_launches(photos, monkeypatch, settings, done, most):
    """Each takes some microseconds of the host, or one or two of a recorded step."""
    fit = twin(photos, done, **settings)
    monkeypatch.setattr(Readings, "receive", lambda self, wait=False: [])
    with pretending(monkeypatch) as launches:
        fit._try_step()
        fit.steps_done += 1
        launches.counts.clear()
        with Operations() as operations:
            fit._try_step()
    assert 50 < operations.count <= most
    assert sum(launches.counts.values()) <= 70


def test_looking_at_a_number_is_noticed(photos, monkeypatch):
    """The stand-in would not let it pass."""
    fit = twin(photos)
    update = fit._update

    def looking(moved: list[str]) -> None:
        float(fit.variables.sh.detach().sum())
        update(moved)

    monkeypatch.setattr(fit, "_update", looking)
    with pytest.raises(RuntimeError, match="cannot be called on meta tensors"):
        second_step(fit, monkeypatch)


def test_a_copy_that_is_waited_for_is_noticed(photos, monkeypatch):
    fit = twin(photos)
    update = fit._update

    def copying(moved: list[str]) -> None:
        fit.variables.sh.data.add_(fit.variables.sh.new_tensor([1.0, 2.0, 3.0]))
        update(moved)

    monkeypatch.setattr(fit, "_update", copying)
    _, waited = second_step(fit, monkeypatch)
    assert len(waited) == 1
    assert "new_tensor" in waited[0]


# Snapshots


class Event:
    """Recorded behind work that takes until somebody says so."""

    done = False

    def query(self) -> bool:
        return self.done


def test_a_snapshot_is_asked_for_without_waiting(photos, monkeypatch):
    fit = twin(photos)
    monkeypatch.setattr("studio.core.optim.moment.on_cuda", lambda device: True)
    monkeypatch.setattr("studio.core.optim.moment.recorded", Event)
    transfers = Transfers(monkeypatch)
    with pretending(monkeypatch), transfers:
        assert not fit.snapshot_ready()
        assert not fit.snapshot_ready()
    assert transfers.found == []


def test_a_snapshot_is_of_the_step_at_which_it_was_asked_for(photos, monkeypatch):
    events: list[Event] = []

    def event() -> Event:
        events.append(Event())
        return events[-1]

    fit = running(photos)
    fit.step()
    expected = fit.snapshot()
    monkeypatch.setattr("studio.core.optim.moment.on_cuda", lambda device: True)
    monkeypatch.setattr("studio.core.optim.moment.recorded", event)
    monkeypatch.setattr(Moments, "aside", lambda self, moment: contextlib.nullcontext())
    assert not fit.snapshot_ready()
    for _ in range(3):
        fit.step()
        assert not fit.snapshot_ready()
    events[0].done = True
    assert fit.snapshot_ready()
    assert fit.snapshot().step == 4, "who does not watch gets what there is now"
    assert not fit.snapshot_ready(), "and who watches asks again"
    fit.step()
    events[-1].done = True
    late = fit.snapshot(live=True)
    assert (late.step, late.on_gpu.event) == (4, events[-1])
    fit.reset()
    fit.step()
    assert not fit.snapshot_ready(), "the one on its way is not of this run any more"
    fit.step()
    again = fit.snapshot(live=True)
    assert again.step == 1
    for name in ("vertices", "normals", "colors", "faces"):
        assert np.array_equal(getattr(again.mesh, name), getattr(expected.mesh, name)), name
    assert np.array_equal(again.lighting.sh, expected.lighting.sh)
    assert np.array_equal(again.exposure, expected.exposure)
    assert again.losses == expected.losses


# Readings


class Late:
    """An arrival that has not come yet."""

    def __init__(self, tensors: list[torch.Tensor]) -> None:
        self.ready = False
        self.arrays = lambda: [tensor.numpy().copy() for tensor in tensors]


@pytest.fixture
def late(monkeypatch):
    made: list[Late] = []

    def make(tensors: list[torch.Tensor]) -> Late:
        made.append(Late(tensors))
        return made[-1]

    monkeypatch.setattr("studio.core.optim.readings.Arrival", make)
    return made


def test_numbers_that_come_late_come_in_order(photos, late):
    fit = running(photos)
    assert fit.step().step == 1, "the first is waited for"
    for _ in range(3):
        assert fit.step().step == 1
    assert [result.step for result in fit.take_results()] == [1]
    for arrival in late[:3]:
        arrival.ready = True
    assert fit.step().step == 3
    assert [result.step for result in fit.take_results()] == [2, 3]
    assert len(fit.snapshot().view_errors) == len(photos.photos), "of every step that has arrived"
    while fit.steps_done < fit.steps:
        fit.step()
    assert [result.step for result in fit.take_results()] == [4, 5, 6, 7, 8], "the last waits for all"


def test_late_numbers_are_those_of_their_steps(photos, late):
    waiting, prompt = running(photos), running(photos)
    for _ in range(8):
        waiting.step()
    for expected in waiting.take_results():
        prompt.step()
        prompt._receive(wait=True)
        assert prompt.take_results()[-1].losses == expected.losses
    assert torch.equal(prompt.variables.differential, waiting.variables.differential)


def test_what_diverges_unseen_is_taken_back(photos, late):
    """The numbers of several bad steps arrive at once: one recovery, and the run goes on."""
    fit = running(photos, steps=60)
    for _ in range(50):
        fit.step()
    with torch.no_grad():
        fit.variables.differential[0] = float("nan")
    for _ in range(3):
        fit.step()
    for arrival in late:
        arrival.ready = True
    fit.step()
    assert "back to the values of step 50" in fit.notes[-1]
    assert sum("back to" in note for note in fit.notes) == 1
    assert torch.isfinite(fit.variables.differential).all()


def test_helpers_on_the_cpu():
    cpu = torch.device("cpu")
    tensor = torch.arange(3.0)
    arrival = Arrival([tensor])
    assert arrival.ready
    tensor.zero_()
    assert arrival.arrays()[0].tolist() == [0, 1, 2], "as it was"
    assert sent([3, 1], cpu).tolist() == [3, 1]
    assert constant((1.0, 2.0), torch.float32, cpu) is constant((1.0, 2.0), torch.float32, cpu)


# Recorded steps


class Tape:
    """Stands in for a CUDA graph: "replays" by doing the work again, into the places of the first time."""

    def __init__(self, fit: Fit, skip: bool = False) -> None:
        self.fit, self.skip = fit, skip

    def _gradients(self) -> list[torch.Tensor]:
        leaves = [t for group in GROUPS if group != "vertices" for t in self.fit.variables.tensors(group)]
        return [leaf.grad for leaf in leaves if leaf.grad is not None]

    pool = None

    def record(self, work: Any, pool: Any) -> Any:
        self.work = work
        self.made = work()
        self.gradients = self._gradients()
        return self.made

    def replay(self) -> None:
        if self.skip:
            return
        again = self.work()
        for name, value in self.made.items():
            value.copy_(again[name])
        for place, value in zip(self.gradients, self._gradients()):
            place.copy_(value)


def recording(photos: Any, skip: bool = False, **settings: Any) -> Fit:
    fit = running(photos, **settings)
    fit._pass.graphs = Graphs(fit.device, True, lambda: Tape(fit, skip))
    return fit


@pytest.mark.parametrize("settings", [PLAIN, {"training_background": "fixed", "background_enabled": True}])
def test_replayed_steps_are_those_launched_one_by_one(photos, settings):
    plain, recorded = running(photos, **settings), recording(photos, **settings)
    for _ in range(8):
        assert recorded.step().losses == plain.step().losses
    assert recorded._pass.graphs.replayed == 8 - SETTLED
    assert torch.equal(recorded.variables.differential, plain.variables.differential)
    assert torch.equal(recorded.variables.sh, plain.variables.sh)


def test_what_changes_the_work_is_recorded_anew(photos):
    fit = recording(photos, steps=20)
    for _ in range(5):
        fit.step()
    assert fit._pass.graphs.replayed == 2
    fit.set_weight("color", 0.5)
    for _ in range(SETTLED):
        fit.step()
    assert fit._pass.graphs.replayed == 2, "launched one by one until it stands still"
    fit.step()
    assert fit._pass.graphs.replayed == 3


def test_what_comes_back_is_still_recorded(photos):
    """Each with its own losses: their names are not among what a graph leaves."""
    plain, fit = running(photos, steps=20), recording(photos, steps=20)
    for other in (0.0, 0.1, 0.0, 0.1):
        for _ in range(5):
            for each in (plain, fit):
                each.set_weight("edge_length", other)
            assert fit.step().losses == plain.step().losses
    assert fit._pass.graphs.recorded == 2
    assert fit._pass.graphs.replayed == 20 - 2 * SETTLED
    assert torch.equal(fit.variables.differential, plain.variables.differential)


def test_a_replay_that_is_wrong_is_found_out(photos):
    """One that does nothing leaves the values of the recording, of other photos."""
    plain, fit = running(photos), recording(photos, skip=True)
    fit._pass.graphs._make = lambda: Stale(fit)
    for _ in range(6):
        assert fit.step().losses == plain.step().losses
    assert any("differs from one done launch by launch" in note for note in fit.notes)
    assert torch.equal(fit.variables.differential, plain.variables.differential)


class Stale(Tape):
    """Leaves garbage."""

    def replay(self) -> None:
        self.made["numbers"].add_(1.0)


def test_what_cannot_be_recorded_says_why(photos):
    def refuse() -> Any:
        raise RuntimeError("operation not permitted when stream is capturing")

    plain, fit = running(photos), running(photos)
    fit._pass.graphs = Graphs(fit.device, True, refuse)
    for _ in range(6):
        assert fit.step().losses == plain.step().losses
    told = [note for note in fit.notes if "CUDA graphs" in note]
    assert len(told) == 1
    assert "not permitted" in told[0]


def test_nothing_is_recorded_on_the_cpu(photos):
    assert running(photos)._pass.graphs.reason == "no CUDA device"
    assert running(photos, cuda_graphs=False)._pass.graphs.reason == "switched off"


# Memory


def bytes_of_a_step(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(Readings, "receive", lambda self, wait=False: [])
    with pretending(monkeypatch):
        fit._try_step()
        fit.steps_done += 1
        with Allocations() as allocations:
            fit._try_step()
    return allocations.bytes


@pytest.mark.parametrize(
    ("settings", "done", "each"),
    [(PLAIN, 1, PIXEL), (EVERYTHING, 1, PIXEL + SSIM_PIXEL), (TEXTURED, 12, TEXTURED_PIXEL)],
    ids=["standard", "everything", "textures"],
)
def test_the_plan_holds_for_all_that_a_step_makes(photos, monkeypatch, settings, done, each):
    made = []
    fits = [twin(photos, done, **{**settings, "views_per_step": views}) for views in (1, 3)]
    pixels = 32 * 32
    for views, fit in zip((1, 3), fits):
        made.append(bytes_of_a_step(fit, monkeypatch))
        texels = 32 * 32 if isinstance(fit.variables.material, TextureMaterial) else 0
        vertices, ssim = len(fit.variables.differential), fit.settings.weight("ssim") > 0
        assert made[-1] <= needed(pixels, views, vertices, texels, ssim)
    found = (made[1] - made[0]) / (2 * pixels)
    assert found <= 1.3 * each, "vertices count here, too: there are 162"
    assert found >= 0.4 * each, "the plan is not wildly larger than what is made"


def test_fewer_photos_where_memory_is_short():
    plenty, size = 80 << 30, (1024, 1024)
    assert views_that_fit(plenty, size, 8, 1, 25_000) == (8, "")
    assert views_that_fit(None, size, 8, 1, 25_000) == (8, ""), "no limit on the CPU"
    fitting, note = views_that_fit(2 << 30, size, 8, 1, 25_000)
    assert fitting == 4
    assert note == (
        "8 photos of 1024x1024 per step may take 3.2 GB, 2.0 GB of GPU memory are free: "
        "on with 4 photos per step"
    )
    assert views_that_fit(1 << 20, size, 8, 2, 25_000)[0] == 2, "not below what processes need"


def test_a_fit_plans_when_the_photos_get_larger(photos, monkeypatch):
    monkeypatch.setattr("studio.core.optim.fit.free_bytes", lambda device: 37 << 20)
    fit = running(photos, views_per_step=4)
    fit.step()
    assert fit.settings["views_per_step"] < 4
    assert any("GPU memory are free" in note for note in fit.notes)
