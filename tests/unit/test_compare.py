"""`main.py compare`: two effect sets, their difference, and path tracing beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from studio.cli import _run
from studio.compare import compare_sheet, difference, drawn_background
from studio.core.errors import InputError
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
