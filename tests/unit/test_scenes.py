"""The built-in scenes: by name, closed, facing out, small, and as their sources say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from studio.cli import commands
from studio.core.errors import InputError
from studio.core.scene import Mesh
from studio.core.scene.mesh import weld
from studio.core.scenes import NAMES, SCENES, built_in
from studio.options import open_scene, scene_camera

MADE = [name for name in NAMES if name != "demo"]
OPEN = {"room", "left wall", "right wall", "light"}
"""Walls and lamp of the Cornell box are single surfaces, as measured."""


def half_edges(mesh: Mesh) -> np.ndarray:
    """[E, 2] directed edges, vertices at the same position being one."""
    faces = weld(mesh.vertices)[mesh.faces]
    return np.concatenate([faces[:, (0, 1)], faces[:, (1, 2)], faces[:, (2, 0)]])


def signed_volume(mesh: Mesh) -> float:
    a, b, c = (mesh.vertices[mesh.faces[:, i]].astype(np.float64) for i in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


@pytest.mark.parametrize("name", MADE)
def test_solids_are_closed_and_face_out(name: str) -> None:
    for mesh in built_in(name).meshes:
        if mesh.name in OPEN:
            continue
        edges = half_edges(mesh)
        assert len(np.unique(edges, axis=0)) == len(edges), f"{mesh.name}: an edge used twice one way"
        there = {tuple(edge) for edge in edges.tolist()}
        assert all((b, a) in there for a, b in there), f"{mesh.name}: an edge with one side only"
        assert signed_volume(mesh) > 0, f"{mesh.name}: inside out"


@pytest.mark.parametrize("name", MADE)
def test_normals_are_unit_and_agree_with_triangles(name: str) -> None:
    for mesh in built_in(name).meshes:
        assert mesh.normals is not None
        np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1.0, atol=1e-4)
        corners = mesh.vertices[mesh.faces].astype(np.float64)
        flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        agree = np.einsum("tc,tvc->tv", flat, mesh.normals[mesh.faces]).min(axis=1) > 0
        area = np.linalg.norm(flat, axis=1)
        assert area[agree].sum() > 0.99 * area.sum(), mesh.name


def test_the_walls_of_the_cornell_box_face_in() -> None:
    for mesh in built_in("cornell").meshes:
        if mesh.name in OPEN:
            corners = mesh.vertices[mesh.faces]
            flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
            assert (np.einsum("tc,tc->t", flat, -corners.mean(axis=1)) > 0).all(), mesh.name


def test_the_cornell_box_has_its_measured_colours_and_size() -> None:
    scene = built_in("cornell")
    colors = {mesh.name: mesh.material.base_color for mesh in scene.meshes}
    # About what RGB renderers use for it; they differ among themselves by the white they adapt to.
    np.testing.assert_allclose(colors["room"], (0.73, 0.73, 0.73), atol=0.03)
    np.testing.assert_allclose(colors["left wall"], (0.57, 0.05, 0.05), atol=0.06)
    np.testing.assert_allclose(colors["right wall"], (0.1, 0.38, 0.08), atol=0.05)
    low, high = scene.bounds()
    np.testing.assert_allclose(high - low, np.array((556.0, 548.8, 559.2)) / 278, atol=1e-3)
    lamp = next(mesh for mesh in scene.meshes if mesh.name == "light")
    assert lamp.material.emissive[0] > lamp.material.emissive[1] > lamp.material.emissive[2] > 1


def test_the_balls_are_a_grid_of_materials() -> None:
    balls = built_in("balls").meshes[1:]
    found = {(b.material.perceptual_roughness, b.material.metallic) for b in balls}
    assert len(balls) == len(found) == 35
    assert (min(found)[0], max(found)[0]) == pytest.approx((0.05, 1.0))


def test_the_teapot_has_newells_size() -> None:
    parts = [mesh for mesh in built_in("teaset").meshes if mesh.name.startswith("teapot")]
    assert [mesh.name.split()[1] for mesh in parts] == ["body", "lid", "handle", "spout"]
    assert max(mesh.vertices[:, 1].max() for mesh in parts) == pytest.approx(3.15, abs=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_a_scene_opens_by_its_name(name: str) -> None:
    scene = open_scene(Path(name))
    assert scene.triangle_count() > 0
    camera = scene_camera(scene, None, 80, 60)
    assert (camera.width, camera.height) == (80, 60)


@pytest.mark.parametrize("name", MADE)
def test_a_scene_fits_its_picture(name: str) -> None:
    scene = built_in(name)
    camera = scene_camera(scene, None, 64, 64)
    low, high = scene.bounds()
    middle = camera.world_to_clip @ np.append((low + high) / 2, 1.0)
    assert np.abs(middle[:2] / middle[3]).max() < 0.4
    assert (SCENES / f"{name}.glb").stat().st_size < 2e6


def test_a_scene_of_another_name() -> None:
    with pytest.raises(InputError, match=r"'kettle'.*cornell"):
        built_in("kettle")


def test_render_takes_a_scene_by_name(tmp_path: Path) -> None:
    out = tmp_path / "box.png"
    command = ["render", "cornell", "--renderer", "diff", "--size", "48x32", "--out", str(out)]
    result = CliRunner().invoke(commands, command)
    assert result.exit_code == 0, result.output
    assert out.exists()
    assert "36 triangles" in result.output


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_weld_names_the_first_vertex_at_each_place(width: int) -> None:
    rng = np.random.default_rng(width)
    places = rng.choice([-1.5, -0.0, 0.0, 1e-30, np.inf], size=(60, width)).astype(np.float32)
    expected = [next(i for i, other in enumerate(places) if (other == place).all()) for place in places]
    assert weld(places).tolist() == expected
    assert weld(places[:0]).tolist() == []
