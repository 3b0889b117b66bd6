"""Metrics on images whose numbers are known."""

from __future__ import annotations

import numpy as np
import pytest

from studio.core.optim import metrics


def test_psnr_of_a_known_error():
    photo = np.full((8, 8, 3), 0.5, np.float32)
    assert metrics.psnr(photo + 0.1, photo) == pytest.approx(20.0, abs=1e-4)


def test_psnr_counts_the_mask_alone():
    photo = np.zeros((8, 8, 3), np.float32)
    render = photo.copy()
    render[:4] = 1.0  # wrong where the mask is not
    mask = np.zeros((8, 8))
    mask[4:] = 1
    assert metrics.psnr(render, photo, mask) == metrics.MAX_PSNR
    assert metrics.psnr(render, photo) == pytest.approx(10 * np.log10(2))
    assert np.isnan(metrics.psnr(render, photo, np.zeros((8, 8))))


def test_psnr_is_of_srgb_values():
    """The evaluation encodes before it compares: linear 0.25 against 0.5 is 0.537 against 0.735."""
    from studio.core.color import display

    a, b = display(np.full((4, 4, 3), 0.25)), display(np.full((4, 4, 3), 0.5))
    assert metrics.psnr(a, b) == pytest.approx(-20 * np.log10(0.7354 - 0.5371), abs=0.02)


def test_leveled_psnr_forgives_exposure_and_nothing_else():
    rng = np.random.default_rng(2)
    from studio.core.color import display

    light = rng.random((24, 24, 3)) * 0.4
    photo, darker = display(light), display(0.6 * light)
    assert metrics.psnr(darker, photo) < 25
    assert metrics.psnr_leveled(darker, photo) > 90
    # No gain is learnt from the pixels that it is judged by: halves that need different ones stay wrong.
    uneven = light * np.where(np.arange(24) < 12, 0.6, 1.0)[None, :, None]
    assert metrics.psnr_leveled(display(uneven), photo) < metrics.psnr(display(uneven), photo)
    mask = np.zeros((24, 24))
    assert np.isnan(metrics.psnr_leveled(darker, photo, mask))
    mask[4:20, 3:9] = 1
    darker[mask == 0] = 0.9  # what lies beyond the object takes no part
    assert metrics.psnr_leveled(darker, photo, mask) > 90


def test_ssim_of_equal_and_of_noise():
    rng = np.random.default_rng(0)
    photo = rng.random((32, 32, 3)).astype(np.float32)
    assert metrics.ssim(photo, photo) == pytest.approx(1.0)
    assert metrics.ssim(rng.random((32, 32, 3)), photo) < 0.2


def test_ssim_ignores_what_lies_behind():
    rng = np.random.default_rng(1)
    photo = rng.random((32, 32, 3)).astype(np.float32)
    mask = np.zeros((32, 32))
    mask[8:24, 8:24] = 1
    other = np.where(mask[..., None] > 0, photo, rng.random((32, 32, 3)))
    assert metrics.ssim(other, photo, mask) == pytest.approx(1.0)


def test_small_images_have_no_ssim():
    tiny = np.zeros((2, 2, 3), np.float32)
    assert np.isnan(metrics.ssim(tiny, tiny))


def test_iou():
    a, b = np.zeros((4, 4)), np.zeros((4, 4))
    assert metrics.iou(a, b) == 1.0
    a[:, :2] = 1
    b[:, 1:3] = 0.9
    assert metrics.iou(a, b) == pytest.approx(4 / 12)
    assert metrics.soft_iou(a, (b > 0).astype(float)) == pytest.approx(4 / 12)


def test_mean_leaves_out_what_is_unknown():
    views = [metrics.ViewMetrics("a", 20.0, 0.5, float("nan"), 0.1)]
    views.append(metrics.ViewMetrics("b", 30.0, 0.7, 0.9, 0.1))
    assert metrics.mean_of(views, "psnr") == 25.0
    assert metrics.mean_of(views, "iou") == 0.9
    assert metrics.mean_of(views[:1], "iou") is None


def test_peak_memory_grows_with_use():
    before = metrics.peak_memory_mb()
    block = np.ones(40_000_000)  # 305 MiB, touched
    assert metrics.peak_memory_mb() >= max(before, block.nbytes / 2**20)
