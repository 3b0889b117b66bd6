"""Start, pause, reset, stop and restart, over and over: threads and memory return to where they were."""

from __future__ import annotations

import gc
import random
import threading
import time
import weakref

import pytest

from studio.core.optim import messages as m
from studio.core.optim.fit import Fit, FitProblem
from studio.core.optim.worker import Worker
from tests.soak.memory import in_use_mb
from tests.unit.optim_scenes import coloured_ball, photograph
from tests.unit.test_optim_fit import tiny
from tests.unit.test_optim_worker import wait_for

RESTING = ("idle", "paused", "done", "stopped", "failed")


def play(worker: Worker, problem: FitProblem, cycles: int, pick: random.Random) -> None:
    """What an impatient person does to a fit."""
    for _ in range(cycles):
        worker.start(problem, tiny(steps=6, resolution=32, holdout=0), "cpu")
        for _ in range(pick.randint(0, 4)):
            worker.post(pick.choice([m.Pause(), m.Resume(), m.Step(), m.Reset(), m.Stop(), m.SetSteps(9)]))
            time.sleep(pick.random() * 0.02)
        if pick.random() < 0.5:
            wait_for(worker, *RESTING, "running")
        worker.slot.take()
    worker.post(m.Pause())
    wait_for(worker, *RESTING)


def soak(cycles: int, allowed_mb: float) -> None:
    fits: list[weakref.ref] = []

    def make(*arguments):
        fit = Fit(*arguments)
        fits.append(weakref.ref(fit))
        return fit

    problem = FitProblem(photograph(coloured_ball(), count=6, size=32))
    worker = Worker(make_fit=make)
    play(worker, problem, 5, random.Random(0))  # caches and pools fill up
    threads, before = threading.active_count(), in_use_mb()
    play(worker, problem, cycles, random.Random(1))
    assert worker.status.phase != "failed", worker.status.note
    assert threading.active_count() == threads
    worker.close()
    gc.collect()
    assert sum(ref() is not None for ref in fits) == 0
    assert in_use_mb() - before < allowed_mb


@pytest.mark.timeout(120)
def test_a_short_soak():
    # The allocator keeps some; a leak of one fit per cycle would be 2 MB each.
    soak(cycles=15, allowed_mb=25)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_long_soak():
    soak(cycles=400, allowed_mb=60)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_long_fit_keeps_its_memory():
    photos = photograph(coloured_ball(), count=8, size=64)
    fit = Fit(FitProblem(photos), tiny(steps=4000, resolution=64, shading="pbr", holdout=0), "cpu")
    fit.prepare()
    for _ in range(2500):  # past the last change of stage
        fit.step()
    before = in_use_mb()
    while fit.steps_done < fit.steps:
        fit.step()
    assert in_use_mb() - before < 15
