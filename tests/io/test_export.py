"""Meshes out and in again; what other programs see; places that cannot be written."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from studio.core.errors import InputError, WorkError
from studio.core.io.export import export_scene
from studio.core.io.meshes import load_scene
from studio.core.io.photos import load_photos
from studio.core.scene import Material, Mesh, Scene, Similarity
from tests.io.helpers import nerf_capture, snapshot, tetrahedron

TEXTURES = [k for k in vars(Material()) if k.endswith("texture")]


def byte_picture(rng: np.random.Generator, channels: int, color: bool) -> np.ndarray:
    """A picture whose values survive 8 bits, of odd size."""
    from studio.core.io.images import to_float

    return to_float(rng.integers(0, 256, (5, 7, channels)).astype(np.uint8), color)


def rich_mesh() -> Mesh:
    """A mesh with everything a mesh can have."""
    rng = np.random.default_rng(6)
    material = Material(
        name="gold leaf",
        base_color=(0.9, 0.5, 0.25),
        perceptual_roughness=0.35,
        metallic=0.75,
        emissive=(0.5, 4.0, 0.0),
        alpha=0.5,
        base_color_texture=byte_picture(rng, 4, True),
        orm_texture=byte_picture(rng, 3, False),
        normal_texture=byte_picture(rng, 3, False),
        occlusion_texture=byte_picture(rng, 3, False),
        emissive_texture=byte_picture(rng, 3, True),
        double_sided=True,
    )
    mesh = tetrahedron(
        uvs=rng.integers(0, 1024, (4, 2)).astype(np.float32) / 1024,
        colors=rng.random((4, 3)).astype(np.float32),
        material=material,
        name="the part",
    )
    mesh.normals = mesh.vertex_normals()
    return mesh


def test_glb_round_trip_of_everything(tmp_path: Path) -> None:
    mesh = rich_mesh()
    export_scene(Scene([mesh]), tmp_path / "a.glb")
    notes: list[str] = []
    back = load_scene(tmp_path / "a.glb", notes).meshes[0]
    assert notes == []
    assert back.name == "the part"
    for name in ("vertices", "uvs", "colors"):  # at corners: vertices between mirrored charts are torn
        there, here = getattr(back, name)[back.faces], getattr(mesh, name)[mesh.faces]
        np.testing.assert_array_equal(there, here, err_msg=name)
    assert back.normals is not None
    assert mesh.normals is not None
    here = mesh.normals[mesh.faces]
    np.testing.assert_allclose(back.normals[back.faces], here, atol=2e-7)  # made unit again
    for name, value in vars(mesh.material).items():
        if name in TEXTURES:
            np.testing.assert_array_equal(getattr(back.material, name), value, err_msg=name)
        else:
            assert getattr(back.material, name) == value, name


def test_glb_keeps_roughness_and_metallic_per_vertex(tmp_path: Path) -> None:
    values = np.array([[0.1], [0.2], [0.3], [0.8]], np.float32)
    mesh = tetrahedron(roughness=values, metallic=values[::-1].copy())
    export_scene(Scene([mesh, tetrahedron(name="other")]), tmp_path / "a.glb")
    back, other = load_scene(tmp_path / "a.glb").meshes
    np.testing.assert_array_equal(back.roughness, values)
    np.testing.assert_array_equal(back.metallic, values[::-1])
    assert other.roughness is None
    assert other.material.perceptual_roughness == 0.6
    # What programs without the studio's attributes show:
    assert back.material.perceptual_roughness == pytest.approx(0.35)
    assert back.material.metallic == pytest.approx(0.35)


def glb_parts(path: Path) -> tuple[dict[str, Any], bytes]:
    """(JSON, binary chunk), checking the container on the way."""
    blob = path.read_bytes()
    magic, version, length = struct.unpack_from("<4sII", blob)
    assert (magic, version, length) == (b"glTF", 2, len(blob))
    size, kind = struct.unpack_from("<I4s", blob, 12)
    assert kind == b"JSON"
    assert size % 4 == 0
    binary_size, binary_kind = struct.unpack_from("<I4s", blob, 20 + size)
    assert binary_kind == b"BIN\0"
    assert 28 + size + binary_size == len(blob)
    return json.loads(blob[20 : 20 + size]), blob[28 + size :]


def test_glb_structure_is_what_the_specification_asks(tmp_path: Path) -> None:
    export_scene(Scene([rich_mesh(), tetrahedron()]), tmp_path / "a.glb")
    entry, binary = glb_parts(tmp_path / "a.glb")
    assert entry["asset"]["version"] == "2.0"
    assert entry["buffers"] == [{"byteLength": entry["buffers"][0]["byteLength"]}]
    assert 0 <= len(binary) - entry["buffers"][0]["byteLength"] < 4
    sizes = {5121: 1, 5123: 2, 5125: 4, 5126: 4}
    widths = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
    for accessor in entry["accessors"]:
        view = entry["bufferViews"][accessor["bufferView"]]
        assert view["byteOffset"] % 4 == 0
        width = sizes[accessor["componentType"]] * widths[accessor["type"]]
        assert accessor["count"] * width == view["byteLength"]
        assert view["target"] in (34962, 34963)
    for mesh, source in zip(entry["meshes"], (rich_mesh(), tetrahedron()), strict=True):
        position = entry["accessors"][mesh["primitives"][0]["attributes"]["POSITION"]]
        np.testing.assert_array_equal(position["min"], source.vertices.min(axis=0))
        np.testing.assert_array_equal(position["max"], source.vertices.max(axis=0))
    assert entry["materials"][0]["alphaMode"] == "BLEND"
    assert entry["extensionsUsed"] == ["KHR_materials_emissive_strength"]
    assert max(entry["materials"][0]["emissiveFactor"]) == 1.0
    for image in entry["images"]:
        view = entry["bufferViews"][image["bufferView"]]
        assert binary[view["byteOffset"] :][:4] == b"\x89PNG"


def test_vertex_colours_look_right_elsewhere(tmp_path: Path) -> None:
    colors = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.21586, 0.21586, 0.21586]], np.float32)
    mesh = tetrahedron(colors=colors, material=Material(base_color=(1, 1, 1)))
    export_scene(Scene([mesh]), tmp_path / "a.glb")
    entry, binary = glb_parts(tmp_path / "a.glb")
    material = entry["materials"][0]["pbrMetallicRoughness"]
    assert material == {"baseColorFactor": [1, 1, 1, 1], "roughnessFactor": 0.6, "metallicFactor": 0.0}
    accessor = entry["accessors"][entry["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"]]
    view = entry["bufferViews"][accessor["bufferView"]]
    stored = np.frombuffer(binary[view["byteOffset"] :][: view["byteLength"]], np.float32).reshape(-1, 3)
    np.testing.assert_array_equal(stored, colors)  # linear, as glTF wants them
    assert (accessor["componentType"], accessor["type"]) == (5126, "VEC3")
    # OBJ and PLY readers take sRGB: linear 0.21586 is byte 128.
    export_scene(Scene([mesh]), tmp_path / "a.obj")
    line = (tmp_path / "a.obj").read_text().splitlines()[6].split()
    assert [float(v) for v in line[4:]] == pytest.approx([128 / 255] * 3, abs=1e-4)
    export_scene(Scene([mesh]), tmp_path / "a.ply")
    seen = trimesh.load_mesh(tmp_path / "a.ply", process=False).visual.vertex_colors
    assert seen[3, :3].tolist() == [128, 128, 128]


@pytest.mark.parametrize("suffix", [".glb", ".obj", ".ply"])
def test_trimesh_reads_what_we_write(tmp_path: Path, suffix: str) -> None:
    first, second = rich_mesh(), tetrahedron(name="second part")
    second.vertices = second.vertices + np.float32(3)
    export_scene(Scene([first, second]), tmp_path / f"a{suffix}")
    other = trimesh.load_scene(tmp_path / f"a{suffix}", process=False)
    assert sum(len(g.faces) for g in other.geometry.values()) == 8
    np.testing.assert_allclose(other.bounds, [[0, 0, 0], [4, 4.5, 5.25]])
    area = sum(g.area for g in other.geometry.values())
    assert area == pytest.approx(2 * trimesh.Trimesh(first.vertices, first.faces).area, rel=1e-6)


@pytest.mark.parametrize("suffix", [".obj", ".ply"])
def test_obj_and_ply_come_back(tmp_path: Path, suffix: str) -> None:
    mesh = rich_mesh()
    mesh.roughness = np.array([[0.1], [0.2], [0.3], [0.8]], np.float32)
    if suffix == ".ply":
        mesh.material = Material(base_color=(1, 1, 1))
    export_scene(Scene([mesh]), tmp_path / f"a{suffix}")
    back = load_scene(tmp_path / f"a{suffix}").meshes[0]
    np.testing.assert_array_equal(back.vertices, mesh.vertices)
    np.testing.assert_array_equal(back.faces, mesh.faces)
    np.testing.assert_array_equal(back.uvs, mesh.uvs)
    assert mesh.normals is not None
    assert mesh.colors is not None
    np.testing.assert_allclose(back.normals, mesh.normals, atol=2e-7)
    # Bytes of sRGB are at most half a step, 0.0044 of linear light at white, off.
    np.testing.assert_allclose(back.colors, mesh.colors, atol=0.0045 if suffix == ".ply" else 1e-6)
    if suffix == ".ply":
        np.testing.assert_array_equal(back.roughness, mesh.roughness)
    else:
        np.testing.assert_allclose(back.material.base_color, mesh.material.base_color, atol=1e-5)
        assert back.material.perceptual_roughness == pytest.approx(0.35)  # the mean
        np.testing.assert_array_equal(back.material.base_color_texture, mesh.material.base_color_texture)
        orm, given = back.material.orm_texture, mesh.material.orm_texture
        assert orm is not None
        assert given is not None
        np.testing.assert_array_equal(orm[..., 1:], given[..., 1:])


def test_normalisation_is_undone(tmp_path: Path) -> None:
    """A point of the file's world, carried into ours, comes out of the GLB where it was."""
    nerf_capture(tmp_path)
    photos = load_photos(tmp_path)
    points = tetrahedron().vertices + np.float32(0.25)
    ours = tetrahedron()
    ours.vertices = photos.input_to_world.apply(points).astype(np.float32)
    before = ours.vertices.copy()
    export_scene(Scene([ours]), tmp_path / "a.glb", photos.input_to_world.inverse())
    back = load_scene(tmp_path / "a.glb").meshes[0]
    np.testing.assert_allclose(back.vertices, points, atol=1e-6)
    np.testing.assert_array_equal(ours.vertices, before)  # the scene itself is not moved
    expected = tetrahedron()
    expected.vertices = points
    np.testing.assert_allclose(back.normals, expected.vertex_normals(), atol=1e-5)


