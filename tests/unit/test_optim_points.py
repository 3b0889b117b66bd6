"""Fits of Gaussians: they converge, stay within their number, repeat, and leave their files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from studio.core.errors import Cancelled, InputError
from studio.core.io.splats import load_points
from studio.core.optim.emitted import look_of
from studio.core.optim.evaluate import evaluate_look
from studio.core.optim.points_fit import PointsFit, _turned, _turns_to
from studio.core.optim.radiance_run import run_radiance
from studio.core.optim.settings import FitSettings
from studio.core.scene import PhotoSet
from tests.unit.optim_scenes import coloured_ball, photograph


@pytest.fixture(scope="module")
def photos() -> PhotoSet:
    return photograph(coloured_ball(), 10, 48)


def small(**values: object) -> FitSettings:
    settings = FitSettings()
    given = {
        **{"representation": "points", "resolution": 48, "holdout": 5, "hull_resolution": 32},
        **{"points_count": 1500, "points_steps": 150, "views_per_step": 2, "points_degree": 0},
    }
    for name, value in {**given, **values}.items():
        settings.set(name, value)
    return settings


def fitted(photos: PhotoSet, settings: FitSettings) -> PointsFit:
    fit = PointsFit(photos, settings, "cpu")
    fit.prepare()
    while fit.steps_done < fit.steps:
        fit.step()
    return fit


def test_points_become_what_the_photos_show(photos: PhotoSet) -> None:
    start = PointsFit(photos, small(), "cpu")
    start.prepare()
    before = evaluate_look(start.render, start.holdout, 48)
    fit = fitted(photos, small())
    after = evaluate_look(fit.render, fit.holdout, 48)
    assert after.mean("psnr") > before.mean("psnr") + 6
    assert after.mean("iou") > 0.95
    assert fit.psnr() > 24
    assert 750 < len(fit.result()) <= 1500
    camera = fit.holdout[0].camera
    np.testing.assert_allclose(look_of(fit.result())(camera), fit.render(camera), atol=1e-6)


def test_a_fit_repeats_bit_for_bit(photos: PhotoSet) -> None:
    first, second = (fitted(photos, small(points_steps=40)).result() for _ in range(2))
    for name in ("centers", "log_sizes", "turns", "opacity_logits", "colors"):
        assert np.array_equal(getattr(first, name), getattr(second, name)), name


def test_growing_keeps_what_is_there(photos: PhotoSet) -> None:
    fit = PointsFit(photos, small(), "cpu")
    fit.prepare()
    for _ in range(5):
        fit.step()
    with torch.no_grad():
        fit.values["opacity_logits"][:100] = -9.0
    before = fit.render(photos.photos[0].camera)
    centers = fit.values["centers"].detach().clone()
    moments = fit._adam.state[fit.values["centers"]]["exp_avg"].clone()
    fit._grow(3)
    after = fit.values["centers"].detach()
    assert len(after) == round(1500 * (0.5 + 0.5 * 3 / 12))
    stayed = (after[: len(centers) - 100] == centers[100:]).all(dim=1)
    assert 0.5 < stayed.float().mean() < 1  # the others were split
    kept = fit._adam.state[fit.values["centers"]]["exp_avg"][: len(centers) - 100]
    assert torch.equal(kept, moments[100:])
    assert np.abs(fit.render(photos.photos[0].camera) - before).mean() < 0.03
    fit.step()


def test_errors_and_cancel(photos: PhotoSet) -> None:
    with pytest.raises(Cancelled):
        PointsFit(photos, small(), "cpu", cancel=lambda: True).prepare()
    bare = replace(photos, photos=[replace(photo, mask=None) for photo in photos.photos])
    with pytest.raises(InputError, match="no mask"):
        PointsFit(bare, small(), "cpu").prepare()


def test_a_run_leaves_its_files(photos: PhotoSet, tmp_path: Path) -> None:
    run_radiance(photos, small(points_steps=20), tmp_path, "cpu")
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["points"] == len(load_points(tmp_path / "points.ply"))
    assert metrics["psnr_holdout"] > 10
    for name in ("report.html", "sheet.png", "turntable.gif", "log.jsonl", "loss.png"):
        assert (tmp_path / name).stat().st_size > 40, name


def test_turns_turn() -> None:
    generator = torch.Generator().manual_seed(0)
    normal = torch.nn.functional.normalize(torch.randn(50, 3, generator=generator), dim=1)
    normal[0] = torch.tensor([0.0, 0.0, -1.0])
    turns = torch.tensor(_turns_to(normal.double().numpy()), dtype=torch.float32)
    up = torch.tensor([0.0, 0.0, 1.0]).expand(50, 3)
    torch.testing.assert_close(_turned(turns, up), normal, atol=1e-5, rtol=0)
    torch.testing.assert_close(_turned(turns, normal).norm(dim=1), torch.ones(50))
