"""Fits that begin with a volume's surface: hollows are open, and runs stay what runs are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from studio.core.errors import Cancelled, InputError
from studio.core.optim.checkpoint import load_checkpoint, save_checkpoint
from studio.core.optim.distance import is_closed
from studio.core.optim.fit import Fit, FitProblem
from studio.core.optim.resume import restore, state_of
from studio.core.optim.settings import FitSettings
from studio.core.scene import Mesh, PhotoSet
from tests.unit.optim_scenes import photograph
from tests.unit.test_optim_isosurface import ball, surface_of, volume_of_distance

SETTINGS = {
    "start": "volume",
    "start_points": 36,
    "start_steps": 120,
    "start_pixels": 64,
    "volume_rays": 2048,
    "hull_resolution": 32,
    "steps": 6,
    "stages": 2,
    "resolution": 64,
    "shading": "unlit",
    "material": "vertices",
    "edge_coarse": 0.1,
    "edge_fine": 0.06,
    "views_per_step": 2,
}


def bowl(points: np.ndarray) -> np.ndarray:
    """A ball of radius 0.5 with a round well, 0.7 wide and 0.35 deep, that many cameras look into."""
    well = np.maximum(np.hypot(points[..., 0], points[..., 2]) - 0.35, -points[..., 1])
    return np.minimum(ball(points), well)


def hollow() -> Mesh:
    """A bowl whose colours tell its places apart."""
    mesh = surface_of(volume_of_distance(bowl), blur=0, smooth=0)
    mesh.colors = (0.15 + 0.6 * (0.5 + 0.5 * np.sin(9 * mesh.vertices))).astype(np.float32)
    return mesh


@pytest.fixture(scope="module")
def photos() -> PhotoSet:
    return photograph(hollow(), count=24, size=64)


@pytest.fixture(scope="module")
def prepared(photos) -> Fit:
    fit = Fit(FitProblem(photos), FitSettings(SETTINGS), "cpu")
    fit.prepare()
    return fit


def volume(mesh: Mesh) -> float:
    return float(trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).volume)


def test_a_hollow_that_no_outline_shows_is_open(photos, prepared):
    mesh = prepared.snapshot().mesh
    hull = Fit(FitProblem(photos), FitSettings(SETTINGS | {"start": "hull"}), "cpu")
    hull.prepare()
    assert is_closed(mesh)
    true, found, closed = volume(hollow()), volume(mesh), volume(hull.snapshot().mesh)
    assert closed > 1.2 * true  # the well is full
    assert found - true < 0.6 * (closed - true)  # what is left is fog of a third of a voxel, all around
    assert any("start: volume at an optical depth" in note for note in prepared.notes)


def test_distances_open_it_too(photos):
    fit = Fit(FitProblem(photos), FitSettings(SETTINGS | {"start": "sdf", "start_steps": 300}), "cpu")
    fit.prepare()
    mesh = fit.snapshot().mesh
    assert is_closed(mesh)
    assert volume(mesh) < 1.17 * volume(hollow())  # 1.2 and more is that of the hull
    assert volume(mesh) > 0.6 * volume(hollow())
    assert any("start: surface of distances" in note for note in fit.notes)
    fit.step()


def test_triangles_never_grow(photos, prepared):
    """All stages ask for larger ones than the volume's surface has; they stay as they are."""
    before = prepared.snapshot().mesh
    edges = np.linalg.norm(
        before.vertices[before.faces] - before.vertices[before.faces[:, [1, 2, 0]]], axis=-1
    )
    assert edges.mean() == pytest.approx(np.ptp(before.vertices, axis=0).max() / 36, rel=0.2)
    prepared.reset()
    while prepared.steps_done < prepared.steps:
        prepared.step()
    np.testing.assert_array_equal(prepared.snapshot().mesh.faces, before.faces)


def test_a_run_goes_on_from_its_checkpoint(photos, prepared, tmp_path):
    prepared.reset()
    for _ in range(3):
        prepared.step()
    save_checkpoint(tmp_path / "state.safetensors", state_of(prepared))
    for _ in range(3):
        prepared.step()
    again = Fit(FitProblem(photos), FitSettings(SETTINGS), "cpu")
    restore(again, load_checkpoint(tmp_path / "state.safetensors", again.device))
    for _ in range(3):
        again.step()
    assert torch.equal(again.variables.differential, prepared.variables.differential)


def test_the_same_photos_give_the_same_start(photos, prepared):
    again = Fit(FitProblem(photos), FitSettings(SETTINGS), "cpu")
    again.prepare()
    np.testing.assert_array_equal(again._start.faces.numpy(), prepared._start.faces.numpy())
    assert torch.equal(again._start.differential, prepared._start.differential)


def test_it_says_how_far_it_is_and_stops_when_told(photos):
    said: list[tuple[float, str]] = []

    def stop() -> bool:
        return any("Fitting the volume" in note for _, note in said)

    fit = Fit(
        FitProblem(photos), FitSettings(SETTINGS), "cpu", lambda share, note: said.append((share, note)), stop
    )
    with pytest.raises(Cancelled):
        fit.prepare()
    shares = [share for share, note in said if "kernels" not in note]
    assert shares == sorted(shares)
    assert 0 < shares[-1] < 0.5


def test_photos_without_masks_are_refused():
    bare = photograph(hollow(), count=3, size=32, masks=False)
    with pytest.raises(InputError, match="mask"):
        Fit(FitProblem(bare), FitSettings(SETTINGS), "cpu").prepare()
