"""Regularizers: values that can be told in advance, and gradients against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from studio.core.optim.regularizers import SurfaceTerms, light_white
from studio.core.scene.shapes import cube, icosphere

TERMS = ("laplacian", "normal_consistency", "edge_length")


def noisy_ball() -> tuple[np.ndarray, torch.Tensor]:
    ball = icosphere(1)
    noise = 0.05 * np.random.default_rng(0).normal(size=ball.vertices.shape)
    return ball.faces, torch.tensor(ball.vertices + noise, dtype=torch.float64)


@pytest.mark.parametrize("name", TERMS)
def test_gradients(name):
    faces, vertices = noisy_ball()
    terms = SurfaceTerms(faces, torch.tensor(icosphere(1).vertices, dtype=torch.float64))
    assert torch.autograd.gradcheck(getattr(terms, name), (vertices.requires_grad_(),), atol=1e-6)


@pytest.mark.parametrize("name", TERMS)
def test_size_does_not_matter(name):
    faces, vertices = noisy_ball()
    start = torch.tensor(icosphere(1).vertices, dtype=torch.float64)
    small = getattr(SurfaceTerms(faces, start), name)(vertices)
    large = getattr(SurfaceTerms(faces, start * 50), name)(vertices * 50)
    torch.testing.assert_close(small, large)


def test_laplacian_is_zero_at_the_start_and_grows():
    faces, vertices = noisy_ball()
    terms = SurfaceTerms(faces, vertices)
    assert float(terms.laplacian(vertices)) == 0
    assert (
        float(terms.laplacian(vertices + 1.0)) < 1e-12
    )  # moving as a whole is free, but for float32 degrees
    assert float(terms.laplacian(torch.tensor(icosphere(1).vertices, dtype=torch.float64))) > 0


def test_normal_consistency_of_a_cube():
    box = cube(2.0)
    terms = SurfaceTerms(box.faces, torch.from_numpy(box.vertices))
    # 18 pairs: 12 edges at a right angle (1 - 0), 6 face diagonals (1 - 1).
    assert float(terms.normal_consistency(torch.from_numpy(box.vertices))) == pytest.approx(12 / 18)


def test_edge_length_of_equal_edges_is_zero():
    vertices = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    faces = np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]])
    assert float(SurfaceTerms(faces, vertices).edge_length(vertices)) == pytest.approx(0, abs=1e-12)


def test_smoothness_counts_edges_once():
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    terms = SurfaceTerms(np.array([[0, 1, 2]]), vertices)
    assert float(terms.smoothness(torch.tensor([[0.0], [1.0], [3.0]]))) == pytest.approx((1 + 2 + 3) / 3)


def test_light_white():
    assert float(light_white(torch.ones(25, 3))) == 0
    tinted = torch.ones(1, 3) * torch.tensor([1.0, 2.0, 3.0])
    assert float(light_white(tinted)) == pytest.approx(2 / 3)
