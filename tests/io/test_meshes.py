"""Mesh files in: the real ones with their counts, small ones to the last value."""

from __future__ import annotations

import base64
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from PIL import Image

from studio.core.errors import InputError
from studio.core.io.meshes import load_scene
from tests.io.helpers import gltf_triangle, tetrahedron
from tests.needs import data

# Triangles as the files state them; vertices after splitting at uv seams and normals.
REAL = [
    ("meshes/spot/spot.obj", [(3225, 5856)], {"base_color_texture"}),
    ("meshes/bob/bob_tri.obj", [(5647, 10688)], {"base_color_texture"}),
    ("meshes/cow.glb", [(3225, 5856)], {"base_color_texture"}),
    ("meshes/BoxTextured.glb", [(24, 12)], {"base_color_texture"}),
    ("meshes/Duck.glb", [(2399, 4212)], {"base_color_texture"}),
    ("meshes/avocado/avocado.gltf", [(406, 682)], {"base_color_texture", "orm_texture", "normal_texture"}),
    ("meshes/stanford-bunny.obj", [(35947, 69451)], set()),
    ("meshes/nefertiti.obj", [(49971, 99938)], set()),
    ("meshes/fandisk.obj", [(6475, 12946)], set()),
    ("meshes/suzanne.obj", [(507, 968)], set()),
    ("fitting/softras/sphere_1352.obj", [(1352, 2700)], set()),
    ("fitting/hand/hand.obj", [(526, 1048)], set()),
    (
        "meshes/helmet/DamagedHelmet.glb",
        [(14556, 15452)],
        {"base_color_texture", "orm_texture", "normal_texture", "occlusion_texture", "emissive_texture"},
    ),
]


@pytest.mark.parametrize(("name", "counts", "textures"), REAL, ids=[r[0] for r in REAL])
def test_real_meshes(name: str, counts: list[tuple[int, int]], textures: set[str]) -> None:
    notes: list[str] = []
    scene = load_scene(data(name), notes)
    assert [(len(m.vertices), len(m.faces)) for m in scene.meshes] == counts
    assert notes == []
    for mesh in scene.meshes:
        assert mesh.vertices.dtype == np.float32
        assert mesh.faces.dtype == np.int32
        assert {
            k for k, v in vars(mesh.material).items() if k.endswith("texture") and v is not None
        } == textures
        assert (mesh.uvs is not None) == bool(textures)
        normals = mesh.vertex_normals()
        np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1.0, atol=1e-4)


def test_real_texture_is_the_right_way_up() -> None:
    """The same cow as OBJ and GLB has the same colour at the same place."""
    obj, glb = (load_scene(data(f"meshes/{n}")).meshes[0] for n in ("spot/spot.obj", "cow.glb"))
    seen = []
    for mesh in (obj, glb):
        texture, uvs = mesh.material.base_color_texture, mesh.uvs
        assert texture is not None
        assert uvs is not None
        size = np.array([texture.shape[1], texture.shape[0]])
        column, row = np.clip((uvs % 1.0 * size).astype(int), 0, size - 1).T
        order = np.lexsort(np.round(np.c_[mesh.vertices, uvs], 4).T)
        seen.append(texture[row, column, :3][order])
    # One is a JPEG of the other: colours agree but for single texels at seams.
    assert np.abs(seen[0] - seen[1]).mean() < 0.02


def test_milk_truck_has_its_parts_in_place() -> None:
    notes: list[str] = []
    scene = load_scene(data("meshes/CesiumMilkTruck.glb"), notes)
    assert sorted(len(m.faces) for m in scene.meshes) == [56, 288, 768, 768, 1744]
    expected = trimesh.load_scene(data("meshes/CesiumMilkTruck.glb")).bounds
    np.testing.assert_allclose(np.array(scene.bounds()), expected, atol=1e-5)
    wheels = [m for m in scene.meshes if len(m.faces) == 768]
    apart = np.abs(wheels[0].vertices.mean(axis=0) - wheels[1].vertices.mean(axis=0))
    assert apart[0] > 1.5  # one mesh, two axles
    assert wheels[0].material is wheels[1].material
    assert any("animations" in note for note in notes)


