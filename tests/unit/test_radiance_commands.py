"""Volumes and Gaussians on the command line: to meshes and back, and into pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studio.cli import _run
from studio.core.io.images import load_image
from studio.core.io.meshes import load_scene
from studio.core.io.splats import save_points
from studio.core.io.volumes import load_volume, save_volume
from studio.core.scene import Similarity
from tests.needs import need
from tests.radiance_scenes import ball, dots
from tests.unit.test_optim_radiance_resume import TINY


def test_a_volume_becomes_a_mesh_and_a_volume_again(tmp_path: Path) -> None:
    """The mesh lies where the photos' files have it; thicker thresholds are smaller."""
    volume, mesh, again = (tmp_path / name for name in ("a.safetensors", "a.ply", "b.safetensors"))
    made = ball()
    made.world_to_input = Similarity(2.0, np.eye(3), np.array([5.0, 0.0, 0.0]))
    save_volume(made, volume)
    assert _run(["export", str(volume), "--out", str(mesh)]) == 0
    found = load_scene(mesh).meshes[0]
    radius = np.linalg.norm(found.vertices - (5, 0, 0), axis=1)
    assert radius.mean() == pytest.approx(0.7, abs=0.04)
    assert _run(["export", str(mesh), "--out", str(again), "--points", "24"]) == 0
    back = load_volume(again)
    place = np.linalg.norm(back.points() - (5, 0, 0), axis=-1)
    dense = back.optical_density() * back.voxel > 0.5
    assert place[dense].max() < 0.7 + 2 * back.voxel
    assert place[~dense].min() > 0.7 - 2 * back.voxel


def test_gaussians_are_rendered(tmp_path: Path) -> None:
    need("gl")
    cloud, out = tmp_path / "dots.ply", tmp_path / "a.png"
    save_points(dots(), cloud)
    assert _run(["render", str(cloud), "--out", str(out), "--size", "40x40"]) == 0
    red, green, _ = load_image(out)[18:22, 18:22].mean(axis=(0, 1))
    assert green > 0.3
    assert red < 0.1


@pytest.mark.parametrize("kind", ["volume", "points"])
def test_what_emits_light_is_turned(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = tmp_path / ("a.safetensors" if kind == "volume" else "a.ply"), tmp_path / "turn.gif"
    if kind == "volume":
        save_volume(ball(), file)
    else:
        save_points(dots(), file)
    flags = ["--out", str(out), "--size", "40x32", "--seconds", "0.2", "--fps", "20"]
    assert _run(["turntable", str(file), *flags]) == 0
    with Image.open(out) as film:
        assert film.size == (40, 32)
        image = np.asarray(film.convert("RGB"), np.float32)
    wanted, other = (0, 1) if kind == "volume" else (1, 0)
    assert image[14:18, 18:22, wanted].mean() > image[14:18, 18:22, other].mean() + 60
    assert image[0, 0].max() < 30, "dark grey beside it"
    assert _run(["turntable", str(file), *flags, "--effects", "pbr"]) == 2
    assert "--effects: what emits light has no surface" in capsys.readouterr().err


def test_a_fit_of_points_is_filmed_and_measured_on_white(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film, out = tmp_path / "run.gif", tmp_path / "out"
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in TINY.items()]
    fit = ["fit", "assets/demo", "--out", str(out), "--representation=points", *flags, "--points-steps=4"]
    assert _run([*fit, "--device=cpu", "--film", str(film)]) == 0
    assert "on white" in capsys.readouterr().out
    with Image.open(film) as frames:
        assert frames.n_frames > 50  # type: ignore[attr-defined]
    assert "PSNR of the whole picture, on white" in (out / "report.html").read_text()


def test_what_cannot_be_done_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cloud = tmp_path / "dots.ply"
    save_points(dots(), cloud)
    assert _run(["render", str(cloud), "--out", str(tmp_path / "a.png"), "--renderer", "diff"]) == 2
    assert "has no mesh" in capsys.readouterr().err
    assert _run(["export", str(cloud), "--out", str(tmp_path / "a.safetensors")]) == 2
    assert "has no mesh" in capsys.readouterr().err
