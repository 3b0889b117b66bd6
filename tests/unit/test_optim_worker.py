"""The worker's states: every order of messages ends well, failures are told, nothing leaks."""

from __future__ import annotations

import random
import threading
import time

import numpy as np
import pytest

from studio.core.errors import Cancelled, WorkError
from studio.core.optim import messages as m
from studio.core.optim.fit import FitProblem
from studio.core.optim.readings import StepResult
from studio.core.optim.schedule import Schedule
from studio.core.optim.settings import FitSettings
from studio.core.optim.worker import Worker, _keeps_row
from studio.core.scene import Lighting, PhotoSet, Scene, Similarity
from studio.core.scene.shapes import cube
from tests.unit.optim_scenes import coloured_ball, photograph
from tests.unit.test_optim_fit import tiny

PROBLEM = FitProblem(PhotoSet([], Similarity()))

TIMEOUT = 20.0
"""Seconds after which a state counts as not reached; the longest wait is below one."""


class FakeFit:
    """Counts instead of fitting: what the worker needs to know of a Fit."""

    prepare_seconds = 0.0
    step_seconds = 0.0
    fail_at = -1

    def __init__(self, problem, settings, device, progress, cancel):
        self.settings, self.progress, self.cancel = settings, progress, cancel
        self.steps_done = 0
        self.topology = 0

    @property
    def steps(self):
        return self.settings["steps"]

    @property
    def schedule(self):
        return Schedule(self.steps, 2, 64, 0.1, 0.1)

    def prepare(self):
        end = time.monotonic() + self.prepare_seconds
        while True:
            self.progress(0.5, "Preparing")
            if self.cancel():
                raise Cancelled("stopped")
            if time.monotonic() >= end:
                return
            time.sleep(0.002)

    def step(self):
        time.sleep(self.step_seconds)
        if self.steps_done + 1 == self.fail_at:
            raise WorkError("fit: the loss is not finite at step 5")
        self.steps_done += 1
        self.result = StepResult(self.steps_done, {"total": 1.0 / self.steps_done}, 20.0, {})
        return self.result

    def take_results(self):
        return [self.result]

    def reset(self):
        self.steps_done = 0

    def snapshot_ready(self):
        return True

    def snapshot(self, live=False):
        return m.Snapshot(self.steps_done, cube(), Lighting(), (0.0, 0.0, 0.0), {})

    def set_rate(self, group, rate):
        self.settings.set(f"{group}_rate", rate)

    def set_group(self, group, enabled):
        self.settings.set(f"{group}_enabled", enabled)

    def set_weight(self, term, weight):
        self.settings.set(f"{term}_weight", weight)

    def set_rasterizer(self, name, value):
        self.settings.set(name, value)

    def set_steps(self, steps):
        self.settings.set("steps", steps)


def fake(**attributes):
    return type("Fake", (FakeFit,), attributes)


@pytest.fixture
def make():
    """Builds workers and closes them."""
    workers = []

    def build(**attributes) -> Worker:
        workers.append(Worker(make_fit=fake(**attributes)))
        return workers[-1]

    yield build
    for worker in workers:
        worker.close()


def wait_for(worker: Worker, *phases: str) -> m.Status:
    """Wait until the worker rests in one of the phases, with no message left to handle."""
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        if not worker.busy and worker.status.phase in phases:
            return worker.status
        time.sleep(0.002)
    raise AssertionError(f"expected {phases}, still {worker.status}")


def start(worker: Worker, steps: int = 50) -> None:
    worker.start(PROBLEM, FitSettings({"steps": steps}))


def test_runs_to_the_end(make):
    worker = make()
    assert worker.status.phase == "idle"
    assert worker.result() is None
    start(worker, 50)
    status = wait_for(worker, "done")
    assert (status.step, status.steps) == (50, 50)
    assert worker.slot.take().step == 50
    assert worker.slot.empty
    assert [row.step for row in worker.history] == list(range(1, 51))
    assert isinstance(worker.result(), Scene)


