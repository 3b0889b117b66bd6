"""Fits load no kernels but those that were compiled ahead: else the first steps would stand still."""

from __future__ import annotations

from typing import Any

import pytest

from studio.core.kernels import launcher
from studio.core.optim.fit import Fit, FitProblem
from studio.core.optim.radiance_live import KINDS
from studio.core.optim.settings import FitSettings
from studio.core.scene.shapes import icosphere
from tests.unit.optim_scenes import coloured_ball, photograph

TINY = {"steps": 12, "resolution": 32, "stages": 1, "views_per_step": 2, "hull_resolution": 16}
TEXTURED = {"material": "textures", "texture_steps": 9, "texture_size": 32, "warm_up": 2}


@pytest.fixture(scope="module")
def photos():
    return photograph(coloured_ball(), 4, 32)


@pytest.fixture
def late(monkeypatch) -> list[str]:
    """Names of modules that are loaded, or compiled in another way, after the first preload."""
    found: list[str] = []
    ahead: set[int] = set()
    load, preload = launcher.load, launcher.preload

    def noted(module: Any, device: Any) -> None:
        if ahead and id(module) not in ahead:
            found.append(module.name)
        load(module, device)

    def first(modules: Any, progress: Any = None, device: Any = None) -> None:
        modules = list(modules)
        if not ahead:
            ahead.update(id(module) for module in modules)
        preload(modules, progress, device)

    monkeypatch.setattr(launcher, "load", noted)
    monkeypatch.setattr(launcher, "preload", first)
    # What other tests have loaded would not be asked for again.
    monkeypatch.setattr(launcher, "_loaded", {})
    monkeypatch.setattr(launcher, "_entries", {})
    return found


def done(photos: Any, **settings: Any) -> Fit:
    fit = Fit(FitProblem(photos, icosphere(2, 0.5)), FitSettings(TINY | settings), "cpu")
    fit.prepare()
    while fit.steps_done < fit.steps:
        fit.step()
    fit.snapshot(live=True)
    fit.evaluate(fit.training[:1])
    return fit


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"start": "hull"},
        {"start": "mesh", "shading": "unlit"},
        {"start": "mesh", **TEXTURED},
        {"start": "mesh", **TEXTURED, "shading": "unlit"},
        *({"start": "mesh", **TEXTURED, "rasterizer": name} for name in ("softras", "nmr")),
        *(
            {"start": "mesh", **TEXTURED, "rasterizer": name, "shading": "unlit"}
            for name in ("softras", "nmr")
        ),
        {"start": "mesh", "rasterizer": "nmr"},
        {"start": "mesh", "rasterizer": "softras", "shading": "unlit"},
        {"start": "mesh", "rasterizer": "nmr", "shading": "unlit"},
    ],
    ids=lambda settings: " ".join(str(value) for value in settings.values()) or "standard",
)
def test_fits_of_meshes_load_what_was_compiled_ahead(photos, late, settings) -> None:
    done(photos, **settings)
    assert " ".join(sorted(set(late))) == ""


@pytest.mark.parametrize("kind", ["volume", "sdf", "points"])
def test_fits_of_radiance_load_what_was_compiled_ahead(photos, late, kind) -> None:
    small = {"volume_resolution": 20, "sdf_resolution": 20, "volume_rays": 256, "points_count": 200}
    small |= {f"{kind}_steps": 12, "representation": kind}
    fit = KINDS[kind].make(photos, FitSettings(TINY | small), "cpu", None, None)
    fit.prepare()
    while fit.steps_done < fit.steps:
        fit.step()
    fit.render(fit.training[0].camera)
    assert " ".join(sorted(set(late))) == ""


def test_a_cpu_has_one_form_of_each_module(photos, late) -> None:
    """Warp compiles a module again for another size of blocks."""
    done(photos, start="mesh", rasterizer="softras")
    for executable in launcher._loaded.values():
        assert executable is not None
    from studio.core.kernels import softras

    assert list(softras.kernels(11).module.execs) == [(None, 1)]


def test_a_module_that_comes_late_is_noticed(photos, late, monkeypatch) -> None:
    monkeypatch.setattr("studio.core.optim.fit.needed_modules", lambda name: [launcher.copying.copy.module])
    done(photos, start="mesh")
    assert any("at_once" in name or "rasterize" in name for name in late)
