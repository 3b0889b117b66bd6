"""`main.py compare`: two effect sets, their difference, and path tracing beside them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from studio.cli import _run
from studio.compare import chosen_photo, compare_sheet, difference, drawn_background
from studio.core.errors import InputError
from studio.core.io.images import save_png
from studio.core.pipeline import render_image
from studio.options import chosen_effects, open_scene, scene_camera


def test_difference_of_equal_pictures_is_nothing() -> None:
    a = np.random.default_rng(0).random((5, 7, 3)).astype(np.float32)
    found = difference(a, a)
    assert (found.mean, found.largest, found.psnr) == (0.0, 0.0, 100.0)
    assert found.map.max() < 0.01


def test_difference_counts_every_pixel() -> None:
    a = np.zeros((10, 10, 3), np.float32)
    b = a.copy()
    b[0, 0] = 0.5
    found = difference(a, b)
    assert found.mean == pytest.approx(0.005)
    assert found.largest == 0.5
    assert found.psnr == pytest.approx(-10 * np.log10(0.0025))
    assert found.map[0, 0].sum() > 1 > found.map[5, 5].sum() + 0.9


def test_sheet_shows_both_and_the_reference() -> None:
    a, b, c = (np.full((20, 30, 3), v, np.float32) for v in (0.2, 0.4, 0.3))
    page, found = compare_sheet(a, b, ("one", "two"))
    larger, more = compare_sheet(a, b, ("one", "two"), c)
    assert list(found) == ["A - B"]
    assert list(more) == ["A - B", "A - reference", "B - reference"]
    assert larger.shape[0] > page.shape[0] + 20
    assert more["A - reference"].mean == pytest.approx(0.1, abs=1e-6)


def test_reference_is_drawn_over_the_environment_that_is_seen() -> None:
    scene = open_scene(Path("balls"))
    camera = scene_camera(scene, None, 24, 18)
    sets = [chosen_effects(names, {}) for names in ("pbr", "pbr,environment:exposure=1")]
    seen = drawn_background(scene, camera, *sets)
    assert seen is not None
    picture = render_image(scene, camera, sets[1])
    empty = picture[..., 3] == 0
    assert empty.sum() > 20
    np.testing.assert_allclose(seen[empty], picture[empty][:, :3], rtol=1e-5)
    assert drawn_background(scene, camera, sets[0]) is None
    hidden = chosen_effects("pbr,environment:show_background=false", {})
    assert drawn_background(scene, camera, hidden) is None


def test_parameters_after_a_colon() -> None:
    chosen = chosen_effects("pbr,tonemap:exposure=1.5", {"tonemap-exposure": -1.0})
    assert set(chosen) == {"pbr", "tonemap"}
    assert chosen["tonemap"]["exposure"] == 1.5
    with pytest.raises(InputError, match="tonemap:exposure: expected tonemap:PARAMETER=VALUE"):
        chosen_effects("tonemap:exposure", {})


def test_command_writes_a_sheet(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "sheet.png"
    sets = ["--a", "", "--b", "pbr", "--renderer", "diff", "--size", "48x36"]
    assert _run(["compare", "demo", *sets, "--out", str(out)]) == 0
    assert out.stat().st_size > 1000
    assert "A - B: mean 0.0" in capsys.readouterr().out
    assert _run(["compare", "demo", *sets, "--out", str(tmp_path / "sheet.exr")]) == 2
    assert _run(["compare", "demo", "--a", "pbr", "--b", "nothing", "--out", str(out)]) == 2


def test_two_pictures_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    first, second, small, out = (tmp_path / f"{name}.png" for name in ("first", "second", "small", "out"))
    grey = np.full((24, 32, 3), 0.2, np.float32)
    save_png(first, grey)
    brighter = grey.copy()
    brighter[:12] = 0.4
    save_png(second, brighter)
    save_png(small, grey[:10])
    assert _run(["compare", str(first), str(second), "--out", str(out)]) == 0
    line = capsys.readouterr().out.splitlines()[0]
    # sRGB 124 and 170 of 255 in half of the pixels
    assert line.startswith("A - B: mean 0.0902")
    assert f"{-10 * np.log10(0.5 * (46 / 255) ** 2):.1f} dB" in line
    assert "SSIM 0." in line
    assert "FLIP 0." in line
    assert out.stat().st_size > 1000
    assert _run(["compare", str(first), str(first), "--out", str(out)]) == 0
    assert "100.0 dB, SSIM 1.0000, FLIP 0.0000" in capsys.readouterr().out
    assert _run(["compare", str(first), str(small), "--out", str(out)]) == 2
    assert "expected the size of first.png, 32x24 but is 32x10" in capsys.readouterr().err
    assert _run(["compare", str(first), str(second), "--photos", str(tmp_path), "--out", str(out)]) == 2
    assert _run(["compare", "demo", "--out", str(out)]) == 2
    assert "or --photos, or a second picture" in capsys.readouterr().err


def _capture(folder: Path) -> tuple[Path, Path]:
    """A mesh in coordinates of its own, and what two cameras see of it, in the same ones."""
    from studio.core.io.export import export_scene
    from studio.core.scene import Camera, Material, Mesh, Scene, look_at
    from studio.core.scene.shapes import icosphere

    ball = icosphere(3, 0.6)
    shift = np.array([10.0, 4.0, -3.0])
    mesh = Mesh(ball.vertices + np.float32(shift), ball.faces, material=Material(base_color=(0.7, 0.3, 0.1)))
    frames = []
    for i, eye in enumerate(((0.0, 0.4, 4.0), (4.0, 0.4, 0.3), (-2.0, 1.0, -3.0))):
        pose = look_at(np.array(eye) + shift, shift)
        camera = Camera(48, 40, 50.0, 50.0, 24.0, 20.0, pose, 0.1, 10.0)
        save_png(folder / f"{i}.png", render_image(Scene(meshes=[mesh]), camera, {}))
        frames.append({"file_path": f"{i}.png", "transform_matrix": pose.tolist()})
    numbers = {"w": 48, "h": 40, "fl_x": 50.0, "fl_y": 50.0, "cx": 24.0, "cy": 20.0}
    (folder / "transforms.json").write_text(json.dumps({**numbers, "frames": frames}))
    export_scene(Scene(meshes=[mesh]), folder / "ball.glb")
    return folder / "ball.glb", folder / "transforms.json"


def test_a_render_is_compared_with_the_photo_of_its_camera(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    mesh, photos = _capture(tmp_path)
    out = tmp_path / "out.png"
    command = [
        "compare",
        str(mesh),
        "--photos",
        str(photos),
        "--a",
        "",
        "--renderer",
        "diff",
        "--out",
        str(out),
    ]
    for view in ("0", "1", "2"):
        assert _run([*command, "--view", view]) == 0
        line = next(li for li in capsys.readouterr().out.splitlines() if li.startswith("A - B"))
        decibel = float(line.split(" dB")[0].split()[-1])
        assert decibel > 40, line  # 8 bits of a file, and where cameras were orthonormalised
    assert _run([*command, "--view", "nine"]) == 2
    assert "--view nine: expected one of 0, 1, 2" in capsys.readouterr().err
    assert _run([*command, "--b", "pbr"]) == 2


def test_photos_are_chosen_by_name_before_number() -> None:
    from tests.unit.gl_common import camera, photo_set

    photos = photo_set([camera(), camera()])
    photos.photos[0].name, photos.photos[1].name = "1", "left"
    assert chosen_photo(photos, None).name == "1"
    assert chosen_photo(photos, "1").name == "1"
    assert chosen_photo(photos, "left").name == "left"
    with pytest.raises(InputError, match="--view 7: expected one of 1, left, or 0 to 1"):
        chosen_photo(photos, "7")