def test_positions_agree_with_trimesh() -> None:
    for name in ("meshes/avocado/avocado.gltf", "meshes/Duck.glb", "meshes/fandisk.obj"):
        mesh = load_scene(data(name)).meshes[0]
        other = trimesh.load_scene(data(name), process=False, maintain_order=True).to_mesh()
        np.testing.assert_array_equal(mesh.faces, other.faces)
        np.testing.assert_allclose(mesh.vertices, other.vertices, atol=1e-6 * np.abs(mesh.vertices).max())


def test_obj_polygons_seams_colours_and_relative_indices(tmp_path: Path) -> None:
    (tmp_path / "a.obj").write_text(
        "# a comment with mtllib in it\n"
        "v 0 0 0 1 0 0\nv 1 0 0 0 1 0\nv 1 1 0 0 0 1\nv 0 1 0 0.5 0.5 0.5\nv 9 9 9 1 1 1\n"
        "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nvt 0.5 0.5\n"
        "f 1/1 2/2 3/3 4/4\n"
        "v 0.5 2 0 1 1 1\n"
        "f -3/-1 -4/3 \\\n -1/4\n"
    )
    mesh = load_scene(tmp_path / "a.obj").meshes[0]
    assert mesh.uvs is not None
    assert mesh.colors is not None
    # The quad as a fan, then the triangle: vertices 4, 3 and 6 of the file, 4 with another uv.
    corners = mesh.vertices[mesh.faces].tolist()
    assert corners[:2] == [[[0, 0, 0], [1, 0, 0], [1, 1, 0]], [[0, 0, 0], [1, 1, 0], [0, 1, 0]]]
    assert corners[2] == [[0, 1, 0], [1, 1, 0], [0.5, 2, 0]]
    assert mesh.uvs[mesh.faces[2]].tolist() == [[0.5, 0.5], [1, 1], [0, 1]]
    assert mesh.uvs[mesh.faces[1]].tolist() == [[0, 0], [1, 1], [0, 1]]
    assert len(mesh.vertices) == 6  # one is split, one is in no face
    np.testing.assert_allclose(mesh.colors[mesh.faces[1, 2]], 0.21404, atol=1e-5)  # sRGB 0.5


def test_obj_keeps_all_vertices_in_order_where_none_is_split(tmp_path: Path) -> None:
    (tmp_path / "a.obj").write_text("v 3 0 0\nv 9 9 9\nv 1 0 0\nv 0 1 0\nf 4 1 3\n")
    mesh = load_scene(tmp_path / "a.obj").meshes[0]
    assert mesh.vertices[:, 0].tolist() == [3, 9, 1, 0]
    assert mesh.faces.tolist() == [[3, 0, 2]]


def write_materials(folder: Path) -> None:
    Image.fromarray(np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [188, 188, 188]]], np.uint8)).save(
        folder / "my colours.png"
    )
    Image.new("L", (4, 4), 51).save(folder / "rough.png")
    Image.new("L", (2, 2), 204).save(folder / "metal.png")
    (folder / "a.mtl").write_text(
        "newmtl plain\nKd 0.5 0.5 0.5\nKs 1 1 1\nPr 0.25\nPm 1\nKe 2 1 0\nd 0.5\n"
        "newmtl pictures\nKd 1 1 1\nmap_Kd -s 1 1 1 my colours.png\nmap_Pr rough.png\nmap_Pm metal.png\n"
        "newmtl lost\nmap_Kd gone.png\n"
    )
    (folder / "a.obj").write_text(
        "mtllib a.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nvn 0 0 1\n"
        "usemtl plain\nf 1//1 2//1 3//1\nusemtl pictures\nf 1/1/1 2/2/1 3/3/1\nusemtl lost\nf 3 2 1\n"
    )


