"""The command `render`: channels in files, environment maps, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import OpenEXR
import pytest

from studio.cli import _run
from studio.core.channels import CHANNELS, aovs
from studio.core.io.images import load_image, save_exr
from studio.gl.aov import layers, picture
from tests.needs import need

SMALL = ("--size", "32x24")


def rendered(out: Path, *args: str, renderer: str = "diff") -> Path:
    assert _run(["render", "cornell", "--out", str(out), "--renderer", renderer, *SMALL, *args]) == 0
    return out


@pytest.mark.parametrize("renderer", ["diff", "gl"])
def test_channels_are_layers_of_one_exr(tmp_path: Path, renderer: str) -> None:
    if renderer == "gl":
        need("gl")
    out = rendered(tmp_path / "a.exr", "--aov", "normal,depth,roughness", renderer=renderer)
    with OpenEXR.File(str(out)) as file:
        found = {name: np.asarray(c.pixels) for name, c in file.channels().items()}
    assert set(found) == {
        *("RGB", "depth.Z", "perceptual_roughness.V", "normal.X", "normal.Y", "normal.Z"),
    }
    middle = {name: v[12, 16] for name, v in found.items()}
    assert 1.0 < middle["depth.Z"] < 6.0
    assert [middle[f"normal.{c}"] for c in "XYZ"] == pytest.approx([0, 0, 1], abs=1e-3)
    assert load_image(out).shape == (24, 32, 3)  # other programs see the picture


def test_channels_are_pictures_beside_the_png(tmp_path: Path) -> None:
    out = rendered(tmp_path / "a.png", "--aov", "normal,shaded")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.color.png", "a.normal.png", "a.png"]
    normal = load_image(tmp_path / "a.normal.png", color=False)
    assert normal[12, 16] == pytest.approx((0.5, 0.5, 1.0), abs=0.01)
    np.testing.assert_allclose(load_image(tmp_path / "a.color.png"), load_image(out), atol=0.02)


def test_an_environment_map_lights_the_scene(tmp_path: Path) -> None:
    sky = np.zeros((8, 16, 3), np.float32)
    sky[..., 2] = 1.0
    save_exr(tmp_path / "sky.exr", sky)
    plain = load_image(rendered(tmp_path / "a.exr"))
    blue = load_image(rendered(tmp_path / "b.exr", "--environment", str(tmp_path / "sky.exr")))
    more = (blue - plain).mean(axis=(0, 1))
    assert more[2] > 0.01
    assert more[:2].max() < 1e-3  # the map takes the place of the scene's own sky


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--aov", "beauty"], "no channel 'beauty'; there are color, albedo"),
        (["--aov", "rgba"], "--aov rgba: cannot be saved"),
        (["--environment", "none.hdr"], "none.hdr"),
    ],
)
def test_what_it_refuses(
    args: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(["render", "cornell", "--out", str(tmp_path / "a.png"), "--renderer", "diff", *args]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("name", aovs())
def test_every_channel_has_a_picture_and_layers(name: str) -> None:
    channel = CHANNELS[name]
    value = np.random.default_rng(0).uniform(0.1, 0.9, (4, 5, channel.size)).astype(np.float32)
    covered = np.ones((4, 5), bool)
    covered[0] = False
    shown = picture(channel, value, covered, (0.1, 0.2, 0.3), [0, 0, 0], [1, 1, 1], lights=2)
    assert shown.shape == (4, 5, 3)
    assert ((shown >= 0) & (shown <= 1)).all()
    outside = ~covered if name != "background" else covered
    assert np.allclose(shown[outside], (0.1, 0.2, 0.3)) == (name not in ("color", "alpha"))
    made = layers(channel, value)
    assert len(made) == channel.size
    assert all(key.startswith(f"{name}.") and v.shape == (4, 5) for key, v in made.items())
