"""FLIP against the authors' own program, and what it must do."""

from __future__ import annotations

import numpy as np
import pytest

from studio.core.optim.flip import flip
from studio.core.optim.metrics import pair_metrics, psnr, ssim


def _waves() -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[0:70, 0:90] / 80.0
    plain = np.stack([x / 1.2, y / 1.2, 0.5 + 0.4 * np.sin(8 * x)], axis=-1)
    return plain, np.clip(plain + 0.1 * np.sin(20 * y)[..., None], 0, 1)


def test_the_mean_is_that_of_the_published_program() -> None:
    """0.31142 and 0.96739: flip-evaluator 1.7, pictures of low dynamic range, 67 pixels per degree."""
    assert flip(*_waves()).mean() == pytest.approx(0.31142, abs=3e-4)
    black, white = np.zeros((9, 9, 3)), np.ones((9, 9, 3))
    assert flip(black, white).mean() == pytest.approx(0.96739, abs=5e-5)


def test_equal_pictures_do_not_differ_and_order_does_not_matter() -> None:
    a, b = _waves()
    assert flip(a, a).max() == 0.0
    np.testing.assert_allclose(flip(a, b), flip(b, a), atol=1e-6)
    assert flip(a, b).max() <= 1.0


def test_far_away_fine_noise_is_forgiven() -> None:
    noise = np.random.default_rng(3).normal(0.5, 0.1, (60, 60, 1)).clip(0, 1) * np.ones(3)
    flat = np.full_like(noise, 0.5)
    near, far = (flip(noise, flat, pixels_per_degree=p).mean() for p in (30.0, 120.0))
    assert far < 0.6 * near


def test_a_difference_is_seen_where_it_is() -> None:
    a = np.full((60, 60, 3), 0.4)
    b = a.copy()
    b[20:30, 20:30] = (0.9, 0.2, 0.2)
    found = flip(a, b)
    assert found[22:28, 22:28].min() > 0.3
    assert found[45:, 45:].max() < 1e-6


def test_numbers_of_a_pair_are_those_of_the_parts_and_know_the_mask() -> None:
    a, b = _waves()
    whole = pair_metrics(a, b)
    assert whole.psnr == pytest.approx(psnr(a, b))
    assert whole.ssim == pytest.approx(ssim(a, b), abs=1e-6)
    assert whole.flip == pytest.approx(float(flip(a, b).mean()), abs=1e-6)
    mask = np.zeros(a.shape[:2], np.float32)
    mask[20:40, 30:60] = 1
    part = pair_metrics(a, b, mask)
    assert part.psnr == pytest.approx(psnr(a, b, mask))
    assert part.ssim == pytest.approx(ssim(a, b, mask), abs=1e-6)
    inside = mask > 0.5
    black = flip(a * inside[..., None], b * inside[..., None])
    assert part.flip == pytest.approx(float(black[inside].mean()), abs=1e-4)
    assert part.flip_map.shape == mask.shape
    assert (part.flip_map[~inside] == 0).all()
    assert np.isnan(pair_metrics(a, b, np.zeros_like(mask)).psnr)