def test_obj_materials(tmp_path: Path) -> None:
    write_materials(tmp_path)
    notes: list[str] = []
    plain, pictures, lost = load_scene(tmp_path / "a.obj", notes).meshes
    np.testing.assert_allclose(plain.material.base_color, 0.21404, atol=1e-5)
    m = plain.material
    assert (m.perceptual_roughness, m.metallic, m.emissive, m.alpha) == (0.25, 1.0, (2.0, 1.0, 0.0), 0.5)
    assert plain.normals is not None
    assert plain.uvs is None
    texture, orm = pictures.material.base_color_texture, pictures.material.orm_texture
    assert texture is not None
    assert orm is not None
    np.testing.assert_allclose(texture[0, 0], (0, 0, 1))  # bottom left of the picture
    np.testing.assert_allclose(texture[0, 1], 0.50289, atol=1e-5)
    np.testing.assert_allclose(orm, np.broadcast_to((1, 0.2, 0.8), (4, 4, 3)), atol=1e-6)
    assert (pictures.material.perceptual_roughness, pictures.material.metallic) == (1, 1)
    assert pictures.uvs is not None
    assert lost.material.base_color_texture is None
    assert len(notes) == 1
    assert "gone.png" in notes[0]


@pytest.mark.parametrize("name", ["../out.png", "/etc/passwd", "..\\out.png"])
def test_materials_cannot_leave_their_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    Image.new("RGB", (2, 2)).save(tmp_path / "out.png")
    (tmp_path / "out.mtl").write_text("newmtl m\nKd 1 0 0\n")
    (folder / "a.mtl").write_text(f"newmtl m\nmap_Kd {name}\n")
    (folder / "a.obj").write_text("mtllib a.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl m\nf 1 2 3\n")
    notes: list[str] = []
    assert load_scene(folder / "a.obj", notes).meshes[0].material.base_color_texture is None
    assert any(("leads out of" in n or "is absolute" in n) and "map_kd" in n for n in notes)
    (folder / "b.obj").write_text("mtllib ../out.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    with pytest.raises(InputError, match=r"mtllib.*leads out of"):
        load_scene(folder / "b.obj")


def test_ply_colours_and_quads(tmp_path: Path) -> None:
    (tmp_path / "a.ply").write_text(
        "ply\nformat ascii 1.0\nelement vertex 5\nproperty float x\nproperty float y\nproperty float z\n"
        "property uchar red\nproperty uchar green\nproperty uchar blue\n"
        "element face 2\nproperty list uchar int vertex_indices\nend_header\n"
        "0 0 0 255 0 0\n1 0 0 0 255 0\n1 1 0 188 188 188\n0 1 0 0 0 0\n2 2 2 0 0 0\n4 0 1 2 3\n3 0 2 4\n"
    )
    mesh = load_scene(tmp_path / "a.ply").meshes[0]
    assert mesh.colors is not None
    np.testing.assert_allclose(mesh.colors[2], 0.50289, atol=1e-5)
    area = np.linalg.norm(np.cross(*np.diff(mesh.vertices[mesh.faces], axis=1).transpose(1, 0, 2)), axis=1)
    assert len(mesh.faces) == 3
    assert area.sum() / 2 == pytest.approx(1 + 2 * np.sqrt(2) / 2, rel=0.3)
    assert mesh.material.base_color == (1, 1, 1)


@pytest.mark.parametrize("kind", ["stl", "stl_ascii"])
def test_stl_is_welded(tmp_path: Path, kind: str) -> None:
    source = tetrahedron()
    blob = trimesh.Trimesh(source.vertices, source.faces, process=False).export(file_type=kind)
    (tmp_path / "a.stl").write_bytes(blob if isinstance(blob, bytes) else blob.encode())
    mesh = load_scene(tmp_path / "a.stl").meshes[0]
    assert len(mesh.vertices) == 4
    np.testing.assert_array_equal(mesh.vertices[mesh.faces], source.vertices[source.faces])


def test_gltf_nodes_cameras_and_mirrors(tmp_path: Path) -> None:
    half = np.sqrt(0.5)

    def change(entry: dict[str, Any]) -> None:
        entry["nodes"] = [
            {"children": [1, 2], "translation": [10, 0, 0]},
            {"mesh": 0, "rotation": [0, 0, half, half], "scale": [2, 1, 1]},
            {"mesh": 0, "matrix": [-1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 5, 1]},
            {"camera": 0, "translation": [0, 0, 3]},
        ]
        entry["scenes"][0]["nodes"] = [0, 3]
        entry["cameras"] = [
            {"type": "perspective", "perspective": {"yfov": 1.0, "znear": 0.5, "aspectRatio": 2}}
        ]

    scene = load_scene(gltf_triangle(tmp_path, change))
    turned, mirrored = scene.meshes
    np.testing.assert_allclose(turned.vertices, [[10, 0, 0], [10, 2, 0], [9, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(mirrored.vertices, [[10, 0, 5], [9, 0, 5], [10, 1, 5]], atol=1e-6)
    for mesh in scene.meshes:  # both still face +Z: the mirror turned its faces round
        a, b, c = mesh.vertices[mesh.faces[0]]
        assert np.cross(b - a, c - a)[2] > 0
    camera = scene.cameras[0]
    assert camera.width == 2 * camera.height
    assert camera.near == 0.5
    np.testing.assert_allclose(camera.position, [0, 0, 3])


def test_gltf_embedded_strips_sparse_and_quantised(tmp_path: Path) -> None:
    quantised = np.array([[0, 0, 0, 0], [32767, 0, 0, 0], [0, 32767, 0, 0], [32767, 32767, 0, 0]], np.int16)
    blob = quantised.tobytes() + struct.pack("<H", 3) + b"\0\0" + struct.pack("<3h", 0, 0, -32767)

    def change(entry: dict[str, Any]) -> None:
        entry["buffers"] = [
            {"uri": "data:;base64," + base64.b64encode(blob).decode(), "byteLength": len(blob)}
        ]
        entry["bufferViews"] = [
            {"buffer": 0, "byteLength": 32, "byteStride": 8},
            {"buffer": 0, "byteOffset": 32, "byteLength": 2},
            {"buffer": 0, "byteOffset": 36, "byteLength": 6},
        ]
        sparse = {
            "count": 1,
            "indices": {"bufferView": 1, "componentType": 5123},
            "values": {"bufferView": 2},
        }
        accessor = {"bufferView": 0, "componentType": 5122, "normalized": True, "count": 4, "type": "VEC3"}
        entry["accessors"] = [{**accessor, "sparse": sparse}]
        entry["meshes"][0]["primitives"] = [{"attributes": {"POSITION": 0}, "mode": 5}]

    mesh = load_scene(gltf_triangle(tmp_path, change)).meshes[0]
    np.testing.assert_allclose(mesh.vertices, [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, -1]])
    assert mesh.faces.tolist() == [[0, 1, 2], [1, 3, 2]]


def test_a_missing_texture_is_a_note(tmp_path: Path) -> None:
    def change(entry: dict[str, Any]) -> None:
        entry["images"] = [
            {"uri": "gone.png"},
            {"uri": "../secret.png"},
            {"uri": "https://example.org/a.png"},
        ]
        entry["textures"] = [{"source": i} for i in range(3)]
        entry["materials"][0]["pbrMetallicRoughness"]["baseColorTexture"] = {"index": 0}
        entry["materials"][0]["normalTexture"] = {"index": 1}
        entry["materials"][0]["emissiveTexture"] = {"index": 2}

    folder = tmp_path / "in"
    folder.mkdir()
    Image.new("RGB", (2, 2)).save(tmp_path / "secret.png")
    notes: list[str] = []
    mesh = load_scene(gltf_triangle(folder, change), notes).meshes[0]
    assert mesh.material.base_color_texture is None
    assert mesh.material.normal_texture is None
    assert mesh.material.emissive_texture is None
    assert ["gone.png" in n or "leads out" in n or "is absolute" in n for n in notes] == [True] * 3


def test_gltf_parts_are_named_after_node_or_mesh(tmp_path: Path) -> None:
    def two_primitives(entry: dict[str, Any]) -> None:
        entry["meshes"][0]["primitives"] *= 2
        entry["meshes"][0]["name"] = "wheel"
        entry["nodes"] = [{"mesh": 0}, {"mesh": 0, "name": "left"}]
        entry["scenes"] = [{"nodes": [0, 1]}]

    names = [mesh.name for mesh in load_scene(gltf_triangle(tmp_path, two_primitives)).meshes]
    assert names == ["wheel 1", "wheel 2", "left 1", "left 2"]
    assert load_scene(gltf_triangle(tmp_path)).meshes[0].name == "node 0"
