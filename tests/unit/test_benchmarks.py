"""The benchmarks' own parts: meshes, cases without peers, tables, the generated documentation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks import _docs, primitives, volumes
from benchmarks._models import sphere_of, subdivided_sphere
from benchmarks._primitives_report import Result, page, plot
from studio.core.ops import march


@pytest.mark.parametrize("triangles", [4, 284, 2000])
def test_spheres_have_the_triangles_asked_for(triangles: int) -> None:
    model = sphere_of(triangles)
    assert model.faces.shape == (triangles, 3)
    a, b, c = (model.vertices[model.faces[:, k]] for k in range(3))
    volume = np.einsum("ij,ij->i", np.cross(a, b), c)
    assert (volume > 0).all()  # all outwards, none missing
    edges = np.sort(np.concatenate([model.faces[:, p] for p in ([0, 1], [1, 2], [2, 0])]), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()


def test_a_case_measures_every_call() -> None:
    result = primitives.measure_case(sphere_of(284), 32, None, None, True, seconds=0.0)
    assert {"raster", "draw + gradient", "three ops + gradient", "raster, 1 thread"} <= set(result.walls)
    assert all(len(wall) >= 3 and min(wall) > 0 for wall in result.walls.values())


def test_both_sides_of_the_volume_benchmark_see_the_same() -> None:
    grid = volumes.shape(24).grid
    _, _, origins, directions = volumes.some_rays(200)
    eager = volumes.Eager(grid, grid.density[None, None], grid.colors.flatten(3).permute(3, 0, 1, 2)[None])
    ours = march(grid, origins, directions, 0.05)
    theirs = march(eager, origins, directions, 0.05, box=grid.box)
    assert float((ours[1] > 0.5).float().mean()) > 0.2
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def results() -> list[Result]:
    names = ("raster", "Mesa", "Mesa + copy", "draw", "draw + gradient", "three ops + gradient")
    names += ("DEODR", "DEODR + gradient")
    return [
        Result(f"sphere {t}", t, size, {n: [2.0 + i, 9.0, 0.0] for i, n in enumerate(names)})
        for t in (284, 5120)
        for size in (256, 512)
    ]


def test_tables_and_picture(tmp_path) -> None:
    soft = [Result("sphere 5k", 5120, 64, {"draw": [1.0], "draw + gradient": [2.0]})]
    text = page(results(), soft)
    assert "| sphere 284 | 2.0 (0.67 · 0.50) | 2.0 (0.67 · 0.50) |" in text
    assert "| sphere 5120 | 6.0 (0.67) | 6.0 (0.67) |" in text
    assert "| sphere 5k | 64² | 1.0 | 2.0 |" in text
    plot(results(), soft, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 10_000


def test_documentation_is_replaced_between_markers(tmp_path) -> None:
    file = tmp_path / "page.md"
    file.write_text("before\n<!-- a -->\nold\n<!-- /a -->\nafter\n", "utf-8")
    _docs.put("a", "new \\1", file)
    assert file.read_text("utf-8") == "before\n<!-- a -->\nnew \\1\n<!-- /a -->\nafter\n"
    with pytest.raises(RuntimeError, match="no <!-- b -->"):
        _docs.put("b", "new", file)
    for name in ("primitives", "gradients", "volumes", "volume fit"):
        assert f"<!-- {name} -->" in (_docs.FOLDER / "benchmarks.md").read_text("utf-8")


def test_models_fit_the_frame() -> None:
    model = subdivided_sphere(2)
    assert np.linalg.norm(model.vertices, axis=1).max() == pytest.approx(1.0, abs=1e-6)
    assert model.tri.shape == (320, 3)
