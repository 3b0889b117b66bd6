"""The share of a light that arrives, against what can be told in advance."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from studio.core.optim import sky
from studio.core.optim.occlusion import arriving
from studio.core.scene import Mesh
from studio.core.scene.shapes import icosphere


def arrive(mesh: Mesh, light: Tensor, color: float = 0.0, inwards: bool = False) -> tuple[Tensor, Tensor]:
    normals = torch.from_numpy(mesh.vertex_normals()) * (-1 if inwards else 1)
    vertices, faces = torch.from_numpy(mesh.vertices), torch.from_numpy(mesh.faces)
    return arriving(vertices, faces, normals, light, torch.full_like(vertices, color))


def even() -> Tensor:
    return torch.zeros(*sky.SIZE, 3)


def half(upper: float, lower: float) -> Tensor:
    """Radiance of the two halves; row 0 is straight down."""
    rows = torch.where(torch.arange(sky.SIZE[0]) >= sky.SIZE[0] // 2, upper, lower)
    return rows.log()[:, None, None].expand(*sky.SIZE, 3).clone()


def bowl() -> Mesh:
    """The lower half of a ball, seen from within."""
    ball = icosphere(5)
    low = ball.vertices[ball.faces][..., 1].max(axis=1) <= 1e-6
    return Mesh(ball.vertices, ball.faces[low])


def test_a_ball_gets_all_of_the_light() -> None:
    ambient, light = arrive(icosphere(3), half(2.0, 0.1), color=0.8)
    assert ambient.min() > 0.97
    assert light.min() > 0.97


def test_under_an_even_sky_the_light_is_the_open_part() -> None:
    ambient, light = arrive(bowl(), even(), inwards=True)
    assert float((ambient - light).abs().max()) < 1e-5


def test_at_the_bottom_of_a_bowl() -> None:
    """It sees the rim at 45 degrees, so half of the light; the more of it the brighter the zenith."""
    mesh = bowl()
    bottom = int(mesh.vertices[:, 1].argmin())
    ambient, _ = arrive(mesh, even(), inwards=True)
    assert float(ambient[bottom]) == pytest.approx(0.5, abs=0.03)
    row = torch.arange(sky.SIZE[0]) * math.pi / sky.SIZE[0] - 0.5 * math.pi
    zenith = torch.where(row > 0.3 * math.pi, 5.0, 0.1).log()[:, None, None].expand(*sky.SIZE, 3)
    assert float(arrive(mesh, zenith, inwards=True)[1][bottom]) > 0.85
    level = torch.where(row > 0.3 * math.pi, 0.1, 5.0).log()[:, None, None].expand(*sky.SIZE, 3)
    assert float(arrive(mesh, level, inwards=True)[1][bottom]) < 0.45


def test_walls_send_light_on() -> None:
    """Half of a ball under an even sky: by symmetry E = 1/2 + c E / 2, so E = 1 / (2 - c)."""
    mesh = bowl()
    used = np.unique(mesh.faces)
    inner = used[mesh.vertices[used, 1] < -0.2]
    for color in (0.3, 0.6):
        light = arrive(mesh, even(), color=color, inwards=True)[1][inner]
        assert float(light.mean()) == pytest.approx(1 / (2 - color), abs=0.03)
