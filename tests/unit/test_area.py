"""Rectangles of light against sums over many small pieces of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from studio.core.ops.area import area_light
from tests.grad.test_effects import agree
from tests.lanes import dfg

COUNT = 60
NAMES = ("normal", "position", "roughness", "middle", "axis", "right", "half_size")


def unit(v: np.ndarray) -> np.ndarray:
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


def surfaces() -> dict[str, np.ndarray]:
    """Points around a rectangle with normals in all directions; a third does not see it."""
    rng = np.random.default_rng(0)
    normal = unit(rng.normal(size=(COUNT, 3)))
    view = unit(normal + 0.8 * unit(rng.normal(size=(COUNT, 3))))
    axis = unit(np.array([0.2, 1.0, 0.1]))
    return {
        "normal": normal,
        "view": view,
        "position": rng.normal(size=(COUNT, 3)) * 0.5,
        "roughness": rng.uniform(0.2, 1, COUNT),
        "middle": np.array([0.3, 1.2, 0.4]),
        "axis": axis,
        "right": unit(np.cross(axis, [0.3, 0.2, 1.0])),
        "half_size": np.array([0.6, 0.35]),
    }


def seen(values: dict[str, np.ndarray], **changed: Tensor) -> Tensor:
    """[COUNT, 2] of area_light."""
    t = {k: torch.tensor(v, dtype=torch.float32) for k, v in values.items()}
    camera = t["position"] + 3 * t["view"]
    t = {**t, **changed}
    images = [t[name].reshape(COUNT, 1, 1, -1) for name in ("normal", "position", "roughness")]
    lamp = [t[name] for name in ("middle", "axis", "right", "half_size")]
    eye = torch.eye(4).expand(COUNT, 4, 4)
    return area_light(torch.ones(COUNT, 1, 1, 4), *images, camera, eye, *lamp)[:, 0, 0]


def sampled(values: dict[str, np.ndarray], count: int = 300) -> np.ndarray:
    """[COUNT, 2] the same from count^2 pieces, with the lobe itself."""
    grid = (np.arange(count) + 0.5) / count * 2 - 1
    u, v = (g.reshape(-1, 1) for g in np.meshgrid(grid, grid))
    axis, right, (a, b) = values["axis"], values["right"], values["half_size"]
    points = values["middle"] + right * a * u + np.cross(axis, right) * b * v
    out = []
    for n, v, p, rough in zip(*(values[k] for k in ("normal", "view", "position", "roughness"))):
        d = points - p
        light = unit(d)
        weight = (light @ axis).clip(0) * 4 * a * b / count**2 / (d * d).sum(1)
        nol, nov, a2 = (light @ n).clip(0), max(n @ v, 1e-4), rough**4
        noh = unit(light + v) @ n
        ndf = a2 / (np.pi * ((1 - noh**2) + a2 * noh**2) ** 2)
        vis = 0.5 / (nol * np.sqrt(nov**2 * (1 - a2) + a2) + nov * np.sqrt(nol**2 * (1 - a2) + a2))
        out.append(
            (
                (nol * weight).sum() / np.pi,
                (ndf * vis * nol * weight).sum() / dfg(nov, rough**2).sum(),
            )
        )
    return np.array(out)


def test_against_sampling() -> None:
    values = surfaces()
    error = np.abs(seen(values).numpy() - sampled(values))
    assert sampled(values)[:, 0].max() > 0.3
    assert error[:, 0].max() <= 1e-5  # the form factor is exact, below the horizon, too
    # Measured .0014 and .013 of 1: what two cosines cannot follow.
    assert error[:, 1].mean() <= 0.002
    assert error[:, 1].max() <= 0.016


@pytest.mark.parametrize("name", NAMES)
def test_gradients(name: str) -> None:
    values = surfaces()
    weights = torch.randn(COUNT, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    start = torch.tensor(values[name], dtype=torch.float32)
    leaf = start.clone().requires_grad_()

    def loss(value: Tensor) -> Tensor:
        return (seen(values, **{name: value}).double() * weights).sum()

    loss(leaf).backward()
    assert float(leaf.grad.abs().max()) > 1e-3
    # Corners cross horizons, texels of the table meet: small steps.
    assert agree(loss, start, seed=1, step=5e-4) <= 0.02


def test_nothing_from_behind() -> None:
    values = surfaces()
    values["axis"] = -values["axis"]
    values["middle"] = np.array([0.0, 5.0, 0.0])
    assert float(seen(values).abs().max()) == 0.0


@pytest.mark.parametrize("half_size", [(0.5, 0.5), (0.0, 0.0)])
def test_nothing_degenerate_spoils_values_or_gradients(half_size: tuple[float, float]) -> None:
    """No normal, one towards the viewer, surfaces in the panel, in its corner and at its plane."""
    values = surfaces()
    count = COUNT // 4
    values["normal"][:count] = 0
    values["normal"][count : 2 * count] = values["view"][count : 2 * count]
    corner = values["middle"] + 0.5 * values["right"] + 0.5 * np.cross(values["axis"], values["right"])
    values["position"][::4] = values["middle"]
    values["position"][1::4] = corner
    values["position"][2::4] = values["middle"] + 2 * values["right"]
    values["half_size"] = np.array(half_size)
    leaves = {name: torch.tensor(values[name], dtype=torch.float32, requires_grad=True) for name in NAMES}
    out = seen(values, **leaves)
    assert 0 <= float(out.detach().min()) <= float(out.detach().max()) <= 1.001
    for grad in torch.autograd.grad(out.sum(), list(leaves.values())):
        assert bool(grad.isfinite().all())
