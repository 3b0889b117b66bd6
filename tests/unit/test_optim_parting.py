"""How light and materials part: what textures share, and for how long."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from studio.core.optim.bake import spread_of_hues
from studio.core.optim.fit import Fit, FitProblem
from studio.core.optim.material_stage import attune, pace, trade
from studio.core.optim.materials import TextureMaterial
from studio.core.optim.settings import FitSettings
from tests.unit.optim_scenes import coloured_ball, photograph

SMALL = {
    "steps": 40,
    "texture_steps": 30,
    "texture_size": 64,
    "warm_up": 5,
    "gloss_from": 12,
    "resolution": 32,
    "stages": 1,
    "hull_resolution": 16,
    "edge_coarse": 0.2,
    "edge_fine": 0.2,
    "views_per_step": 2,
    "light_model": "environment",
    "light_fixed_to": "world",
}


def textures(fit: Fit) -> TextureMaterial:
    material = fit.variables.material
    assert isinstance(material, TextureMaterial)
    return material


def at(step: int, **changes: object) -> Fit:
    """A fit after so many steps of its textures."""
    fit = Fit(FitProblem(photograph(coloured_ball(), count=8, size=32)), FitSettings(SMALL | changes), "cpu")
    fit.prepare()
    while fit.steps_done < 10 + step:
        fit.step()
    return fit


@pytest.fixture(scope="module")
def fit() -> Iterator[Fit]:
    return at(6)


def spread(values: torch.Tensor) -> float:
    return float((values.detach() - values.detach()[:, :1, :1]).abs().max())


def test_roughness_is_one_value_for_longer_than_colours(fit: Fit) -> None:
    material = textures(fit)
    assert spread(material.shade) > 0.01
    assert spread(material.roughness) < 1e-6
    later = textures(at(14))
    assert spread(later.roughness) > 1e-3


def test_roughness_begins_anew_and_waits_for_light(fit: Fit) -> None:
    v = fit.variables
    assert float(textures(fit).roughness.detach().mean()) == pytest.approx(0.3, abs=1e-6)
    assert [pace(fit.settings, "roughness", v, 10 + step) > 0 for step in (0, 5, 7, 8)] == [0, 0, 0, 1]
    known = FitSettings(SMALL | {"light_enabled": False})
    assert pace(known, "roughness", v, 10) > 0


def test_colours_are_smoothest_at_first(fit: Fit) -> None:
    material = textures(fit)
    seen = []
    for step in (10, 22, 34, 40):
        attune(fit.variables, fit.settings, step)
        seen.append(material.evenness)
    assert seen[0] == pytest.approx(10)
    assert seen[1] == pytest.approx(math.sqrt(10))
    assert seen[2:] == [1, 1]


def test_darker_colours_are_not_smoother(fit: Fit) -> None:
    material = textures(fit)
    before = float(material.terms(fit._terms)["texture_smoothness"]().detach())
    darker = material.clone()
    with torch.no_grad():
        darker.shade.mul_(0.4)
    assert float(darker.terms(fit._terms)["texture_smoothness"]().detach()) == pytest.approx(before, rel=1e-4)


@pytest.mark.parametrize(("sign", "brighter"), [(1.0, False), (-1.0, True)])
def test_light_and_colour_trade_their_factor(fit: Fit, sign: float, brighter: bool) -> None:
    """Against the gradient, and what a matt surface shows stays as it is."""
    variables, material = fit.variables.clone(), textures(fit)
    material = variables.material
    assert isinstance(material, TextureMaterial)
    material.traded = (0.0, 0.0, 0)
    sky, shade = variables.sky, material.shade
    assert sky is not None
    before = float(sky.detach().mean()), float(shade.detach().square().mean())
    sky.grad, shade.grad = torch.full_like(sky, sign), torch.zeros_like(shade)
    trade(variables, fit.settings, 16)
    change = float(sky.detach().mean()) - before[0]
    assert (change > 0) == brighter
    assert abs(change) > 0.01
    assert float(shade.detach().square().mean()) == pytest.approx(before[1] * math.exp(-change), rel=1e-3)


def test_what_both_explain_is_not_traded(fit: Fit) -> None:
    """A picture that is too bright pulls at light and colour alike, so at their factor not at all."""
    variables = fit.variables.clone()
    material, sky = variables.material, variables.sky
    assert isinstance(material, TextureMaterial)
    assert sky is not None
    material.traded = (0.0, 0.0, 0)
    before = sky.detach().clone()
    material.shade.grad = torch.ones_like(material.shade)
    pull = 0.5 * float(material.shade.detach().sum())
    sky.grad = torch.full_like(sky, pull / sky.numel())
    trade(variables, fit.settings, 16)
    slope = material.traded[0] / 0.1
    assert abs(slope) < 1e-3 * pull
    material.traded = (0.0, 0.0, 0)
    material.shade.grad = None
    trade(variables, fit.settings, 16)
    assert material.traded[2] == 0, "colours that stand still trade nothing"
    assert before.shape == sky.shape


def test_occlusion_of_the_light_stays_out_of_files(fit: Fit) -> None:
    material = textures(fit)
    assert material.ambient is not None
    orm = torch.from_numpy(material.pictures(False)["orm_texture"][..., 0])
    inside = material.atlas.covered[0, ..., 0]
    assert torch.allclose(orm[inside], material.ambient[0, ..., 0][inside])
    plain = textures(at(1, directed_occlusion=False))
    assert plain.ambient is None
    turning = textures(at(1, light_fixed_to="camera"))
    assert turning.ambient is None


def test_a_simplified_mesh_of_many_paints_has_the_fine_ones_normals() -> None:
    """Without marks that say where they belong, details are noise."""
    plain, fit = at(0, texture_faces=120), at(0, texture_faces=120)
    plain._enter_stage()
    assert len(plain.variables.faces) < 200
    assert textures(plain).rest is None
    fit.settings.set("start", "volume")
    fit.settings.set("warm_up", 0)
    fit._enter_stage()
    material = textures(fit)
    assert len(fit.variables.faces) <= 120
    assert material.rest is not None
    assert float(material.rest.abs().max()) > 0.02
    assert torch.equal(material.tilt.detach(), material.rest)
    terms = material.terms(fit.variables.surface_terms(fit.variables.box_vertices()))
    assert float(terms["flat_normals"]().detach()) == 0, "the finer surface's normals are where they belong"
    assert textures(at(1)).rest is None, "few triangles stay as they are"


def test_a_volumes_surface_of_many_paints_keeps_them() -> None:
    """Its textures begin as its vertices were, and move slowly; others begin with one paint."""
    fit = at(0, texture_faces=120)
    fit.settings.set("start", "volume")
    fit.settings.set("warm_up", 0)
    fit._enter_stage()
    assert spread(textures(fit).shade) > 0.1
    for group in ("albedo", "vertices"):
        own = pace(fit.settings, group, fit.variables, fit.steps_done)
        fit.settings.set("start", "hull")
        usual = pace(fit.settings, group, fit.variables, fit.steps_done)
        fit.settings.set("start", "volume")
        assert own < usual if group == "albedo" else own > usual


def test_hues_tell_paints_from_shading() -> None:
    shading = np.linspace(0.1, 1, 50, dtype=np.float32)[:, None]
    plaster = shading * np.array([[0.8, 0.7, 0.6]], np.float32)
    assert spread_of_hues(plaster) < 1e-3
    bricks = np.concatenate([plaster, shading * np.array([[0.9, 0.7, 0.05]], np.float32)])
    assert spread_of_hues(bricks) > 0.1
