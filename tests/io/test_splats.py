"""Clouds of Gaussians to PLY and back, in the layout that other programs read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from plyfile import PlyData

from studio.core.errors import InputError
from studio.core.io.splats import holds_gaussians, load_points, save_points
from studio.core.scene import Points, Similarity
from studio.core.scene.environment import sh_basis


def cloud(degree: int = 2, count: int = 20) -> Points:
    random = np.random.default_rng(4)
    shapes = ((count, 3), (count, 3), (count, 4), (count,), (count, (degree + 1) ** 2, 3))
    return Points(*(random.normal(size=shape).astype(np.float32) for shape in shapes))


def rotation(seed: int = 1) -> np.ndarray:
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else -q


def colors(points: Points, directions: np.ndarray) -> np.ndarray:
    basis = sh_basis(directions, points.degree + 1)
    return np.asarray(np.einsum("dk,pkc->pdc", basis, points.colors))


def covariances(points: Points) -> np.ndarray:
    w, x, y, z = (points.turns / np.linalg.norm(points.turns, axis=1, keepdims=True)).astype(np.float64).T
    rows = [
        *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    ]
    turned = np.stack(rows, axis=1).reshape(-1, 3, 3) * np.exp(points.log_sizes)[:, None]
    return np.asarray(turned @ turned.transpose(0, 2, 1))


@pytest.mark.parametrize("degree", [0, 1, 2])
def test_a_cloud_comes_back(degree: int, tmp_path: Path) -> None:
    points = cloud(degree)
    save_points(points, tmp_path / "cloud.ply")
    back = load_points(tmp_path / "cloud.ply")
    assert back.degree == degree
    assert back.name == "cloud"
    for name in ("centers", "log_sizes", "opacity_logits", "colors"):
        np.testing.assert_allclose(getattr(back, name), getattr(points, name), rtol=1e-6, err_msg=name)
    np.testing.assert_allclose(covariances(back), covariances(points), rtol=1e-5)


def test_the_file_is_laid_out_as_others_expect(tmp_path: Path) -> None:
    points = cloud(1, 5)
    save_points(points, tmp_path / "cloud.ply")
    vertex = PlyData.read(tmp_path / "cloud.ply")["vertex"].data
    assert list(vertex.dtype.names[:6]) == ["x", "y", "z", "nx", "ny", "nz"]
    assert sum(name.startswith("f_rest_") for name in vertex.dtype.names) == 9
    np.testing.assert_allclose(vertex["f_dc_1"], points.colors[:, 0, 1])
    # Red of orders -1, 0, 1 comes first; orders of odd number carry the Condon-Shortley phase.
    np.testing.assert_allclose(vertex["f_rest_0"], -points.colors[:, 1, 0])
    np.testing.assert_allclose(vertex["f_rest_1"], points.colors[:, 2, 0])
    np.testing.assert_allclose(vertex["f_rest_5"], -points.colors[:, 3, 1])


def test_a_cloud_is_written_where_its_photos_were(tmp_path: Path) -> None:
    points = cloud()
    points.world_to_input = Similarity(2.5, rotation(), np.array([1.0, -2.0, 0.5]))
    save_points(points, tmp_path / "cloud.ply")
    back = load_points(tmp_path / "cloud.ply")
    by = points.world_to_input
    np.testing.assert_allclose(back.centers, by.apply(points.centers), rtol=1e-5, atol=1e-5)
    turned = 2.5**2 * by.rotation @ covariances(points) @ by.rotation.T
    np.testing.assert_allclose(covariances(back), turned, rtol=1e-4, atol=1e-5)
    directions = np.random.default_rng(7).normal(size=(30, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    np.testing.assert_allclose(
        colors(back, directions @ by.rotation.T), colors(points, directions), atol=1e-5
    )


@pytest.mark.parametrize("content", [b"", b"ply\n", b"ply\nformat ascii 1.0\nend_header\n", b"\0" * 64])
def test_what_is_no_cloud_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.ply"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.ply: "):
        load_points(path)


def test_a_mesh_is_refused_by_what_it_lacks(tmp_path: Path) -> None:
    path = tmp_path / "mesh.ply"
    path.write_text(
        "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z\n"
        "end_header\n0 0 0\n"
    )
    with pytest.raises(InputError, match="has no opacity, scale_0"):
        load_points(path)


def test_a_truncated_cloud_is_refused(tmp_path: Path) -> None:
    save_points(cloud(), tmp_path / "cloud.ply")
    whole = (tmp_path / "cloud.ply").read_bytes()
    (tmp_path / "cloud.ply").write_bytes(whole[:-40])
    with pytest.raises(InputError, match="damaged"):
        load_points(tmp_path / "cloud.ply")


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    points = cloud()
    points.centers[3, 1] = np.nan
    with pytest.raises(InputError, match="centers has values that are NaN"):
        save_points(points, tmp_path / "cloud.ply")
    assert not (tmp_path / "cloud.ply").exists()


def test_a_header_tells_gaussians_from_meshes(tmp_path: Path) -> None:
    save_points(cloud(), tmp_path / "cloud.ply")
    assert holds_gaussians(tmp_path / "cloud.ply")
    mesh = "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\nopacity scale_0\n"
    (tmp_path / "mesh.ply").write_text(mesh, encoding="utf-8")
    assert not holds_gaussians(tmp_path / "mesh.ply")
    assert not holds_gaussians(tmp_path / "nothing.ply")
    assert not holds_gaussians(tmp_path)


def test_a_few_strays_do_not_widen_the_bounds() -> None:
    points = cloud(0, 1000)
    low, high = points.bounds()
    np.testing.assert_array_equal((low, high), (points.centers.min(axis=0), points.centers.max(axis=0)))
    points.centers[:3] = 500.0
    assert points.bounds()[1].max() < 10.0
    np.testing.assert_array_equal(points.bounds()[0], points.centers.min(axis=0))
