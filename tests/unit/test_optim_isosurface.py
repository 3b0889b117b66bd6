"""Meshes of volumes whose surface is known, and what photos add to the density."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import trimesh

from studio.core.errors import Cancelled, InputError
from studio.core.optim.distance import is_closed
from studio.core.optim.isosurface import Evidence, preview_of, surface_of
from studio.core.scene import Mesh
from studio.core.scene.volume import SHIFT, Volume
from tests.unit.optim_scenes import coloured_ball, photograph, ring

Distance = Callable[[np.ndarray], np.ndarray]

COUNT = 56
LOW, VOXEL = -0.7, 1.4 / (COUNT - 1)


def ball(points: np.ndarray) -> np.ndarray:
    return 0.5 - np.linalg.norm(points, axis=-1)


def torus(points: np.ndarray) -> np.ndarray:
    return 0.15 - np.hypot(np.hypot(points[..., 0], points[..., 1]) - 0.4, points[..., 2])


def plate(points: np.ndarray) -> np.ndarray:
    """1.5 voxels thick."""
    outside = np.abs(points) - np.array([0.5, 0.75 * VOXEL, 0.5])
    length = np.linalg.norm(np.maximum(outside, 0), axis=-1)
    return -(length + np.minimum(outside.max(axis=-1), 0))


def bowl(points: np.ndarray) -> np.ndarray:
    """A ball of radius 0.5 with a well of radius 0.3 from the top nearly to the bottom."""
    radius, height = np.hypot(points[..., 0], points[..., 2]), points[..., 1]
    well = np.maximum(radius - 0.3, -0.25 - height)
    return np.minimum(ball(points), well)


def volume_of_distance(distance: Distance, noise: float = 0.0) -> Volume:
    """Of density that passes an optical depth of 0.5 per voxel where the distance is 0."""
    axis = LOW + VOXEL * np.arange(COUNT)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    volume = Volume(
        np.zeros((COUNT,) * 3, np.float32), np.zeros((COUNT,) * 3 + (1, 3), np.float32), [LOW] * 3, VOXEL
    )
    level = volume.value_of(0.5 / VOXEL)
    values = level + np.clip(2.0 * distance(points) / VOXEL, -8, 8)
    values += noise * np.random.default_rng(0).normal(size=values.shape)
    return replace(volume, density=values.astype(np.float32))


def pieces(mesh: Mesh) -> int:
    return solid(mesh).body_count


def solid(mesh: Mesh) -> trimesh.Trimesh:
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)


def check_solid(mesh: Mesh) -> None:
    found = solid(mesh)
    assert found.is_watertight
    assert found.is_winding_consistent
    assert found.volume > 0


@pytest.mark.parametrize(
    ("distance", "allowed", "euler"), [(ball, 0.1, 2), (torus, 0.12, 0), (bowl, 0.6, 2), (plate, 0.75, 2)]
)
def test_surface_is_where_the_density_passes_the_level(distance, allowed, euler):
    mesh = surface_of(volume_of_distance(distance), blur=0, smooth=0)
    check_solid(mesh)
    assert solid(mesh).euler_number == euler
    off = np.abs(distance(mesh.vertices.astype(float)))
    assert off.max() < allowed * VOXEL  # edges of bowl and plate are cut by up to a cell's corner
    assert off.mean() < 0.1 * VOXEL


def test_smoothing_keeps_thin_parts():
    """A plate of 1.5 voxels comes through with the smoothing that fits use."""
    mesh = surface_of(volume_of_distance(plate))
    check_solid(mesh)
    assert solid(mesh).euler_number == 2
    corner = np.abs(mesh.vertices)[:, [0, 2]].max()
    assert 0.5 - 2 * VOXEL < corner < 0.5 + VOXEL
    assert solid(mesh).volume == pytest.approx(1.5 * VOXEL, rel=0.35)


def test_noise_is_smoothed():
    """Density that wanders by half of its slope over a voxel leaves a smooth ball in one piece."""
    mesh = surface_of(volume_of_distance(ball, noise=1.0))
    check_solid(mesh)
    assert pieces(mesh) == 1
    assert np.abs(ball(mesh.vertices)).mean() < 0.25 * VOXEL
    cosine = (mesh.vertex_normals() * mesh.vertices).sum(axis=1) / np.linalg.norm(mesh.vertices, axis=1)
    assert np.degrees(np.arccos(np.quantile(cosine, 0.05))) < 25


def test_pure_noise_has_a_closed_surface():
    """Cubes of every case, ambiguous ones too: neighbours must agree on where the surface runs."""
    volume = volume_of_distance(lambda points: -np.zeros(points.shape[:-1]), noise=3.0)
    mesh = surface_of(volume, blur=0, smooth=0)
    assert len(mesh.faces) > 10_000
    assert is_closed(mesh)


def test_floaters_and_hidden_chambers_go():
    def crowded(points: np.ndarray) -> np.ndarray:
        hollow = np.minimum(ball(points), np.linalg.norm(points, axis=-1) - 0.25)
        floaters = [
            0.05 - np.linalg.norm(points - np.array(place), axis=-1)
            for place in ((0.6, 0.2, 0), (0, 0.6, 0.1))
        ]
        return np.maximum.reduce([hollow, *floaters])

    mesh = surface_of(volume_of_distance(crowded), blur=0, smooth=0)
    check_solid(mesh)
    assert pieces(mesh) == 1
    assert np.abs(ball(mesh.vertices.astype(float))).max() < 0.1 * VOXEL


def test_two_real_pieces_stay():
    def pair(points: np.ndarray) -> np.ndarray:
        return np.maximum(
            0.3 - np.linalg.norm(points - np.array((0.25, 0, 0)), axis=-1),
            0.12 - np.linalg.norm(points + np.array((0.4, 0, 0)), axis=-1),
        )

    assert pieces(surface_of(volume_of_distance(pair))) == 2


def test_a_pinhole_into_a_shell_is_closed_and_a_well_stays_open():
    """Cameras all around: hardly one looks through the pinhole, several look into the well."""
    cameras = Evidence(ring(40, 96))

    def pierced(points: np.ndarray) -> np.ndarray:
        radius = np.linalg.norm(points, axis=-1)
        shell = np.minimum(ball(points), radius - 0.35)
        hole = np.where(points[..., 1] > 0, np.hypot(points[..., 0], points[..., 2]) - 1.2 * VOXEL, 1.0)
        return np.minimum(shell, hole)

    volume = volume_of_distance(pierced)
    assert solid(surface_of(volume, blur=0, smooth=0)).volume < 0.75 * 4 / 3 * np.pi * 0.5**3
    closed = surface_of(volume, 0.5, cameras, blur=0, smooth=0)
    check_solid(closed)
    assert solid(closed).volume > 0.98 * 4 / 3 * np.pi * 0.5**3

    plain, seen = (
        surface_of(volume_of_distance(bowl), 0.5, evidence, blur=0, smooth=0) for evidence in (None, cameras)
    )
    check_solid(seen)
    assert solid(seen).volume < 1.02 * solid(plain).volume


def test_hull_cuts_fog_and_keeps_the_inside():
    """Fog around a ball that only the masks know to be empty, and nothing inside of a thin skin."""
    photos = photograph(coloured_ball(0.5), count=30, size=96).photos

    def foggy(points: np.ndarray) -> np.ndarray:
        skin = 1.5 * VOXEL - np.abs(ball(points) - VOXEL)
        return np.maximum(skin, 0.2 - np.linalg.norm(points - np.array((0.45, 0, 0)), axis=-1))

    volume = volume_of_distance(foggy)
    mesh = surface_of(volume, 0.5, Evidence.of_photos(volume, photos))
    check_solid(mesh)
    distance = np.linalg.norm(mesh.vertices, axis=1)
    assert distance.min() > 0.45
    assert distance.max() < 0.5 + 1.5 * VOXEL


def test_higher_levels_give_smaller_solids():
    volume = volume_of_distance(ball)
    sizes = [solid(surface_of(volume, depth)).volume for depth in (0.1, 0.5, 2.0)]
    assert sizes[0] > sizes[1] > sizes[2]


def test_the_same_volume_gives_the_same_mesh():
    volume = volume_of_distance(bowl, noise=0.3)
    first, second = (surface_of(volume, 0.5, Evidence(ring(8, 48))) for _ in range(2))
    np.testing.assert_array_equal(first.vertices, second.vertices)
    np.testing.assert_array_equal(first.faces, second.faces)


def test_what_cannot_be_meshed_is_said():
    volume = volume_of_distance(ball)
    empty = replace(volume, density=np.full_like(volume.density, SHIFT - 12), name="fog")
    with pytest.raises(InputError, match=r"fog: nothing is as dense as 0\.5 per voxel"):
        surface_of(empty)
    with pytest.raises(InputError, match="extinction must be positive"):
        surface_of(volume, 0.0)
    with pytest.raises(Cancelled):
        surface_of(volume, cancel=lambda: True)


@pytest.mark.parametrize("points", [40, 120])
def test_a_preview_is_the_surface_in_the_same_place(points, monkeypatch):
    """Also of a grid so large that only every second point is looked at."""
    from studio.core.optim import isosurface

    monkeypatch.setattr(isosurface, "_PREVIEW_POINTS", 200_000)
    grid = Volume(np.zeros((points,) * 3, np.float32), np.zeros((points,) * 3 + (1, 3), np.float32),
                  np.full(3, -0.5), 1.0 / (points - 1))  # fmt: skip
    distance = 0.3 - np.linalg.norm(grid.points() - np.array([0.05, 0.0, -0.02]), axis=-1)
    grid.density = (grid.value_of(0.5 / grid.voxel) + distance / grid.voxel).astype(np.float32)
    mesh = preview_of(grid, 0.5)
    radius = np.linalg.norm(mesh.vertices - np.array([0.05, 0.0, -0.02]), axis=1)
    np.testing.assert_allclose(radius, 0.3, atol=0.2 * grid.voxel)
    assert is_closed(mesh)
    np.testing.assert_allclose(mesh.colors, 0.25, atol=1e-6)
    with pytest.raises(InputError, match="nothing is as dense"):
        preview_of(replace(grid, density=np.full_like(grid.density, -10.0)), 0.5)