def test_start_then_pause_at_once(make):
    worker = make(prepare_seconds=0.02, step_seconds=0.001)
    start(worker)
    worker.post(m.Pause())
    assert wait_for(worker, "paused").step == 0
    worker.post(m.Resume())
    wait_for(worker, "done")


@pytest.mark.parametrize("seconds", [0.0, 0.2])
def test_start_then_stop_at_once(make, seconds):
    worker = make(prepare_seconds=seconds, step_seconds=0.01)
    began = time.monotonic()
    start(worker)
    worker.post(m.Stop())
    wait_for(worker, "stopped")
    assert time.monotonic() - began < TIMEOUT


def test_stop_breaks_off_preparing(make):
    worker = make(prepare_seconds=60.0)
    start(worker)
    time.sleep(0.05)
    worker.post(m.Stop())
    wait_for(worker, "stopped")
    assert worker.result() is None


def test_start_then_close_at_once(make):
    worker = make(prepare_seconds=60.0)
    start(worker)
    worker.close()
    assert worker._thread is None


def test_start_again_replaces_the_run(make):
    worker = make(prepare_seconds=0.05, step_seconds=0.001)
    start(worker, 1000)
    start(worker, 7)
    assert wait_for(worker, "done").step == 7


def test_start_after_close_works(make):
    worker = make()
    start(worker, 3)
    wait_for(worker, "done")
    worker.close()
    start(worker, 4)
    assert wait_for(worker, "done").step == 4


def test_single_steps(make):
    worker = make()
    start(worker)
    worker.post(m.Pause())
    wait_for(worker, "paused")
    before = worker.status.step
    worker.post(m.Step(3))
    assert wait_for(worker, "paused").step == before + 3
    assert worker.latest.step == before + 3


def test_reset_goes_back_and_pauses(make):
    worker = make(step_seconds=0.001)
    start(worker)
    worker.post(m.Reset())
    assert wait_for(worker, "paused").step == 0
    assert worker.history == []
    worker.post(m.Resume())
    wait_for(worker, "done")
    worker.post(m.Reset())
    assert wait_for(worker, "paused").step == 0
    assert worker.slot.take().step == 0


def test_more_steps_extend_a_finished_run(make):
    worker = make()
    start(worker, 5)
    wait_for(worker, "done")
    worker.post(m.SetSteps(9))
    assert wait_for(worker, "done").step == 9


def test_resume_of_a_finished_run_stays_done(make):
    worker = make()
    start(worker, 5)
    wait_for(worker, "done")
    worker.post(m.Resume())
    worker.post(m.Step(2))
    assert wait_for(worker, "done").step == 5


def test_failure_is_told_and_the_last_snapshot_kept(make):
    worker = make(fail_at=5)
    start(worker)
    status = wait_for(worker, "failed")
    assert "not finite" in status.note
    assert "\n" not in status.note
    assert status.step == 4
    assert worker.latest is not None
    worker.post(m.Resume())
    assert wait_for(worker, "failed")
    worker.post(m.Reset())
    assert wait_for(worker, "paused").step == 0


def test_any_exception_is_told(make):
    def broken(self):
        raise ZeroDivisionError("secret\nsecond line")

    worker = make(prepare=broken)
    start(worker)
    assert wait_for(worker, "failed").note == "secret second line"


def test_a_bad_setting_is_noted_and_ignored(make):
    worker = make()
    start(worker)
    worker.post(m.Pause())
    wait_for(worker, "paused", "done")
    worker.post(m.SetRate("albedo", -1.0))
    wait_for(worker, "paused", "done")
    assert "albedo_rate must be in" in worker.status.note


def test_settings_of_the_caller_are_left_alone(make):
    worker = make()
    settings = FitSettings({"steps": 3})
    worker.start(PROBLEM, settings)
    worker.post(m.SetSteps(4))
    wait_for(worker, "done")
    assert settings["steps"] == 3


