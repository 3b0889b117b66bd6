"""Mesh files in: the real ones with their counts, small ones to the last value, damaged ones."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from PIL import Image

from studio.core.errors import InputError
from studio.core.io import limits
from studio.core.io.export import export_scene
from studio.core.io.meshes import load_scene
from studio.core.scene import Scene
from tests.io.helpers import tetrahedron, write_json
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


def gltf(folder: Path, change: Callable[[dict[str, Any]], Any] | None = None) -> Path:
    """A triangle as .gltf with an external buffer; `change` edits the JSON before it is written."""
    positions = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], np.float32).tobytes()
    (folder / "a.bin").write_bytes(positions + struct.pack("<3H", 0, 1, 2))
    entry: dict[str, Any] = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": {}}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5123, "count": 3, "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteLength": 36},
            {"buffer": 0, "byteOffset": 36, "byteLength": 6},
        ],
        "buffers": [{"uri": "a.bin", "byteLength": 42}],
    }
    if change is not None:
        change(entry)
    write_json(folder / "a.gltf", entry)
    return folder / "a.gltf"


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

    scene = load_scene(gltf(tmp_path, change))
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

    mesh = load_scene(gltf(tmp_path, change)).meshes[0]
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
    mesh = load_scene(gltf(folder, change), notes).meshes[0]
    assert mesh.material.base_color_texture is None
    assert mesh.material.normal_texture is None
    assert mesh.material.emissive_texture is None
    assert ["gone.png" in n or "leads out" in n or "is absolute" in n for n in notes] == [True] * 3


def accessor(entry: dict[str, Any], index: int, **fields: Any) -> None:
    entry["accessors"][index].update(fields)


GLTF_CASES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no asset": (lambda e: e.pop("asset"), "glTF version none, expected 2.0"),
    "version 1": (lambda e: e["asset"].update(version="1.0"), "glTF version 1.0"),
    "no buffer": (lambda e: e["buffers"][0].update(uri="gone.bin"), r"cannot read .*gone\.bin"),
    "buffer above": (lambda e: e["buffers"][0].update(uri="../a.bin"), "leads out of"),
    "buffer escaped": (lambda e: e["buffers"][0].update(uri="%2e%2e/a.bin"), "leads out of"),
    "buffer absolute": (lambda e: e["buffers"][0].update(uri="file:///etc/passwd"), "is absolute"),
    "buffer short": (lambda e: e["buffers"][0].update(byteLength=400), "truncated .42 of 400 bytes"),
    "buffer bare": (lambda e: e["buffers"][0].pop("uri"), "buffer 0 has no data"),
    "view long": (lambda e: e["bufferViews"][1].update(byteLength=60), "bufferView 1 passes the end"),
    "view negative": (lambda e: e["bufferViews"][1].update(byteOffset=-6), "byteOffset is '-6'"),
    "accessor long": (lambda e: accessor(e, 0, count=4), "POSITION reads past the end"),
    "accessor huge": (lambda e: accessor(e, 0, count=10**15), "reads past the end|million triangles"),
    "accessor kind": (lambda e: accessor(e, 0, type="VEC2"), "type VEC2, which is not possible"),
    "accessor text": (lambda e: accessor(e, 0, count="3"), "count is '3'|expected"),
    "no accessor": (lambda e: e["meshes"][0]["primitives"][0].update(indices=7), r"accessors\[7\] is named"),
    "float indices": (lambda e: e["meshes"][0]["primitives"][0].update(indices=0), "not possible"),
    "no vertices": (lambda e: e["meshes"][0]["primitives"][0].update(attributes={}), "no vertices|accessors"),
    "no mesh": (lambda e: e["nodes"][0].update(mesh=3), r"meshes\[3\] is named but the file has 1"),
    "no faces": (lambda e: accessor(e, 1, count=0), "mesh has no faces"),
    "no meshes": (lambda e: e["nodes"][0].pop("mesh"), "mesh has no faces"),
    "two indices": (lambda e: accessor(e, 1, count=2), "2 indices, expected three per triangle"),
    "node cycle": (lambda e: e["nodes"][0].update(children=[0]), "reached twice"),
    "node scale": (lambda e: e["nodes"][0].update(scale=[1, "a", 1]), "is not 3 numbers"),
    "nodes": (lambda e: e.update(nodes={"a": 1}), "nodes is damaged"),
    "material": (
        lambda e: e["materials"][0]["pbrMetallicRoughness"].update(metallicFactor="x"),
        "not 2 numbers",
    ),
    "wrong structure": (
        lambda e: e["materials"][0].update(pbrMetallicRoughness=[1]),
        "description is damaged",
    ),
    "compressed": (
        lambda e: e.update(extensionsRequired=["KHR_draco_mesh_compression"]),
        "KHR_draco_mesh_compression, which is not supported",
    ),
}


@pytest.mark.parametrize("case", GLTF_CASES)
def test_bad_gltf(tmp_path: Path, case: str) -> None:
    change, text = GLTF_CASES[case]
    with pytest.raises(InputError, match=text) as caught:
        load_scene(gltf(tmp_path, change))
    assert "a.gltf" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_gltf_index_out_of_range_and_nan(tmp_path: Path) -> None:
    path = gltf(tmp_path)
    whole = (tmp_path / "a.bin").read_bytes()
    (tmp_path / "a.bin").write_bytes(whole[:36] + struct.pack("<3H", 0, 1, 3))
    with pytest.raises(InputError, match="a face names vertex 3, expected 0 to 2"):
        load_scene(path)
    (tmp_path / "a.bin").write_bytes(struct.pack("<f", float("nan")) + whole[4:])
    with pytest.raises(InputError, match="1 vertices are NaN or infinite"):
        load_scene(path)


def test_a_truncated_glb_at_every_length(tmp_path: Path) -> None:
    export_scene(Scene([tetrahedron()]), tmp_path / "a.glb")
    whole = (tmp_path / "a.glb").read_bytes()
    for end in range(1, len(whole), 37):
        (tmp_path / "a.glb").write_bytes(whole[:end])
        with pytest.raises(InputError, match=r"a\.glb"):
            load_scene(tmp_path / "a.glb")


PLY = (
    "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
    "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
)
TEXT_CASES = [
    ("a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 4\n", "names vertex 4, expected 1 to 3"),
    ("a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 0 1 2\n", "names vertex 0 or less, expected 1 to 3"),
    ("a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf -1 -2 -9\n", "names vertex 0 or less"),
    ("a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nf 1/1 2/1 3/2\n", "texture coordinate 2, expected 1 to 1"),
    ("a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1//5 2//5 3//5\n", "normal 5, expected 1 to 0"),
    ("a.obj", "v 0 0 0\nv 1 nan 0\nv 0 1 0\nf 1 2 3\n", "1 vertices are NaN"),
    ("a.obj", "v 0 0 0\nv 1 1e99 0\nv 0 1 0\nf 1 2 3\n", "1 vertices are NaN or infinite"),
    ("a.obj", "v 0 0 0\nv 1 x 0\nv 0 1 0\nf 1 2 3\n", "'v' line is damaged"),
    ("a.obj", "v 0 0\nv 1 0\nv 0 1\nf 1 2 3\n", "2 numbers, expected at least 3"),
    ("a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2\n", "2 corners, expected at least 3"),
    ("a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 b\n", "'b' is damaged"),
    ("a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\n", "mesh has no faces"),
    ("a.obj", "nothing", "mesh has no faces"),
    ("a.obj", "", "is empty"),
    ("a.ply", PLY + "0 0 0\n1 0 0\n0 1 0\n3 0 1 5\n", "names vertex 5|damaged"),
    ("a.ply", PLY + "0 0 0\n1 0 0\n0 1 0\n3 0 1 -1\n", "names vertex -1"),
    ("a.ply", PLY + "0 0 0\nnan 0 0\n0 1 0\n3 0 1 2\n", "NaN"),
    ("a.ply", PLY + "0 0 0\n1 0 0\n", "truncated|damaged"),
    ("a.ply", PLY.replace("face 1", "face 0") + "0 0 0\n1 0 0\n0 1 0\n", "no faces"),
    ("a.ply", "ply\nformat ascii", "expected a PLY header"),
    ("a.ply", "nothing", "expected a PLY header"),
    ("a.stl", "solid a\nendsolid a\n", "no faces"),
    ("a.stl", "nothing", "truncated or damaged"),
    ("a.glb", "nothing", "not valid JSON"),
    ("a.gltf", "[]", "expected an object"),
    ("a.gltf", "{", "not valid JSON"),
]


@pytest.mark.parametrize(("name", "content", "says"), TEXT_CASES)
def test_damaged_mesh_files(tmp_path: Path, name: str, content: str, says: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=says) as caught:
        load_scene(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["ply", "stl", "glb"])
def test_truncated_binary_files(tmp_path: Path, suffix: str) -> None:
    source = tetrahedron()
    blob = trimesh.Trimesh(source.vertices, source.faces, process=False).export(file_type=suffix)
    for end in (len(blob) // 3, len(blob) - 3):
        (tmp_path / f"a.{suffix}").write_bytes(blob[:end])
        with pytest.raises(InputError, match=rf"a\.{suffix}"):
            load_scene(tmp_path / f"a.{suffix}")


@pytest.mark.parametrize("name", ["a.pkl", "a.npz", "a.3dxml", "a.blend", "a.py", "a"])
def test_only_known_kinds_are_opened(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x80\x04cos\nsystem\n")
    with pytest.raises(InputError, match=r"expected \.glb, \.gltf, \.obj, \.ply, \.stl"):
        load_scene(tmp_path / name)


def test_places_that_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.obj: no such file"):
        load_scene(tmp_path / "gone.obj")
    (tmp_path / "folder.obj").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        load_scene(tmp_path / "folder.obj")


def test_twenty_million_triangles_are_refused_from_the_header(tmp_path: Path) -> None:
    count = 20_000_000
    with (tmp_path / "a.stl").open("wb") as file:
        file.write(b"\0" * 80 + struct.pack("<I", count))
        file.truncate(84 + 50 * count)  # sparse: takes no disk
    header = PLY.replace("ascii", "binary_little_endian").replace("face 1", f"face {count}")
    with (tmp_path / "a.ply").open("wb") as file:
        file.write(header.encode())
        file.truncate(len(header) + 13 * count)
    (tmp_path / "a.gltf").write_text(
        gltf(tmp_path, lambda e: accessor(e, 1, count=3 * count)).read_text().replace("5123", "5125")
    )
    for name in ("a.stl", "a.ply", "a.gltf"):
        with pytest.raises(InputError, match=r"20\.0 million triangles, expected at most 5 million"):
            load_scene(tmp_path / name)


def test_text_meshes_are_counted_before_they_are_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = "v 0 0 0\nv 1 0 0\nv 0 1 0\n" + "f 1 2 3\n" * 30
    (tmp_path / "a.obj").write_text(body)
    for chunk in (1, 2, 3, 7, 2**24):  # whatever the pieces, each face counts once
        monkeypatch.setattr(limits, "_CHUNK", chunk)
        monkeypatch.setattr(limits, "MAX_TRIANGLES", 30)
        assert len(load_scene(tmp_path / "a.obj").meshes[0].faces) == 30
        monkeypatch.setattr(limits, "MAX_TRIANGLES", 29)
        with pytest.raises(InputError, match="million triangles"):
            load_scene(tmp_path / "a.obj")
    (tmp_path / "a.obj").write_text("f 1 2 3 4 5 6 7\n" + body)
    with pytest.raises(InputError, match="million triangles"):
        load_scene(tmp_path / "a.obj")


def test_a_file_of_gigabytes_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "a.ply").open("wb") as file:
        file.truncate(3 * 2**30)  # sparse: takes no disk
    with pytest.raises(InputError, match=r"3\.0 GB, expected a mesh file below 2 GB"):
        load_scene(tmp_path / "a.ply")
