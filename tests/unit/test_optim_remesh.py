"""Remeshing keeps surfaces closed, in place, and makes edges even."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from studio.core.optim.remesh import mean_edge_length, mean_thickness, remesh
from studio.core.optim.surface import SurfacePoints, closest_on_triangles, transfer
from studio.core.scene.shapes import cube, icosphere, torus

SHAPES = {"sphere": icosphere(3), "torus": torus(sections=24), "cube": cube(1.0)}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("edge", [0.25, 0.08])
def test_closed_stays_closed(name, edge):
    mesh = SHAPES[name]
    before = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    vertices, faces = remesh(mesh.vertices, mesh.faces, edge)
    after = trimesh.Trimesh(vertices, faces, process=False)
    assert after.is_watertight
    assert after.is_winding_consistent
    assert after.euler_number == before.euler_number
    # Long chords of a coarse mesh cut corners; a quarter of the size is the coarsest asked for.
    assert after.volume == pytest.approx(before.volume, rel=0.16 if edge > 0.1 else 0.02)
    assert vertices.dtype == np.float32
    assert faces.dtype == np.int32


@pytest.mark.parametrize("edge", [0.15, 0.05])
def test_edges_come_near_the_wish(edge):
    mesh = icosphere(3)
    vertices, faces = remesh(mesh.vertices, mesh.faces, edge)
    assert mean_edge_length(vertices, faces) == pytest.approx(edge, rel=0.15)
    angles = trimesh.Trimesh(vertices, faces, process=False).face_angles
    assert np.degrees(angles.min()) > 15


def test_borders_stay():
    grid = trimesh.creation.box((1, 1, 1))
    keep = np.abs(grid.triangles_center[:, 1] - 0.5) > 1e-6  # an open box
    vertices, faces = remesh(grid.vertices.astype(np.float32), grid.faces[keep].astype(np.int32), 0.2)
    after = trimesh.Trimesh(vertices, faces, process=False)
    assert not after.is_watertight
    top = after.vertices[after.vertices[:, 1] > 0.499]
    assert np.ptp(top[:, 0]) == pytest.approx(1.0)
    assert np.ptp(top[:, 2]) == pytest.approx(1.0)


def test_same_input_same_output():
    mesh = torus(sections=20)
    first = remesh(mesh.vertices, mesh.faces, 0.1)
    second = remesh(mesh.vertices, mesh.faces, 0.1)
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


def test_attributes_are_carried_over():
    mesh = icosphere(4)
    surface = SurfacePoints(mesh.vertices, mesh.faces)
    vertices, _ = remesh(mesh.vertices, mesh.faces, 0.12)
    carried = transfer(mesh.vertices * 2 + 1, surface, vertices)  # linear in space
    # The remeshed vertices lie on the old triangles, where a linear function is exact.
    np.testing.assert_allclose(carried, vertices * 2 + 1, atol=2e-3)


def test_closest_point_against_sampling():
    rng = np.random.default_rng(3)
    corners = rng.normal(size=(40, 3, 3))
    points = rng.normal(size=(40, 3)) * 2
    weights = closest_on_triangles(points, corners)
    assert (weights >= -1e-12).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-9)
    found = np.linalg.norm(np.einsum("pk,pkc->pc", weights, corners) - points, axis=1)
    u, v = np.meshgrid(np.linspace(0, 1, 60), np.linspace(0, 1, 60))
    inside = u + v <= 1
    grid = np.stack([1 - u[inside] - v[inside], u[inside], v[inside]], axis=1)
    sampled = np.einsum("sk,pkc->psc", grid, corners)
    best = np.linalg.norm(sampled - points[:, None], axis=2).min(axis=1)
    assert (found <= best + 1e-9).all()


def test_thickness_of_a_plate_and_a_ball():
    plate = trimesh.creation.box((1.0, 1.0, 0.02))
    # Twice the volume by the area: the four narrow sides take off 4 %.
    assert mean_thickness(plate.vertices, plate.faces) == pytest.approx(0.02, rel=0.05)
    ball = icosphere(3, 0.5)
    assert mean_thickness(ball.vertices, ball.faces) == pytest.approx(1 / 3, rel=0.02)
    assert mean_thickness(ball.vertices, ball.faces[1:]) == float("inf")
