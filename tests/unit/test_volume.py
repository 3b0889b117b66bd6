"""Volumes as data: what the values mean, files of them, and files that are none."""

from __future__ import annotations

import numpy as np
import OpenEXR
import pytest
from PIL import Image

from studio.cli import _run
from studio.core.errors import InputError
from studio.core.io.images import load_image
from studio.core.io.volumes import load_volume, save_volume
from studio.core.scene import Similarity, Volume
from studio.core.scene.environment import sh_basis


def some_volume(degree: int = 1, seed: int = 0) -> Volume:
    random = np.random.default_rng(seed)
    count = (degree + 1) ** 2
    return Volume(
        random.normal(4, 3, (4, 5, 6)).astype(np.float32),
        random.normal(0, 1, (4, 5, 6, count, 3)).astype(np.float32),
        np.array([-0.5, 0.25, 1.0]),
        0.25,
        base_voxel=0.5,
        name="some",
        world_to_input=Similarity(2.0, np.eye(3)[[1, 2, 0]], np.array([1.0, 2.0, 3.0])),
    )


def test_values_stand_at_the_corners_of_voxels():
    volume = some_volume()
    np.testing.assert_allclose(volume.high, [0.25, 1.25, 2.25])
    points = volume.points()
    np.testing.assert_allclose(points[0, 0, 0], volume.low)
    np.testing.assert_allclose(points[-1, -1, -1], volume.high)
    np.testing.assert_allclose(points[1, 2, 3], volume.low + 0.25 * np.array([1, 2, 3]))
    extinction, _ = volume.sample(points)
    np.testing.assert_allclose(extinction, volume.optical_density(), rtol=1e-6)


def test_extinction_is_softplus_per_base_voxel():
    volume = some_volume()
    expected = np.log1p(np.exp(volume.density.astype(np.float64) - 5.0)) / 0.5
    np.testing.assert_allclose(volume.optical_density(), expected, rtol=1e-5)
    for extinction in (1e-6, 0.3, 50.0, 5000.0):
        assert volume.extinction_of(volume.value_of(extinction)) == pytest.approx(extinction, rel=1e-5)
    with pytest.raises(InputError, match="positive"):
        volume.value_of(0.0)


def test_values_between_points_are_interpolated_before_they_are_squashed():
    volume = some_volume(degree=2)
    direction = np.array([0.6, 0.0, 0.8])
    point = volume.low + 0.25 * np.array([1.5, 2.0, 3.25])
    value = 0.375 * (volume.density[1, 2, 3] + volume.density[2, 2, 3])
    value += 0.125 * (volume.density[1, 2, 4] + volume.density[2, 2, 4])
    color = 0.375 * (volume.colors[1, 2, 3] + volume.colors[2, 2, 3])
    color += 0.125 * (volume.colors[1, 2, 4] + volume.colors[2, 2, 4])
    extinction, radiance = volume.sample(point, direction)
    assert extinction == pytest.approx(volume.extinction_of(value), rel=1e-5)
    expected = 1 / (1 + np.exp(-sh_basis(direction, 3) @ color))
    np.testing.assert_allclose(radiance, expected**2, rtol=1e-5)
    outside, _ = volume.sample(volume.high + 0.01, direction)
    assert outside == 0


@pytest.mark.parametrize("degree", [0, 1, 2])
def test_a_file_gives_the_volume_back(tmp_path, degree):
    volume = some_volume(degree)
    save_volume(volume, tmp_path / "a.safetensors")
    again = load_volume(tmp_path / "a.safetensors")
    assert again.degree == degree
    assert again.name == "some"
    np.testing.assert_array_equal(again.density, volume.density)
    np.testing.assert_array_equal(again.colors, volume.colors)
    np.testing.assert_array_equal(again.low, volume.low)
    assert (again.voxel, again.base_voxel) == (0.25, 0.5)
    point = np.array([0.1, 0.2, 0.3])
    np.testing.assert_array_equal(again.world_to_input.apply(point), volume.world_to_input.apply(point))


def test_files_that_are_no_volumes_are_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match=r"a\.safetensors.*expected a volume"):
        load_volume(path)
    save_volume(some_volume(), path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"a\.safetensors.*expected a volume"):
        load_volume(path)
    with pytest.raises(InputError, match=r"b\.safetensors"):
        load_volume(tmp_path / "b.safetensors")


def test_a_file_is_drawn_and_turned(tmp_path, capsys):
    volume = some_volume()
    volume.density[1:3, 1:4, 1:5] = 20.0
    path = tmp_path / "a.safetensors"
    save_volume(volume, path)
    size = ("--size", "40x30", "--device", "cpu")
    assert _run(["render", str(path), "--out", str(tmp_path / "a.exr"), *size, "--transparent"]) == 0
    assert _run(["render", str(path), "--out", str(tmp_path / "a.png"), *size]) == 0
    with OpenEXR.File(str(tmp_path / "a.exr")) as file:
        image = np.asarray(file.channels()["RGBA"].pixels)
    assert image[15, 20, 3] > 0.99
    assert image[0, 0, 3] == 0
    assert (image[..., :3] <= image[..., 3:] + 1e-5).all()  # premultiplied, and no colour is above 1
    picture = load_image(tmp_path / "a.png")[::-1]
    np.testing.assert_allclose(picture[15, 20], image[15, 20, :3], atol=0.01)
    film = str(tmp_path / "a.gif")
    assert _run(["turntable", str(path), "--out", film, "--seconds", "0.2", *size]) == 0
    with Image.open(film) as turned:
        assert turned.n_frames >= 4
    capsys.readouterr()
    assert _run(["render", str(path), "--out", str(tmp_path / "b.png"), "--effects", "pbr"]) == 2
    assert "--effects" in capsys.readouterr().err
    assert _run(["turntable", str(path), "--out", film, "--ssao-radius", "0.2"]) == 2
    assert "--ssao-radius" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"density": np.zeros((4, 5), np.float32)}, "density has shape"),
        ({"colors": np.zeros((4, 5, 6, 2, 3), np.float32)}, "1, 4 or 9"),
        ({"voxel": 0.0}, "voxel is 0"),
        ({"low": np.array([0, np.nan, 0])}, "low is"),
        ({"density": np.full((4, 5, 6), np.nan, np.float32)}, "NaN"),
        ({"density": np.zeros((4, 5, 6))}, "float64, expected float32"),
    ],
)
def test_what_cannot_be_rendered_is_named(change, message):
    volume = some_volume()
    for name, value in change.items():
        setattr(volume, name, value)
    with pytest.raises(InputError, match=message):
        volume.check("here")