def test_large_meshes_use_wide_indices(tmp_path: Path) -> None:
    count = 70_000
    vertices = np.random.default_rng(7).random((count, 3)).astype(np.float32)
    faces = np.arange(count - count % 3, dtype=np.int32).reshape(-1, 3)
    export_scene(Scene([Mesh(vertices, faces)]), tmp_path / "a.glb")
    np.testing.assert_array_equal(load_scene(tmp_path / "a.glb").meshes[0].faces, faces)


def test_what_cannot_be_exported(tmp_path: Path) -> None:
    good = Scene([tetrahedron()])
    export_scene(good, tmp_path / "a.glb")
    before = snapshot(tmp_path)
    broken = tetrahedron()
    broken.vertices = broken.vertices * np.float32(np.nan)
    empty = tetrahedron()
    empty.faces = empty.faces[:0]
    far = tetrahedron()
    far.faces = far.faces + 2
    cases = [
        (Scene([broken]), "a.glb", "4 vertices are NaN"),
        (Scene([empty]), "a.glb", "mesh has no faces"),
        (Scene([far]), "a.glb", "names vertex 5"),
        (Scene(), "a.glb", "no mesh to write"),
        (good, "a.fbx", r"unknown kind of mesh '\.fbx', expected \.glb, \.obj, \.ply"),
        (good, "a.glb/b.glb", "a part of its path is a file"),
    ]
    for scene, name, says in cases:
        with pytest.raises(InputError, match=says):
            export_scene(scene, tmp_path / name)
    assert snapshot(tmp_path) == before


