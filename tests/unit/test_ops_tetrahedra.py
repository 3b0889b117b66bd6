"""Marching tetrahedra: closed, wound outwards, the right shape, the right gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from studio.core.errors import ShapeError
from studio.core.ops.tetrahedra import marching_tetrahedra


def grid(count: int) -> Tensor:
    axis = torch.linspace(-1, 1, count, dtype=torch.float64)
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)


def surface(field: Tensor, nodes: Tensor) -> trimesh.Trimesh:
    found = marching_tetrahedra(field)
    vertices = found.interpolate(found.share(field), nodes)
    return trimesh.Trimesh(vertices.numpy(), found.faces.numpy(), process=False)


def test_a_torus_is_a_torus():
    nodes = grid(48)
    ring, tube = 0.55, 0.2
    field = tube - ((nodes[..., :2].norm(dim=-1) - ring) ** 2 + nodes[..., 2] ** 2).sqrt()
    mesh = surface(field, nodes)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.euler_number == 0
    assert mesh.volume == pytest.approx(2 * np.pi**2 * ring * tube**2, rel=0.01)


@given(st.integers(0, 2**31 - 1), st.tuples(*[st.integers(1, 5)] * 3))
def test_any_field_gives_a_closed_surface(seed, shape):
    """Every directed edge once, and its opposite once: also where pieces touch."""
    inner = torch.from_numpy(np.random.default_rng(seed).normal(size=shape))
    field = torch.nn.functional.pad(inner, (1,) * 6, value=-1.0)
    faces = marching_tetrahedra(field).faces.numpy().astype(np.int64)
    directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    count = int(faces.max(initial=0)) + 1
    keys, seen = np.unique(directed[:, 0] * count + directed[:, 1], return_counts=True)
    assert (seen == 1).all()
    assert np.array_equal(keys, np.unique(directed[:, 1] * count + directed[:, 0]))


def test_no_surface_is_no_triangles():
    assert len(marching_tetrahedra(torch.ones(3, 3, 3)).faces) == 0
    assert len(marching_tetrahedra(-torch.ones(3, 3, 3)).start) == 0


def test_places_and_attributes_have_the_gradient_of_differences():
    nodes = grid(6)
    generator = torch.Generator().manual_seed(3)
    field = (0.6 - nodes.norm(dim=-1)).requires_grad_()
    values = torch.rand(6, 6, 6, 2, dtype=torch.float64, generator=generator).requires_grad_()
    found = marching_tetrahedra(field)

    def place(field: Tensor, values: Tensor) -> Tensor:
        return found.interpolate(found.share(field), torch.cat([nodes, values], dim=-1))

    assert torch.autograd.gradcheck(place, (field, values))


def test_a_list_is_refused_by_name():
    with pytest.raises(ShapeError, match="field"):
        marching_tetrahedra(torch.zeros(4, 4))
