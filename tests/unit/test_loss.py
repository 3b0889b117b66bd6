"""The photo loss against a plain torch version, and SSIM against scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from studio.core.color import linear_to_srgb, mse_to_psnr, psnr, srgb_to_linear
from studio.core.errors import InputError, ShapeError
from studio.core.ops.image_loss import image_loss
from studio.core.ops.ssim import ssim, ssim_map

N, H, W = 3, 7, 9


def images(seed: int = 0) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return {
        "rgba": torch.rand(N, H, W, 4, generator=g) * 1.4 - 0.05,  # a little over and under
        "target": torch.rand(N, H, W, 3, generator=g),
        # Empty, full and half-covered pixels take different paths.
        "mask": ((torch.rand(N, H, W, generator=g) - 0.2) / 0.6).clamp(0, 1),
        "weight": (torch.rand(N, H, W, generator=g) * 2 - 0.5).clamp(0, 1),
        "exposure": torch.randn(N, 3, generator=g) * 0.3,
        "background": torch.rand(N, H, W, 3, generator=g),
    }


def plain(i: dict[str, Tensor], kind: str) -> tuple[Tensor, Tensor, Tensor]:
    """(colour, mask, per-view error) written the slow way."""
    color, alpha, mask = i["rgba"][..., :3], i["rgba"][..., 3:], i["mask"][..., None]
    behind = (1 - alpha) * i["background"]
    seen = linear_to_srgb(2 ** i["exposure"][:, None, None] * (color - behind) + behind)
    wanted = linear_to_srgb(mask * srgb_to_linear(i["target"]) + (1 - mask) * i["background"])
    error = seen - wanted
    penalty = {
        "l1": error.abs(),
        "l2": error**2,
        "huber": torch.where(error.abs() < 0.1, error**2 / 0.2, error.abs() - 0.05),
    }[kind]
    w = i["weight"]
    view = ((error**2).mean(-1) * w).sum((1, 2)) / w.sum((1, 2))
    return (penalty * w[..., None]).mean(), ((i["rgba"][..., 3] - i["mask"]) ** 2 * w).mean(), view


@pytest.mark.parametrize("constant_background", [False, True])
@pytest.mark.parametrize("kind", ["l1", "l2", "huber"])
def test_value_and_gradient(kind: str, constant_background: bool) -> None:
    i = images()
    if constant_background:
        i["background"] = torch.tensor([0.1, 0.5, 0.002])
    ours = {name: i[name].clone().requires_grad_() for name in ("rgba", "exposure")}
    theirs = {name: i[name].clone().requires_grad_() for name in ("rgba", "exposure")}
    result = image_loss(
        ours["rgba"],
        i["target"],
        i["mask"],
        i["weight"],
        ours["exposure"],
        i["background"],
        kind,
        color_weight=2.0,
        mask_weight=0.5,
    )
    color, mask, view = plain({**i, **theirs}, kind)
    torch.testing.assert_close(result.color, color.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(result.mask, mask.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(result.view_error, view.detach(), rtol=1e-5, atol=1e-6)
    total = 2 * color + 0.5 * mask
    torch.testing.assert_close(result.total, total, rtol=1e-5, atol=1e-6)
    (3 * result.total).backward()  # a factor in front takes the other path of the backward pass
    (3 * total).backward()
    for name in ours:
        scale = float(theirs[name].grad.abs().max())
        assert float((ours[name].grad - theirs[name].grad).abs().max()) <= 1e-5 * scale


def test_defaults() -> None:
    i = images(1)
    rgba = i["rgba"].clone().requires_grad_()
    result = image_loss(rgba, i["target"])
    result.total.backward()
    expected = (linear_to_srgb(i["rgba"][..., :3]) - i["target"]).abs().mean()
    torch.testing.assert_close(result.total, expected)
    assert float(result.mask) == 0.0
    assert float(rgba.grad[..., 3].abs().max()) == 0.0


def test_one_exposure_per_view() -> None:
    i = images(2)
    stops = torch.tensor([0.0, 1.0, -1.0], requires_grad=True)
    result = image_loss(i["rgba"], i["target"], exposure=stops)
    gain = 2 ** torch.tensor([0.0, 1.0, -1.0])[:, None, None, None]
    expected = (linear_to_srgb(gain * i["rgba"][..., :3]) - i["target"]).abs().mean()
    torch.testing.assert_close(result.total, expected)
    result.total.backward()
    assert stops.grad.shape == (3,)


def test_ignored_pixels_say_nothing() -> None:
    i = images(3)
    weight = torch.ones(N, H, W)
    weight[:, :, 4:] = 0
    rgba = i["rgba"].clone()
    rgba[:, :, 4:] = float("nan")  # not even numbers there matter
    rgba.requires_grad_()
    result = image_loss(rgba, i["target"], i["mask"], weight)
    result.total.backward()
    assert torch.isfinite(result.total)
    assert float(rgba.grad[:, :, 4:].abs().max()) == 0.0
    assert torch.isfinite(rgba.grad).all()


def test_overexposed_pixels_still_pull() -> None:
    rgba = torch.full((1, 2, 2, 4), 3.0, requires_grad=True)
    image_loss(rgba, torch.ones(1, 2, 2, 3)).total.backward()
    assert (rgba.grad[..., :3] > 0).all()


def test_view_error_gives_psnr() -> None:
    i = images(4)
    rgba = i["rgba"].clamp(0, 1)
    result = image_loss(rgba, i["target"])
    for view in range(N):
        expected = psnr(rgba[view, ..., :3], srgb_to_linear(i["target"][view]))
        assert mse_to_psnr(float(result.view_error[view])) == pytest.approx(expected, abs=1e-3)


def test_errors() -> None:
    i = images()
    with pytest.raises(InputError, match="kind must be one of l1, l2, huber, got 'l3'"):
        image_loss(i["rgba"], i["target"], kind="l3")
    with pytest.raises(ShapeError, match="target must have shape"):
        image_loss(i["rgba"], i["target"][:1])
    with pytest.raises(ShapeError, match="mask must have shape"):
        image_loss(i["rgba"], i["target"], i["mask"][..., None])


def test_ssim_matches_scikit_image() -> None:
    rng = np.random.default_rng(0)
    a = rng.random((24, 31, 3), np.float32)
    b = np.clip(a + 0.1 * rng.standard_normal(a.shape, np.float32), 0, 1)
    expected, full = structural_similarity(
        a,
        b,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1,
        channel_axis=2,
        full=True,
    )
    x, y = torch.from_numpy(a)[None], torch.from_numpy(b)[None]
    assert float(ssim(x, y)) == pytest.approx(float(expected), abs=1e-5)
    np.testing.assert_allclose(ssim_map(x, y)[0].numpy(), full[5:-5, 5:-5], atol=1e-4)
    assert float(ssim(x, x)) == pytest.approx(1.0, abs=1e-6)
    mask = torch.zeros(1, 24, 31)
    mask[0, 10, 12] = 1
    assert float(ssim(x, y, mask)) == pytest.approx(float(full[10, 12].mean()), abs=1e-4)


def test_ssim_gradient_and_errors() -> None:
    a = torch.rand(1, 12, 13, 3, dtype=torch.float64, requires_grad=True)
    b = torch.rand(1, 12, 13, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: ssim(x, b), (a,), fast_mode=True)
    with pytest.raises(ShapeError, match="at least 11 pixels"):
        ssim(torch.rand(1, 10, 20, 3), torch.rand(1, 10, 20, 3))
    with pytest.raises(ShapeError, match="expected two images"):
        ssim(torch.rand(1, 12, 20, 3), torch.rand(1, 12, 21, 3))


def test_srgb_curve() -> None:
    x = np.linspace(-0.5, 3, 400)
    np.testing.assert_allclose(srgb_to_linear(linear_to_srgb(x)), x, atol=1e-6)
    np.testing.assert_allclose(linear_to_srgb(np.array([0.0, 0.0031308, 1.0])), [0, 0.04045, 1], atol=1e-5)
    assert linear_to_srgb(0.214041) == pytest.approx(0.5, abs=1e-5)
    t = torch.tensor(x, requires_grad=True)
    linear_to_srgb(t).sum().backward()
    assert (t.grad > 0.1).all()  # a usable slope everywhere, above 1 and below 0 too
    assert psnr(x[:, None], x[:, None]) == 100.0
    assert psnr(np.zeros((2, 2, 3)), np.ones((2, 2, 3))) == pytest.approx(0.0)
