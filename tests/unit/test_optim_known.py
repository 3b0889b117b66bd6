"""Distances between meshes against what is known about them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from studio.core.errors import InputError
from studio.core.ops.closest import TriangleTree
from studio.core.optim.known import distances
from studio.core.optim.surface import closest_on_triangles
from studio.core.scene import Camera, Mesh, Similarity, look_at
from studio.core.scene.mesh import merge
from studio.core.scene.shapes import icosphere
from tests.unit.optim_scenes import coloured_ball, photograph


def cameras(*eyes: tuple[float, float, float]) -> list[Camera]:
    return [Camera(8, 8, 8, 8, 4, 4, look_at(np.array(eye), np.zeros(3)), near=0.1, far=20) for eye in eyes]


AROUND = cameras((4, 0, 0.1), (-4, 0, 0.1), (0, 4, 0.1), (0, -4, 0.1), (0.1, 0, 4), (0.1, 0, -4))


def tree(mesh: Mesh) -> TriangleTree:
    return TriangleTree(torch.from_numpy(mesh.vertices), torch.from_numpy(mesh.faces))


def test_closest_points_are_the_closest_of_all_triangles() -> None:
    """Also on triangles whose centres are far away."""
    random = np.random.default_rng(3)
    vertices = random.normal(size=(60, 3)).astype(np.float32)
    faces = random.permuted(np.tile(np.arange(60), (40, 1)), axis=1)[:, :3].astype(np.int32)
    points = 2 * random.normal(size=(50, 3)).astype(np.float32)
    face, weights, distance = tree(Mesh(vertices, faces)).closest(torch.from_numpy(points))
    for i, point in enumerate(points):
        corners = vertices[faces].astype(np.float64)
        found = closest_on_triangles(np.repeat(point[None], len(faces), 0).astype(np.float64), corners)
        all_distances = np.linalg.norm(np.einsum("fk,fkc->fc", found, corners) - point, axis=1)
        assert float(distance[i]) == pytest.approx(all_distances.min(), abs=1e-5)
        named = weights[i].numpy() @ corners[int(face[i])]
        assert np.linalg.norm(named - point) == pytest.approx(all_distances.min(), abs=1e-5)


def test_beyond_reach_nothing_is_found() -> None:
    face, _, distance = tree(icosphere(2)).closest(torch.tensor([[3.0, 0, 0], [1.2, 0, 0]]), reach=1.0)
    assert face[0] == -1
    assert face[1] >= 0
    assert float(distance[1]) == pytest.approx(0.2, abs=0.03)


def test_a_wall_hides_what_lies_behind() -> None:
    wall = Mesh(np.array([(-1, -1, 1), (1, -1, 1), (0, 1, 1)], np.float32), np.array([[0, 1, 2]], np.int32))
    points, normals = torch.tensor([[0.0, 0, 0]]), torch.tensor([[0.0, 0, 1]])
    eyes = torch.tensor([(0.0, 0, 5), (5.0, 0, 0.5), (0, 0, -5)])
    assert tree(wall).seen_by(points, normals, eyes).tolist() == [1]  # past the wall; not from behind


def test_two_balls_are_as_far_apart_as_their_radii() -> None:
    true, larger = icosphere(5), icosphere(5, 1.02)
    found = distances(true, larger, AROUND, samples=20_000)
    diagonal = 2 * 3**0.5
    assert found.mean_percent == pytest.approx(100 * 0.02 / diagonal, rel=0.02)
    assert found.p99_percent == pytest.approx(100 * 0.02 / diagonal, rel=0.05)
    assert found.back_mean_percent == pytest.approx(found.mean_percent, rel=0.02)
    assert found.normals_degrees < 0.3


def test_normals_and_pieces_that_should_not_be_there_show() -> None:
    """A floater leaves the way from the truth as it is, and lengthens the way back."""
    ball = icosphere(4)
    floater = icosphere(2, 0.3)
    floater.vertices = floater.vertices + np.float32((2.5, 0, 0))
    same = distances(ball, ball, AROUND, samples=10_000)
    assert same.mean_percent < 1e-4
    assert same.normals_degrees < 0.1
    both = distances(ball, merge([ball, floater]), AROUND, samples=10_000)
    assert both.mean_percent < 1e-4
    assert both.back_p99_percent > 30
    turned = Mesh(ball.vertices, ball.faces, normals=np.roll(ball.vertex_normals(), 1, axis=1))
    assert distances(ball, turned, AROUND, samples=10_000).normals_degrees > 40


def test_what_no_camera_sees_does_not_count() -> None:
    """A ball with a dent on the far side, seen from the front alone."""
    ball = icosphere(4)
    dented = ball.vertices * np.where(ball.vertices[:, 2:] < -0.7, 0.5, 1.0).astype(np.float32)
    front = distances(ball, Mesh(dented, ball.faces), cameras((0, 0, 5)), samples=10_000)
    assert front.mean_percent < 1e-4
    assert distances(ball, Mesh(dented, ball.faces), AROUND, samples=10_000).p99_percent > 5


def test_a_mesh_that_nobody_sees_is_refused() -> None:
    inside_out = Mesh(icosphere(2).vertices, icosphere(2).faces[:, ::-1].copy(), name="glove")
    with pytest.raises(InputError, match="glove: no camera sees it"):
        distances(inside_out, icosphere(2), AROUND)


def test_a_fit_says_how_far_it_is_from_the_true_mesh(tmp_path: Path) -> None:
    """The mesh comes in the coordinates of the files, which are not those of the fit."""
    from studio.core.optim.fitrun import run_fit
    from studio.core.optim.settings import FitSettings

    photos = photograph(coloured_ball(), count=12, size=48)
    turn = np.array([(0.0, 0, 1), (1, 0, 0), (0, 1, 0)])
    photos.input_to_world = Similarity(0.5, turn, np.array((0.1, -0.2, 0.3)))
    ball = coloured_ball()
    vertices = photos.input_to_world.inverse().apply(ball.vertices).astype(np.float32)
    settings = FitSettings({"steps": 0, "hull_resolution": 32, "start_smooth": 0.0, "shading": "unlit"})
    true = run_fit(photos, settings, tmp_path, device="cpu", known=Mesh(vertices, ball.faces))["known"]
    assert 0 < true["mean_percent"] < 0.5
    assert true["normals_degrees"] < 15
    assert json.loads((tmp_path / "metrics.json").read_text())["known"] == true
    aside = Mesh(vertices + np.float32((0, 0.12, 0)), ball.faces)  # 0.06 of a diagonal of 2.08 in the fit
    off = run_fit(photos, settings, tmp_path, device="cpu", known=aside)["known"]
    assert off["mean_percent"] == pytest.approx(100 * 0.06 / 2 / 2.078, rel=0.25)
