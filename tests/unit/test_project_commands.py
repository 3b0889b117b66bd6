"""The command line on projects: fit, render, compare, export."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from studio.cli import _run
from studio.core.io.meshes import load_scene
from studio.core.project import Effects, load_project, save_project
from studio.core.project_photos import ASSETS
from studio.core.scene.camera import framing_camera
from tests.needs import need

SMALL = ("--steps", "2", "--resolution", "32", "--start", "sphere", "--texture-steps", "0", "--device", "cpu")


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str]:
    """(exit status, stdout and stderr)."""
    status = _run([str(arg) for arg in args])
    out = capsys.readouterr()
    return status, out.out + out.err


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos, and a project that `fit` left."""
    folder = tmp_path_factory.mktemp("fitted")
    shutil.copytree(ASSETS / "demo", folder / "duck")
    project = folder / "duck.studio"
    arguments = ["fit", folder / "duck", "--out", folder / "out", *SMALL, "--save-project", project]
    assert _run([str(a) for a in arguments]) == 0
    return folder


def test_fit_leaves_a_project_that_fit_goes_on_with(
    fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = load_project(fitted / "duck.studio")
    assert first.run is not None
    assert (first.run.phase, first.run.step, first.run.steps) == ("done", 2, 2)
    assert [row.step for row in first.run.history] == [1, 2]
    assert Path(first.run.checkpoint).is_file()
    assert first.photos is not None
    assert first.photos.reading.max_size == 32
    assert first.run.snapshot is not None
    assert first.scene.meshes[0].vertices is first.run.snapshot.mesh.vertices
    assert first.scene.lighting.sh is first.run.snapshot.lighting.sh, "light that moved is the result, too"
    # The settings of the project hold; --start mesh takes its mesh.
    again = tmp_path / "again.studio"
    status, said = run(
        capsys, "fit", fitted / "duck.studio", "--out", tmp_path / "out", "--start", "mesh", "--steps", "3",
        "--save-project", again, "--device", "cpu",
    )  # fmt: skip
    assert status == 0, said
    second = load_project(again)
    assert second.settings["resolution"] == 32
    assert second.settings["start"] == "mesh"
    assert second.run is not None
    assert second.run.steps == 3


def test_photos_that_moved_are_asked_for(
    fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lonely = tmp_path / "lonely.studio"
    project = load_project(fitted / "duck.studio")
    assert project.photos is not None
    save_project(replace(project, photos=project.photos.moved(tmp_path / "nowhere")), lonely)
    status, said = run(capsys, "fit", lonely, "--out", tmp_path / "out")
    assert status == 2
    assert "photos are not in" in said
    assert "--photos" in said
    assert said.count("\n") == 1
    status, said = run(capsys, "fit", lonely, "--out", tmp_path / "out", "--photos", tmp_path / "void")
    assert status == 2
    assert "void" in said
    status, said = run(
        capsys, "fit", lonely, "--out", tmp_path / "out", "--photos", fitted / "duck", "--steps", "1"
    )
    assert status == 0, said
    status, said = run(capsys, "fit", fitted / "duck", "--out", tmp_path / "out", "--photos", fitted / "duck")
    assert status == 2


def test_render_shows_the_view_of_a_project(
    fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    need("gl")
    project = load_project(fitted / "duck.studio")
    seen = framing_camera(project.scene.bounds(), 64, 64, azimuth=70)
    on = {name: name == "pbr" for name in project.effects.on}
    path = tmp_path / "viewed.studio"
    save_project(replace(project, camera=seen, effects=Effects(project.effects.values, on)), path)
    from PIL import Image

    def picture(*arguments: object) -> np.ndarray:
        out = tmp_path / "out.png"
        status, said = run(capsys, "render", *arguments, "--out", out, "--size", "64x64")
        assert status == 0, said
        with Image.open(out) as image:
            return np.asarray(image)

    mesh = tmp_path / "own.studio"
    save_project(replace(project, camera=None, effects=Effects()), mesh)
    assert np.array_equal(picture(path), picture(mesh, "--camera", "70,20", "--effects", "pbr"))
    assert not np.array_equal(picture(path), picture(mesh, "--camera", "20,20", "--effects", "pbr"))


def test_compare_takes_the_two_sets_of_a_project(
    fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    need("gl")
    out = tmp_path / "compare.png"
    status, said = run(capsys, "compare", fitted / "duck.studio", "--out", out, "--size", "64x48")
    assert status == 2
    assert "--b: expected the effects of picture B" in said
    project = load_project(fitted / "duck.studio")
    other = Effects(project.effects.values, {**project.effects.on, "ssao": True})
    path = tmp_path / "two.studio"
    save_project(replace(project, other=other), path)
    status, said = run(capsys, "compare", path, "--out", out, "--size", "64x48")
    assert status == 0, said
    assert out.is_file()


def test_export_undoes_the_normalisation(
    fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "duck.ply"
    status, said = run(capsys, "export", fitted / "duck.studio", "--out", out)
    assert status == 0, said
    project = load_project(fitted / "duck.studio")
    assert project.photos is not None
    assert project.photos.world is not None
    expected = project.photos.world.inverse().apply(project.scene.meshes[0].vertices)
    np.testing.assert_allclose(load_scene(out).meshes[0].vertices, expected, atol=1e-5)


def test_what_is_no_project_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.studio"
    bad.write_bytes(b"PK and nothing else")
    for command in ("fit", "render", "export", "turntable"):
        out = tmp_path / {"fit": "out", "render": "a.png", "export": "a.glb", "turntable": "a.gif"}[command]
        status, said = run(capsys, command, bad, "--out", out)
        assert status == 2
        assert said.count("\n") == 1
        assert "bad.studio" in said
    status, said = run(
        capsys, "fit", ASSETS / "demo", "--out", tmp_path / "out", "--save-project", tmp_path / "a.zip"
    )
    assert status == 2
    assert "expected a file ending in .studio" in said
