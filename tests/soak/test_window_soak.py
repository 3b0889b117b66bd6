"""Whatever a hasty hand does to a run, the window neither crashes, hangs nor keeps anything."""

from __future__ import annotations

import gc
import random
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from studio.core.optim.fit import Fit, FitProblem
from tests.needs import need
from tests.soak.memory import in_use_mb
from tests.ui.driving import drive, make_app, small_settings, sphere_photos, wait_ready

ACTS: tuple[tuple[Any, ...], ...] = (
    *(("toggle_run",), ("toggle_run",), ("step",), ("stop",), ("reset",), ("undo",), ("redo",)),
    *(
        ("open_scene", "balls"),
        ("open_scene", "demo"),
        ("mode", "wipe"),
        ("step_photo", 1),
        ("go_to_step", 3),
    ),
)
WATCHED = ("App", "AppState", "Worker", "Fit", "Viewport", "Snapshot")
GROWTH_MB = 40.0
"""What a heap may swing by between two windows; a kept document with its photos is more."""


@pytest.fixture(scope="module", autouse=True)
def kernels() -> None:
    """Compile kernels before the window opens: the engine ends a test after 60 seconds."""
    need("display")
    fit = Fit(FitProblem(sphere_photos()), small_settings(2), "cpu")
    fit.prepare()
    fit.step()


def sequences(generator: random.Random, count: int) -> Iterator[tuple[list[tuple[Any, ...]], int]]:
    """Random (acts that follow a start, frames between them)."""
    for _ in range(count):
        yield generator.choices(ACTS, k=generator.randrange(1, 5)), generator.randrange(0, 3)


def one_window(generator: random.Random, count: int) -> None:
    """A window that sees `count` sequences and is closed in the middle of the last."""
    app = make_app()
    state = app.state

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        for acts, frames in sequences(generator, count):
            state.act("toggle_run")
            for act in acts:
                if frames:
                    ctx.yield_(frames)
                state.act(*act)
            ctx.yield_()
            assert state.run.status.phase != "failed", f"{acts}: {state.run.status.note}"
            assert not [n.text for n in state.notices if n.level == "fail"], f"{acts}"

    drive(app, script)


def census() -> Counter[str]:
    """How many objects of the classes that a window makes are alive."""
    gc.collect()
    mine = (type(thing) for thing in gc.get_objects())
    return Counter(
        kind.__name__ for kind in mine if kind.__name__ in WATCHED and kind.__module__[:7] == "studio."
    )


def survive(windows: int, each: int, seed: int) -> None:
    """Open and close so many windows; nothing may be left of any of them."""
    generator = random.Random(seed)
    one_window(generator, each)  # caches fill
    alive, before = census(), in_use_mb()
    for _ in range(windows):
        one_window(generator, each)
    left = [t.name for t in threading.enumerate() if t.name.startswith("studio-")]
    assert not [name for name in left if "kernel" not in name], left
    assert census() == alive
    assert in_use_mb() - before < GROWTH_MB


def test_a_hasty_hand() -> None:
    survive(windows=2, each=5, seed=3)


@pytest.mark.slow
def test_five_hundred_sequences() -> None:
    survive(windows=25, each=20, seed=11)
