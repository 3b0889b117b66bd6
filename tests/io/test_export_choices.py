"""What goes into an exported mesh, and what is written beside it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from studio.core.io.export_choices import choices, estimated_bytes, export_chosen, placed, sky_picture
from studio.core.io.images import load_environment
from studio.core.io.meshes import load_scene
from studio.core.scene import Lighting, Material, Scene, Similarity
from studio.core.scene.camera import framing_camera
from studio.core.scene.environment import equirect_directions
from studio.core.scene.shapes import icosphere

TURN = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
"""A quarter turn about +Y."""


def textured() -> Scene:
    ball = icosphere(2)
    image = np.random.default_rng(0).random((64, 32, 3)).astype(np.float32)
    uvs = ball.vertices[:, :2] * 0.5 + 0.5
    colors = np.full_like(ball.vertices, 0.5)
    material = Material(base_color_texture=image, emissive_texture=image)
    return Scene([replace(ball, uvs=uvs, colors=colors, material=material)])


def written(tmp_path: Path, suffix: str, **given: object) -> Scene:
    values = choices()
    for name, value in given.items():
        values.set(name, value)
    path = tmp_path / f"mesh{suffix}"
    assert export_chosen(textured(), path, values, Similarity(), [])[0] == path
    found: Scene = load_scene(path)
    return found


@pytest.mark.parametrize("suffix", [".glb", ".obj"])
def test_textures_are_limited_or_left_out(tmp_path: Path, suffix: str) -> None:
    kept = written(tmp_path, suffix).meshes[0].material.base_color_texture
    assert kept is not None
    assert kept.shape[:2] == (64, 32)
    values = choices()
    values.set("textures", "none")
    bare = written(tmp_path, suffix, textures="none").meshes[0]
    assert not bare.material.textures()
    values.set("textures", "512")
    big = textured()
    big.meshes[0].material.base_color_texture = np.ones((1024, 256, 3), np.float32)
    export_chosen(big, tmp_path / f"big{suffix}", values, Similarity(), [])
    small = load_scene(tmp_path / f"big{suffix}").meshes[0].material.base_color_texture
    assert small.shape[:2] == (512, 128)
    assert np.allclose(small, 1, atol=1e-3)


def test_colours_of_vertices_are_left_out(tmp_path: Path) -> None:
    assert written(tmp_path, ".ply").meshes[0].colors is not None
    assert written(tmp_path, ".ply", vertex_colors=False).meshes[0].colors is None


def test_axis_and_unit(tmp_path: Path) -> None:
    plain = textured().meshes[0].vertices
    moved = written(tmp_path, ".obj", up="z", unit="cm").meshes[0].vertices
    turned = 100 * np.stack([plain[:, 0], -plain[:, 2], plain[:, 1]], axis=1)
    assert sorted(map(tuple, moved.round(2))) == sorted(map(tuple, turned.round(2)))
    capture = Similarity(2.0, TURN, np.array([1.0, 2.0, 3.0]))
    values = choices()
    values.set("unit", "mm")
    assert np.allclose(placed(values, ".ply", capture).apply(plain), 1000 * capture.apply(plain))
    assert np.allclose(placed(values, ".glb", capture).apply(plain), capture.apply(plain)), (
        "glTF is in metres"
    )


def test_light_turns_with_the_mesh() -> None:
    """What the scene has along a direction stands where the turned direction looks."""
    image = np.zeros((32, 64, 3), np.float32)
    lit = equirect_directions(32, 64) @ np.array([0.0, 0.0, -1.0]) > 0.95  # ahead, along -Z
    image[lit] = 1.0
    lighting = Lighting(lights=[]).with_environment(image)
    picture = sky_picture(lighting, TURN)
    bright = equirect_directions(32, 64)[picture[..., 0] > 0.5].mean(axis=0)
    assert np.allclose(bright / np.linalg.norm(bright), TURN @ [0.0, 0.0, -1.0], atol=0.05)
    still = replace(lighting, fixed_to="camera")
    assert np.array_equal(sky_picture(still, TURN), image)


def test_files_beside_the_mesh(tmp_path: Path) -> None:
    values = choices()
    values.set("environment", True)
    values.set("cameras", True)
    scene = textured()
    camera = framing_camera(scene.bounds(), 40, 30)
    files = export_chosen(scene, tmp_path / "a.glb", values, Similarity(), [("one.png", camera)])
    assert [file.name for file in files] == ["a.glb", "a_environment.hdr", "a_cameras.json"]
    frame = json.loads(files[2].read_text())["frames"][0]
    assert (frame["file_path"], frame["w"], frame["h"]) == ("one.png", 40, 30)
    assert np.allclose(frame["transform_matrix"], camera.view_to_world)
    assert load_environment(files[1]).mean() > 0


@pytest.mark.parametrize("suffix", [".glb", ".obj", ".ply"])
def test_sizes_are_known_before(tmp_path: Path, suffix: str) -> None:
    values = choices()
    files = export_chosen(textured(), tmp_path / f"a{suffix}", values, Similarity(), [])
    beside = [p for p in tmp_path.iterdir() if p not in files]
    actual = sum(p.stat().st_size for p in [*files, *beside])
    assert estimated_bytes(textured(), values, suffix) == pytest.approx(actual, rel=0.1)


def test_an_export_that_is_stopped_leaves_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "a.obj"
    path.write_text("earlier")

    def stop(fraction: float, note: str) -> None:
        if fraction > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_chosen(textured(), path, choices(), Similarity(), [], stop)
    assert path.read_text() == "earlier"
