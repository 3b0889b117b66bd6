"""The fit on tiny synthetic photos: it improves, it repeats, it fails honestly."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from studio.core.errors import Cancelled, InputError, WorkError
from studio.core.optim.bake import light_turns_with_camera, sample_photos
from studio.core.optim.fit import Fit, FitProblem
from studio.core.optim.losses import Measured, _ssim_term
from studio.core.optim.rendering import Renderer
from studio.core.optim.settings import FitSettings
from studio.core.optim.targets import Targets
from studio.core.scene import Photo, PhotoSet, Similarity
from studio.core.scene.shapes import icosphere
from tests.unit.optim_scenes import coloured_ball, photograph, ring

TINY = {
    "steps": 30,
    "resolution": 48,
    "stages": 2,
    "hull_resolution": 16,
    "edge_coarse": 0.2,
    "edge_fine": 0.12,
    "shading": "unlit",
    "views_per_step": 3,
    "holdout": 6,
}


@pytest.fixture(scope="module")
def photos() -> PhotoSet:
    return photograph(coloured_ball(), count=12, size=48)


def tiny(**changes) -> FitSettings:
    return FitSettings(TINY | changes)


def prepared(photos: PhotoSet, **changes) -> Fit:
    fit = Fit(FitProblem(photos), tiny(**changes), "cpu")
    fit.prepare()
    return fit


def run(fit: Fit) -> Fit:
    while fit.steps_done < fit.steps:
        fit.step()
    return fit


def test_a_fit_improves_held_out_photos(photos):
    fit = prepared(photos)
    before = fit.evaluate(fit.holdout)
    run(fit)
    after = fit.evaluate(fit.holdout)
    assert after.mean("psnr") > before.mean("psnr") + 1
    assert after.mean("iou") > 0.95


def test_similarity_does_not_count_what_photos_ignore(photos):
    targets = Targets.build(photos.photos, 48)
    weight = torch.ones_like(targets.mask)
    weight[:, :, : weight.shape[2] // 2] = 0
    rgba = torch.rand(*targets.mask.shape, 4, generator=torch.Generator().manual_seed(0))
    changed = torch.where(weight[..., None] > 0, rgba, 1 - rgba)
    stops, background = torch.zeros(len(targets), 3), torch.zeros(3)
    one, other = (
        float(_ssim_term(picture, replace(targets, weight=weight), stops, background))
        for picture in (rgba, changed)
    )
    assert one == other
    assert one != float(_ssim_term(rgba, targets, stops, background))


def test_the_result_is_closed_and_carries_what_was_fitted(photos):
    scene = run(prepared(photos, shading="pbr")).result()
    mesh = scene.meshes[0]
    assert trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).is_watertight
    for values, channels in ((mesh.colors, 3), (mesh.roughness, 1), (mesh.metallic, 1), (mesh.normals, 3)):
        assert values.shape == (len(mesh.vertices), channels)
        assert np.isfinite(values).all()
    assert mesh.material.base_color == (1.0, 1.0, 1.0)


def test_a_sphere_finds_a_silhouette(photos):
    fit = prepared(photos, start="sphere", sphere_subdivisions=2, color_weight=0.0, steps=60, stages=1)
    fit.settings.optimize("vertices")
    first = fit.evaluate(fit.holdout).mean("iou")
    run(fit)
    assert first < 0.9
    assert fit.evaluate(fit.holdout).mean("iou") > 0.95


@pytest.mark.parametrize("shading", ["unlit", "pbr"])
def test_the_same_seed_gives_the_same_mesh(photos, shading):
    first = run(prepared(photos, shading=shading)).snapshot()
    second = run(prepared(photos, shading=shading)).snapshot()
    np.testing.assert_array_equal(first.mesh.vertices, second.mesh.vertices)
    np.testing.assert_array_equal(first.mesh.colors, second.mesh.colors)
    assert first.losses == second.losses


def test_reset_is_exact(photos):
    fit = prepared(photos)
    start = fit.snapshot()
    losses = [fit.step().losses["total"] for _ in range(20)]  # across the change of stage
    fit.reset()
    again = fit.snapshot()
    assert again.step == 0
    np.testing.assert_array_equal(start.mesh.vertices, again.mesh.vertices)
    np.testing.assert_array_equal(start.mesh.faces, again.mesh.faces)
    np.testing.assert_array_equal(start.mesh.colors, again.mesh.colors)
    assert [fit.step().losses["total"] for _ in range(20)] == losses


def test_snapshots_are_not_written_again(photos):
    fit = prepared(photos)
    snapshot = fit.snapshot()
    kept = {name: getattr(snapshot.mesh, name).copy() for name in ("vertices", "faces", "colors")}
    run(fit)
    for name, values in kept.items():
        np.testing.assert_array_equal(getattr(snapshot.mesh, name), values)
    assert fit.snapshot().topology > snapshot.topology  # remeshed on the way


def test_held_groups_stay(photos):
    fit = prepared(photos, stages=1)
    fit.set_group("vertices", False)
    fit.set_group("albedo", False)
    before = fit.snapshot().mesh
    run(fit)
    after = fit.snapshot().mesh
    np.testing.assert_array_equal(before.vertices, after.vertices)
    np.testing.assert_array_equal(before.colors, after.colors)


def test_everything_may_be_held(photos):
    fit = prepared(photos, stages=1, steps=2)
    fit.settings.optimize("")
    assert np.isfinite(run(fit).step().losses["total"])


def test_steps_can_be_extended(photos):
    fit = run(prepared(photos, steps=5, stages=1))
    fit.set_steps(8)
    assert run(fit).steps_done == 8


def test_all_terms_work_together(photos):
    weights = {
        f"{term}_weight": 0.1
        for term in (
            "ssim",
            "laplacian",
            "normal_consistency",
            "edge_length",
            "albedo_smoothness",
            "light_white",
        )
    }
    fit = prepared(photos, shading="pbr", steps=3, stages=1, color_loss="huber", **weights)
    losses = run(fit).step().losses
    assert set(losses) == {
        "total", "color", "mask", "ssim", "laplacian", "normal_consistency", "edge_length",
        "albedo_smoothness", "light_white",
    }  # fmt: skip
    assert losses["total"] == pytest.approx(sum(v for k, v in losses.items() if k != "total"), rel=1e-4)


def test_exposure_is_found_and_its_mean_held(photos):
    bright = [
        Photo(p.name, np.clip(p.image * 2.0 ** (0.5 if i % 2 else -0.5), 0, 1), p.camera, p.mask)
        for i, p in enumerate(photos.photos)
    ]
    fit = prepared(
        PhotoSet(bright, Similarity(), object_radius=0.6), holdout=0, steps=60, stages=1, exposure_rate=0.05
    )
    run(fit)
    stops = np.log2(fit.snapshot().exposure)
    assert stops.mean() == pytest.approx(0, abs=1e-5)
    assert stops[1::2].mean() - stops[::2].mean() == pytest.approx(1.0, abs=0.25)


def test_nan_is_recovered_and_said(photos):
    fit = prepared(photos, stages=1)
    fit.step()
    with torch.no_grad():
        fit.variables.material.shade[0] = float("nan")
    fit.step()
    assert fit.steps_done == 2
    assert np.isfinite(fit.snapshot().mesh.colors).all()
    assert any("step 2" in note and "back to the values of step 0" in note for note in fit.notes)
    assert fit._optimizers["albedo"].param_groups[0]["lr"] == pytest.approx(
        0.5 * fit.settings.rate("albedo"), rel=0.1
    )


def test_what_diverges_again_and_again_fails_with_the_state_kept(photos, monkeypatch):
    fit = prepared(photos, stages=1)
    fit.step()
    good = fit.snapshot().mesh.vertices.copy()
    monkeypatch.setattr("studio.core.optim.one_pass.measure", lambda *_: _nothing_finite())
    with pytest.raises(WorkError, match="not finite at step 2"):
        fit.step()
    assert np.isfinite(fit.snapshot().mesh.vertices).all()
    assert np.abs(fit.snapshot().mesh.vertices - good).max() < 0.1
    assert fit.steps_done == 1
    assert len(fit.notes) >= 4


def _nothing_finite() -> Measured:
    return Measured(torch.tensor(float("nan")), ("total",), torch.tensor([float("nan")] * 2))


def test_a_surface_that_flies_away_is_brought_back(photos):
    fit = prepared(photos, stages=1, steps=100)
    with torch.no_grad():
        fit.variables.differential.mul_(100.0)
    run(fit)
    assert np.abs(fit.snapshot().mesh.vertices).max() < 1.5
    assert any("left the scene" in note for note in fit.notes)


def test_out_of_memory_halves_the_photos_per_step(photos, monkeypatch):
    fit = prepared(photos, stages=1)
    render = Renderer.render
    asked = []

    def small_machine(self, cameras, *rest, **how):
        asked.append(len(cameras.position))
        if len(cameras.position) > 1:
            raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes")
        return render(self, cameras, *rest, **how)

    monkeypatch.setattr(Renderer, "render", small_machine)
    fit.step()
    assert asked == [3, 2, 1]
    assert fit.settings["views_per_step"] == 1
    assert any("out of memory" in note and "on with 1 photo per step" in note for note in fit.notes)


def test_memory_for_not_even_one_photo_is_explained(photos, monkeypatch):
    fit = prepared(photos, stages=1)

    def exhausted(*_, **how):
        raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(Renderer, "render", exhausted)
    with pytest.raises(WorkError, match="out of memory; lower the resolution"):
        fit.step()


def test_preparing_can_be_cancelled(photos):
    calls = []
    fit = Fit(FitProblem(photos), tiny(), "cpu", cancel=lambda: calls.append(1) or len(calls) > 3)
    with pytest.raises(Cancelled):
        fit.prepare()


def test_mesh_start_needs_a_mesh_and_welds_seams(photos):
    with pytest.raises(InputError, match="none was given"):
        Fit(FitProblem(photos), tiny(start="mesh"), "cpu").prepare()
    ball = icosphere(2, 0.6)
    torn = type(ball)(
        ball.vertices[ball.faces].reshape(-1, 3), np.arange(960).reshape(-1, 3).astype(np.int32)
    )
    fit = Fit(FitProblem(photos, torn), tiny(start="mesh", remesh=False), "cpu")
    fit.prepare()
    assert len(fit.snapshot().mesh.vertices) == 162


def test_photos_of_two_formats_are_refused(photos):
    wide = ring(1, 48)[0].resized(96, 48)
    odd = Photo("odd", np.zeros((48, 96, 3), np.float32), wide, np.ones((48, 96), np.float32))
    mixed = PhotoSet([*photos.photos, odd], Similarity(), object_radius=0.6)
    with pytest.raises(InputError, match="sizes are 48x48, 96x48"):
        prepared(mixed)


def test_fit_without_masks(photos):
    bare = photograph(coloured_ball(), count=8, size=48, masks=False)
    fit = prepared(bare, start="sphere", sphere_subdivisions=2, steps=5, stages=1, background_enabled=True)
    losses = run(fit).step().losses
    assert "mask" not in losses
    assert fit.evaluate(fit.holdout).mean("iou") is None


def turntable(fixed_to_camera: bool) -> PhotoSet:
    """Photos of a white ball lit by a lamp that stands still in the world or beside the camera."""
    from studio.core.pipeline import default_effects, render_image
    from studio.core.scene import Light, Lighting, Scene

    lamp = Light(direction=(0.6, 0.5, 0.6), intensity=0.8)
    lighting = Lighting([lamp], fixed_to="camera" if fixed_to_camera else "world")
    scene = Scene(meshes=[icosphere(3, 0.6)], lighting=lighting)
    shots = []
    for camera in ring(16, 64):
        rgba = render_image(scene, camera, {"pbr": default_effects()["pbr"]})
        color = np.ascontiguousarray(rgba[..., :3] / np.maximum(rgba[..., 3:], 1e-3))
        shots.append(Photo(camera.name, color, camera, rgba[..., 3].copy()))
    return PhotoSet(shots, Similarity(), object_radius=0.6)


@pytest.mark.parametrize("fixed_to_camera", [False, True])
def test_light_that_turns_with_the_camera_is_told(fixed_to_camera):
    targets = Targets.build(turntable(fixed_to_camera).photos, 64)
    answer, share = light_turns_with_camera(sample_photos(icosphere(3, 0.6), targets))
    assert answer == fixed_to_camera
    assert share > 0.5 if fixed_to_camera else share < 0.1


@pytest.mark.parametrize("start", ["sphere", "hull"])
def test_the_start_shape_does_not_change_what_light_is_fixed_to(start):
    fit = Fit(FitProblem(turntable(True)), tiny(start=start, shading="pbr", holdout=0), "cpu")
    fit.prepare()
    assert fit.snapshot().lighting.fixed_to == "camera"
    assert "light fixed to the camera" in fit.notes[0]


def test_run_leaves_its_files(photos, tmp_path):
    from studio.core.optim.fitrun import run_fit

    told = []
    metrics = run_fit(
        photos,
        tiny(steps=6),
        tmp_path,
        device="cpu",
        progress=lambda f, note: told.append(note),
        formats=("glb", "obj", "ply"),
    )
    assert json.loads((tmp_path / "metrics.json").read_text())["psnr_holdout"] == metrics["psnr_holdout"]
    assert metrics["iterations"] == 6
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    for name in ("mesh.glb", "loss.png", "shaded.png", "renders/overview.png", "renders/v00.png"):
        assert (tmp_path / name).stat().st_size > 0
    assert any(note.startswith("Optimizing:") for note in told)
    for kind in ("glb", "obj", "ply"):
        loaded = trimesh.load(tmp_path / f"mesh.{kind}", force="mesh")
        assert loaded.is_watertight


def test_a_run_of_no_steps_leaves_the_start(photos, tmp_path):
    from studio.core.optim.fitrun import run_fit

    metrics = run_fit(photos, tiny(steps=0, start_smooth=0.0), tmp_path, device="cpu")
    assert metrics["iterations"] == 0
    assert metrics["psnr_train"] > 10
    assert (tmp_path / "mesh.glb").exists()


def test_a_folder_that_cannot_be_made_is_named(photos, tmp_path):
    from studio.core.optim.fitrun import run_fit

    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file"):
        run_fit(photos, tiny(steps=1), tmp_path / "file" / "out", device="cpu")


def test_an_interrupted_run_leaves_what_it_has(photos, tmp_path, monkeypatch):
    from studio.core.optim.fitrun import run_fit

    step = Fit.step

    def interrupted(self):
        if self.steps_done == 3:
            raise KeyboardInterrupt
        return step(self)

    monkeypatch.setattr(Fit, "step", interrupted)
    metrics = run_fit(photos, tiny(), tmp_path, device="cpu")
    assert metrics["interrupted"]
    assert metrics["iterations"] == 3
    assert (tmp_path / "mesh.glb").exists()
