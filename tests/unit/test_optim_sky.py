"""The environment map of a fit: its slopes, what it shows elsewhere, and that photos tell it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from studio.core.io.images import load_environment
from studio.core.io.radiance import encode
from studio.core.ops.prefilter import prefilter
from studio.core.optim import sky
from studio.core.optim.fit import Fit, FitProblem
from studio.core.optim.regularizers import light_white
from studio.core.optim.settings import FitSettings
from studio.core.scene.environment import (
    OCTAHEDRAL_SIZE,
    equirect_directions,
    octahedral_directions,
    project_sh,
    to_octahedral,
)
from studio.core.scene.light import ambient_sh
from tests.unit.optim_scenes import coloured_ball, photograph


def uneven() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(*sky.SIZE, 3, dtype=torch.float64, generator=generator)


def test_harmonics_become_the_map() -> None:
    sh = ambient_sh((0.5, 0.7, 0.9))
    sh[2] = 0.3
    sh[7] = -0.1
    image = sky.picture(sky.from_harmonics(torch.tensor(sh)))
    np.testing.assert_allclose(project_sh(image)[:9], sh[:9], atol=0.02)


def test_scene_and_fit_see_the_same_map() -> None:
    own = (0.5 * uneven()).float()
    shown = to_octahedral(sky.picture(own))
    seen = sky.levels(own)[: OCTAHEDRAL_SIZE**2].view(OCTAHEDRAL_SIZE, OCTAHEDRAL_SIZE, 3).numpy()
    assert np.abs(shown - seen).mean() < 0.05 * seen.mean()


def test_levels_are_those_of_the_octahedral_map() -> None:
    own = (0.5 * uneven()).float().requires_grad_()
    directions = torch.tensor(octahedral_directions(OCTAHEDRAL_SIZE), dtype=torch.float32)
    expected = prefilter(sky.radiance(own, directions))
    found = sky.levels(own)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    weight = torch.randn(found.shape, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((found * weight).sum(), own)
    way = torch.randn(own.shape, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        ends = [float((sky.levels(own + h * way).double() * weight).sum()) for h in (1e-3, -1e-3)]
    assert float((gradient * way).sum()) == pytest.approx((ends[0] - ends[1]) / 2e-3, rel=1e-3)


def test_a_turned_picture_is_turned() -> None:
    own = (0.5 * uneven()).float()
    turn = np.array(((0.0, 0, 1), (0, 1, 0), (-1, 0, 0)))  # +Z goes to +X: a quarter of the columns
    plain, turned = sky.picture(own), sky.picture(own, turn)
    np.testing.assert_allclose(np.roll(plain, -plain.shape[1] // 4, axis=1), turned, atol=1e-4)


@pytest.mark.parametrize(
    ("term", "kind", "step"),
    [(sky.white, torch.float64, 1e-6), (sky.curvature, torch.float32, 1.0)],  # curvature is quadratic
    ids=["white", "curvature"],
)
def test_terms(term, kind, step) -> None:
    own = uneven().to(kind).requires_grad_()
    grey = own.detach().mean(dim=2, keepdim=True).expand(-1, -1, 3)
    assert float(sky.white(grey)) == pytest.approx(0, abs=1e-10)
    assert float(sky.curvature(torch.ones(*sky.SIZE, 3))) == 0
    (gradient,) = torch.autograd.grad(term(own), own)
    for place in ((3, 5, 0), (0, 0, 1), (15, 31, 2)):
        ends = []
        for way in (-step, step):
            moved = own.detach().clone()
            moved[place] += way
            ends.append(float(term(moved)))
        slope = (ends[1] - ends[0]) / (2 * step)
        assert float(gradient[place]) == pytest.approx(slope, rel=1e-3, abs=2e-6)


def test_curvature_is_that_of_neighbours() -> None:
    """Around and up, over the poles to the other side; by its definition, texel by texel."""
    own = uneven().float()
    height, width = own.shape[:2]
    rows = np.diff(np.sin(np.linspace(-0.5, 0.5, height + 1) * np.pi)) / (4 * height)

    def at(i: int, j: int) -> torch.Tensor:
        if not 0 <= i < height:
            i, j = min(max(i, 0), height - 1), j + width // 2
        return own[i, j % width].double()

    total = sum(
        rows[i] * float((2 * at(i, j) - at(i + a, j + b) - at(i - a, j - b)).square().sum()) / 3
        for i in range(height)
        for j in range(width)
        for a, b in ((0, 1), (1, 0))
    )
    assert float(sky.curvature(own)) == pytest.approx(total, rel=1e-5)


def test_slopes_cost_little_and_edges_much() -> None:
    """Whichever way the sky brightens, over the poles as well."""
    directions = torch.tensor(equirect_directions(*sky.SIZE), dtype=torch.float64)
    for axis in range(3):
        slope = directions[..., axis, None].expand(-1, -1, 3).float()
        assert float(sky.curvature(slope)) < 0.01 * float(sky.curvature(torch.sign(slope)))


def test_only_the_mean_tint_counts() -> None:
    """A reddish window across from a bluish one is no tint."""
    radiance = torch.ones(*sky.SIZE, 3, dtype=torch.float64)
    half = sky.SIZE[1] // 2
    radiance[:, :half, 0], radiance[:, half:, 0] = 1.5, 0.5
    assert float(sky.white(radiance.log())) == pytest.approx(0, abs=1e-12)
    radiance[..., 0] = 1.5
    assert float(sky.white(radiance.log())) > 0.1


def test_grey_light_costs_nothing() -> None:
    assert float(light_white(torch.tensor(ambient_sh((0.5, 0.5, 0.5))))) == 0


def test_radiance_files_come_back(tmp_path) -> None:
    image = np.random.default_rng(0).lognormal(0, 3, (16, 32, 3)).astype(np.float32)
    image[0, 0] = 0
    (tmp_path / "a.hdr").write_bytes(encode(image[::-1]))
    again = load_environment(tmp_path / "a.hdr")
    assert (np.abs(again - image).max(axis=2) <= image.max(axis=2) / 128).all()


def test_a_fit_leaves_its_map(tmp_path) -> None:
    from studio.core.optim.fitrun import run_fit

    photos = photograph(coloured_ball(), count=8, size=48)
    small = {
        **{"steps": 12, "texture_steps": 6, "texture_size": 64, "resolution": 48, "stages": 1},
        **{"hull_resolution": 16, "edge_fine": 0.2, "light_model": "environment"},
    }
    run_fit(photos, FitSettings(small), tmp_path, device="cpu")
    image = load_environment(tmp_path / "environment.hdr")
    assert image.shape == (128, 256, 3)
    assert image.min() > 0


def test_a_map_moves_from_the_start_where_there_are_no_textures() -> None:
    photos = photograph(coloured_ball(), count=8, size=48)
    small = {"steps": 3, "resolution": 48, "stages": 1, "hull_resolution": 16, "edge_fine": 0.2}
    fit = Fit(FitProblem(photos), FitSettings(small | {"light_model": "environment"}), "cpu")
    fit.prepare()
    before = fit.variables.sky.detach().clone()
    fit.step()
    assert not torch.equal(fit.variables.sky, before)
    scene = fit.result()
    assert scene.lighting.environment is not None
    assert "environment" in scene.effects