FULL_DISK = """
import resource, sys, numpy as np
from studio.core.errors import StudioError
from studio.core.io.export import export_scene
from studio.core.scene import Mesh, Scene
vertices = np.random.default_rng(0).random((3000, 3)).astype(np.float32)
mesh = Mesh(vertices, np.arange(3000, dtype=np.int32).reshape(-1, 3))
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
try:
    export_scene(Scene([mesh]), sys.argv[1])
except StudioError as error:
    print(error)
    sys.exit(error.exit_status)
"""


@pytest.mark.parametrize("suffix", [".glb", ".obj", ".ply"])
def test_a_full_disk_keeps_the_earlier_mesh(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"earlier")
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == WorkError.exit_status, done.stderr
    assert done.stdout.count("\n") == 1
    assert str(path) in done.stdout
    assert path.read_bytes() == b"earlier"
    assert not list(tmp_path.glob(".*"))  # no half-written file is left


def test_a_similarity_is_undone_by_its_inverse() -> None:
    """Export relies on it."""
    turn = Similarity(2.5, np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]), np.array([1.0, 2, 3]))
    points = np.random.default_rng(8).random((5, 3))
    np.testing.assert_allclose(turn.inverse().apply(turn.apply(points)), points, atol=1e-12)


def test_ply_has_the_colours_of_textures_at_its_vertices(tmp_path: Path) -> None:
    picture = np.array([[[1, 0, 0], [0, 1, 0]], [[0, 0, 1], [1, 1, 1]]], np.float32)  # row 0 below
    uvs = np.array([[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 1.25]], np.float32)  # 1.25 wraps
    material = Material(base_color=(1, 1, 1), base_color_texture=picture)
    export_scene(Scene([tetrahedron(uvs=uvs, material=material)]), tmp_path / "a.ply")
    back = load_scene(tmp_path / "a.ply").meshes[0]
    np.testing.assert_allclose(back.colors, [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 0]], atol=1e-6)
