"""The rasterizer is chosen in the optimizer's panel, before a fit and while it runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from studio.core.optim.fit import Fit, FitProblem
from tests.needs import need
from tests.ui.driving import drive, make_app, small_settings, sphere_photos, wait, wait_ready


@pytest.fixture(scope="module", autouse=True)
def kernels() -> None:
    """Compile kernels before the window opens: the engine ends a test after 60 seconds."""
    need("display")
    for name in ("softras", "nmr"):
        settings = small_settings(2)
        settings.set("rasterizer", name)
        fit = Fit(FitProblem(sphere_photos()), settings, "cpu")
        fit.prepare()
        fit.step()


def test_softras_from_the_panel_converges_and_changes_to_nmr() -> None:
    app = make_app()
    state = app.state

    def choose(ctx: Any, title: str, name: str) -> None:
        ctx.item_click("//Optimize/##rasterizer")
        ctx.item_click(f"//$FOCUSED/{title}")
        wait(ctx, lambda: state.document.settings["rasterizer"] == name, f"{title} is chosen")

    def script(ctx: Any) -> None:
        wait_ready(ctx, app)
        assert not ctx.item_exists("//Optimize/##softras_sigma"), "only SoftRas has a sigma"
        choose(ctx, "SoftRas", "softras")
        ctx.yield_(2)
        ctx.item_input_value("//Optimize/##softras_sigma", 1e-4)
        wait(ctx, lambda: state.document.settings["softras_sigma"] == pytest.approx(1e-4), "sigma is set")
        ctx.item_click("//Optimize/###start")
        wait(ctx, lambda: len(state.run.history) > 40, "40 steps with SoftRas")
        fit = app.state.run
        totals = [row.losses["total"] for row in fit.history]
        # A ball of 0.75 that should be 0.45: most of the loss goes within 40 steps.
        assert np.mean(totals[-4:]) < 0.6 * np.mean(totals[:3])
        running = app.control.run.worker._fit
        assert running is not None
        assert running._renderer.rasterizer.name == "softras"
        choose(ctx, "NMR", "nmr")
        wait(ctx, lambda: running._renderer.rasterizer.name == "nmr", "the running fit uses NMR")
        steps = len(state.run.history)
        wait(ctx, lambda: len(state.run.history) > steps + 3, "steps with NMR")
        assert state.run.status.phase == "running", state.run.status.note

    drive(app, script)