def test_snapshots_wait_to_be_taken(make):
    made = []

    class Counting(FakeFit):
        step_seconds = 0.001

        def snapshot(self, live=False):
            made.append(self.steps_done)
            return super().snapshot(live)

    worker = Worker(make_fit=Counting)
    worker.max_snapshot_rate = 1e9
    start(worker, 100)
    wait_for(worker, "done")
    worker.close()
    assert made == [0, 100]  # nobody took the first, so only the end was worth another


def test_snapshot_rate_is_bounded(make):
    made = []

    def snapshot(self, live=False):
        if live:  # not those of the beginning and the end
            made.append(time.perf_counter())
        return FakeFit.snapshot(self, live)

    worker = make(step_seconds=0.002, snapshot=snapshot)
    worker.max_snapshot_rate = 20.0
    start(worker, 150)
    while worker.busy or worker.status.phase == "running":
        worker.slot.take()
        time.sleep(0.001)
    assert len(made) >= 3
    assert (np.diff(made) >= 0.05).all()


def test_updates_are_announced(make):
    calls = []
    worker = Worker(on_update=lambda: calls.append(threading.current_thread().name), make_fit=FakeFit)
    start(worker, 5)
    wait_for(worker, "done")
    worker.close()
    assert calls
    assert set(calls) == {"studio-optimizer"}


def test_long_histories_thin_out():
    kept = [step for step in range(1, 64_001) if _keeps_row(step)]
    assert kept[:1000] == list(range(1, 1001))
    assert len(kept) < 5000
    assert kept[-1] == 64_000


MESSAGES = (
    m.Pause(), m.Resume(), m.Step(), m.Step(4), m.Stop(), m.Reset(), m.SetRate("albedo", 0.1),
    m.SetGroup("light", False), m.SetWeight("mask", 2.0), m.SetSteps(30), m.SetRate("nothing", 1.0),
    m.SetRasterizer("rasterizer", "softras"), m.SetRasterizer("rasterizer", "rays"),
)  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
def test_random_messages_never_hang(make, seed):
    pick = random.Random(seed)
    worker = make(prepare_seconds=0.003, step_seconds=0.0002, fail_at=25 if seed % 2 else -1)
    for _ in range(60):
        if pick.random() < 0.15:
            start(worker, pick.randint(0, 40))
        else:
            worker.post(pick.choice(MESSAGES))
        if pick.random() < 0.3:
            time.sleep(pick.random() * 0.004)
        worker.slot.take()
    worker.post(m.Pause())
    wait_for(worker, "idle", "paused", "done", "stopped", "failed")
    start(worker, 3)  # whatever came before, it still takes work and finishes it
    worker.post(m.Resume())
    wait_for(worker, "done")
    assert (worker.status.step, worker.latest.step) == (3, 3)


def test_threads_and_fits_are_let_go():
    before = threading.active_count()
    for _ in range(30):
        worker = Worker(make_fit=fake(step_seconds=0.0005))
        start(worker, 20)
        worker.post(m.Pause())
        worker.close()
        assert worker._fit is None
    assert threading.active_count() == before


def test_a_real_fit_through_the_worker_resets_exactly():
    photos = photograph(coloured_ball(), count=8, size=32)
    worker = Worker()
    worker.start(FitProblem(photos), tiny(steps=12, resolution=32, holdout=0), "cpu")
    worker.post(m.Pause())
    wait_for(worker, "paused")
    first = worker.latest
    if first.step:  # the pause came after a step
        worker.post(m.Reset())
        wait_for(worker, "paused")
        first = worker.latest
    worker.post(m.Resume())
    wait_for(worker, "done")
    moved = worker.latest
    worker.post(m.Reset())
    wait_for(worker, "paused")
    again = worker.latest
    worker.close()
    assert moved.step == 12
    assert again.topology > moved.topology
    np.testing.assert_array_equal(first.mesh.vertices, again.mesh.vertices)
    np.testing.assert_array_equal(first.mesh.colors, again.mesh.colors)
