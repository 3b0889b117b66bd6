"""What can be wrong with a mesh file: each is one line that names it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trimesh

from studio.core.errors import InputError
from studio.core.io import limits
from studio.core.io.export import export_scene
from studio.core.io.meshes import load_scene
from studio.core.scene import Scene
from tests.io.helpers import gltf_triangle, tetrahedron


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
def test_bad_gltf_triangle(tmp_path: Path, case: str) -> None:
    change, text = GLTF_CASES[case]
    with pytest.raises(InputError, match=text) as caught:
        load_scene(gltf_triangle(tmp_path, change))
    assert "a.gltf" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_gltf_index_out_of_range_and_nan(tmp_path: Path) -> None:
    path = gltf_triangle(tmp_path)
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
        gltf_triangle(tmp_path, lambda e: accessor(e, 1, count=3 * count)).read_text().replace("5123", "5125")
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


def test_text_meshes_are_weighed_against_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\n" + "f 1 2 3\n" * 30)
    monkeypatch.setattr(limits, "machine_memory", lambda: 30 * 800)
    with pytest.raises(InputError, match=r"need .* GB, this machine has .* save it as \.glb"):
        load_scene(tmp_path / "a.obj")


def test_a_file_of_gigabytes_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "a.ply").open("wb") as file:
        file.truncate(3 * 2**30)  # sparse: takes no disk
    with pytest.raises(InputError, match=r"3\.0 GB, expected a mesh file below 2 GB"):
        load_scene(tmp_path / "a.ply")
