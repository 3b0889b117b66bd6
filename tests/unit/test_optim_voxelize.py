"""Meshes as volumes, and back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from studio.core.errors import InputError
from studio.core.optim.isosurface import surface_of
from studio.core.optim.surface import SurfacePoints
from studio.core.optim.voxelize import volume_of
from studio.core.scene import Mesh
from studio.core.scene.shapes import cube, icosphere, torus
from tests.unit.optim_scenes import coloured_ball


def distance_to(mesh: Mesh, points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(SurfacePoints(mesh.vertices, mesh.faces).project(points) - points, axis=1)


@pytest.mark.parametrize(
    ("mesh", "allowed"), [(icosphere(3), 0.1), (torus(sections=48), 0.1), (cube(), 0.75)]
)
def test_there_and_back_again(mesh, allowed):
    volume = volume_of(mesh, 48)
    back = surface_of(volume, blur=0, smooth=0)
    solid = trimesh.Trimesh(back.vertices, back.faces, process=False)
    assert solid.is_watertight
    assert solid.euler_number == trimesh.Trimesh(mesh.vertices, mesh.faces).euler_number
    off = distance_to(mesh, back.vertices.astype(float)) / volume.voxel
    assert off.max() < allowed  # a cube's edges are cut within their cells
    assert off.mean() < 0.03
    assert solid.volume == pytest.approx(trimesh.Trimesh(mesh.vertices, mesh.faces).volume, rel=0.01)


def test_a_shell_has_two_sides():
    ball = icosphere(3, 0.5)
    volume = volume_of(ball, 40, shell=3)
    inner = surface_of(volume, blur=0, smooth=0)  # the chamber is filled
    outer = np.linalg.norm(inner.vertices, axis=1)
    assert np.abs(outer - 0.5 - 1.5 * volume.voxel).max() < 0.2 * volume.voxel
    depth = volume.optical_density() * volume.voxel
    middle = tuple(int(n) for n in np.round(-volume.low / volume.voxel))
    assert depth[middle] < 1e-3
    radius = np.linalg.norm(volume.points(), axis=-1)
    assert depth[np.abs(radius - 0.5) < volume.voxel].min() > 1


def test_an_open_mesh_has_a_shell_but_no_inside():
    ball = icosphere(2, 0.5)
    half = replace(
        ball, faces=ball.faces[ball.vertices[ball.faces].mean(axis=1)[:, 1] > 0], normals=None, name="half"
    )
    with pytest.raises(InputError, match="half: is open"):
        volume_of(half, 24)
    sheet = surface_of(volume_of(half, 32, shell=2), blur=0, smooth=0)
    assert trimesh.Trimesh(sheet.vertices, sheet.faces, process=False).is_watertight
    with pytest.raises(InputError, match=r"a shell of 0\.5 voxels"):
        volume_of(half, 24, shell=0.5)


def test_colours_are_kept():
    ball = coloured_ball(0.5)
    volume = volume_of(ball, 32)
    _, found = volume.sample(ball.vertices.astype(float))
    base = ball.colors * np.array(ball.material.base_color)
    assert np.abs(found - base).mean() < 0.02  # of the nearest vertex, between eight points
