"""Large steps and AdamUniform against dense and written-out references."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from studio.core.optim.largesteps import (
    AdamUniform,
    LargeSteps,
    edges_of,
    smooth_vertices,
    uniform_laplacian,
)
from studio.core.scene.shapes import icosphere, torus


@pytest.mark.parametrize("smoothness", [0.0, 1.0, 19.0, 99.0])
def test_solve_matches_dense(smoothness):
    mesh = torus(sections=12)
    count = len(mesh.vertices)
    steps = LargeSteps(mesh.faces, count, smoothness)
    dense = np.eye(count) + smoothness * uniform_laplacian(mesh.faces, count).toarray()
    vertices = torch.from_numpy(mesh.vertices)
    u = steps.to_differential(vertices)
    np.testing.assert_allclose(u.numpy(), dense @ mesh.vertices, atol=2e-5 * (1 + smoothness))
    # Float32 and a condition number of 1 + 12 lambda.
    np.testing.assert_allclose(steps.from_differential(u).numpy(), mesh.vertices, atol=2e-5)


def test_gradient_is_the_transposed_solve():
    mesh = icosphere(1)
    steps = LargeSteps(mesh.faces, len(mesh.vertices), 7.0)
    u = steps.to_differential(torch.from_numpy(mesh.vertices)).requires_grad_()
    weight = torch.randn(u.shape, generator=torch.Generator().manual_seed(1))
    (steps.from_differential(u) * weight).sum().backward()
    dense = np.eye(len(u)) + 7.0 * uniform_laplacian(mesh.faces, len(u)).toarray()
    np.testing.assert_allclose(u.grad.numpy(), np.linalg.solve(dense, weight.numpy()), atol=1e-5)


def test_unused_vertices_stay():
    mesh = icosphere(1)
    vertices = torch.cat([torch.from_numpy(mesh.vertices), torch.tensor([[5.0, 6.0, 7.0]])])
    steps = LargeSteps(mesh.faces, len(vertices), 10.0)
    assert torch.allclose(steps.from_differential(steps.to_differential(vertices))[-1], vertices[-1])


def test_edges_of_a_closed_mesh():
    mesh = icosphere(2)
    edges = edges_of(mesh.faces)
    assert len(edges) == 3 * len(mesh.faces) // 2
    assert (edges[:, 0] < edges[:, 1]).all()


def test_laplacian_rows_sum_to_zero():
    matrix = uniform_laplacian(icosphere(2).faces, 162)
    assert abs(matrix.sum(axis=1)).max() == 0


def test_smoothing_removes_noise_and_keeps_size():
    ball = icosphere(3)
    noisy = ball.vertices + 0.03 * np.random.default_rng(0).normal(size=ball.vertices.shape)
    smooth = smooth_vertices(noisy.astype(np.float32), ball.faces, 1.0)
    before = np.linalg.norm(noisy, axis=1).std()
    after = np.linalg.norm(smooth, axis=1)
    assert after.std() < 0.6 * before
    assert 0.9 < after.mean() < 1.0  # 642 vertices: one neighbour ring is 10 degrees wide


def test_adam_uniform_follows_its_formula():
    x = torch.zeros(3, 2, requires_grad=True)
    optimizer = AdamUniform([x], lr=0.1)
    gradients = [torch.tensor([[1.0, 2.0], [0.0, -4.0], [0.5, 0.0]]), torch.full((3, 2), 0.25)]
    mean, square, expected = torch.zeros(3, 2), torch.zeros(3, 2), torch.zeros(3, 2)
    for step, gradient in enumerate(gradients, start=1):
        x.grad = gradient.clone()
        optimizer.step()
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        largest = (square.max() / (1 - 0.999**step)).sqrt()
        expected = expected - 0.1 * (mean / (1 - 0.9**step)) / largest
    torch.testing.assert_close(x.detach(), expected)


def test_adam_uniform_keeps_the_direction_of_the_first_gradient():
    x = torch.zeros(5, 3, requires_grad=True)
    gradient = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    x.grad = gradient.clone()
    AdamUniform([x], lr=1.0).step()
    cosine = torch.nn.functional.cosine_similarity(-x.detach().flatten(), gradient.flatten(), dim=0)
    assert float(cosine) > 0.99999
