"""Fits on CUDA: they converge as on the CPU, recorded as graphs or not, and their pictures reach OpenGL."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from studio.core.arrival import recorded
from studio.core.optim.fit import Fit, FitProblem
from studio.core.optim.graphs import SETTLED
from studio.core.optim.radiance_live import KINDS, RadianceLive
from studio.core.optim.settings import FitSettings
from studio.core.scene import PhotoSet
from studio.core.scene.shapes import icosphere
from tests.needs import need
from tests.unit.optim_scenes import coloured_ball, photograph

STEPS = 40


def of_two_sizes() -> PhotoSet:
    """Two of three photos have fewer pixels."""
    photos = photograph(coloured_ball(), 6)
    small = photograph(coloured_ball(), 6, 24).photos
    return replace(photos, photos=[small[n] if n % 3 else p for n, p in enumerate(photos.photos)])


def fitted(device: str, graphs: bool, photos: PhotoSet | None = None, **settings) -> tuple[Fit, list[float]]:
    """A fit after STEPS steps, and the losses of all."""
    values = {"steps": STEPS, "resolution": 48, "stages": 1, "views_per_step": 3, "start": "mesh"}
    values |= {"cuda_graphs": graphs, "remesh": False, **settings}
    photos = photos or photograph(coloured_ball(), 6)
    fit = Fit(FitProblem(photos, icosphere(3, 0.5)), FitSettings(values), device)
    fit.prepare()
    losses = []
    while fit.steps_done < fit.steps:
        fit.step()
        losses += [result.losses["total"] for result in fit.take_results()]
    return fit, losses


@pytest.mark.parametrize("graphs", [False, True])
@pytest.mark.parametrize("background", ["fixed", "random", "noise"])
def test_a_fit_converges_as_on_the_cpu(graphs: bool, background: str) -> None:
    need("cuda")
    _, expected = fitted("cpu", False, training_background=background)
    fit, losses = fitted("cuda", graphs, training_background=background)
    assert len(losses) == STEPS
    # Random backgrounds are others on another device; the course of the losses is the same.
    assert np.mean(losses[-8:]) < 0.5 * losses[0]
    assert np.mean(losses[-8:]) == pytest.approx(np.mean(expected[-8:]), rel=0.15)
    if graphs:
        assert fit._pass.graphs.reason == ""
        assert fit._pass.graphs.replayed >= STEPS - 2 * SETTLED - 2


def test_photos_of_several_sizes_are_recorded_each() -> None:
    """Graphs share memory: what one leaves is taken before the next one writes there."""
    need("cuda")
    settings = {"training_background": "fixed", "views_per_step": 4}
    _, expected = fitted("cpu", False, of_two_sizes(), **settings)
    fit, losses = fitted("cuda", True, of_two_sizes(), **settings)
    assert fit._pass.graphs.reason == ""
    assert fit._pass.graphs.recorded == 2
    assert fit._pass.graphs.replayed >= 2 * (STEPS - 2 * SETTLED - 2)
    np.testing.assert_allclose(losses[:10], expected[:10], rtol=0.02)
    assert np.mean(losses[-8:]) == pytest.approx(np.mean(expected[-8:]), rel=0.15)


@contextlib.contextmanager
def waiting_fails() -> Iterator[None]:
    """Here torch raises where the host waits for the GPU."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("rasterizer", ["antialias", "softras", "nmr"])
def test_a_step_waits_for_nothing(rasterizer: str) -> None:
    """As tests/unit/test_cuda_step.py, where torch itself watches."""
    need("cuda")
    values = {"steps": STEPS, "resolution": 48, "stages": 1, "views_per_step": 3, "start": "mesh"}
    values |= {"cuda_graphs": False, "remesh": False, "rasterizer": rasterizer}
    fit = Fit(FitProblem(photograph(coloured_ball(), 6), icosphere(3, 0.5)), FitSettings(values), "cuda")
    fit.prepare()
    for _ in range(3):
        fit.step()
    with waiting_fails():
        for _ in range(5):
            fit._try_step()
            fit.steps_done += 1


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_step_of_radiance_waits_for_nothing(kind: str) -> None:
    """As tests/unit/test_cuda_radiance_step.py, and the snapshot that is then asked for is of that step."""
    need("cuda")
    values = {"representation": kind, "resolution": 48, "hull_resolution": 16, "views_per_step": 3}
    values |= {"volume_resolution": 20, "sdf_resolution": 20, "points_count": 300}
    fit = RadianceLive(FitProblem(photograph(coloured_ball(), 6)), FitSettings(values), "cuda")
    fit.prepare()
    for _ in range(3):
        fit.step()
    with waiting_fails():
        for _ in range(5):
            fit.step()
        fit.snapshot_ready()
        fit.step()
    torch.cuda.synchronize()
    assert fit.snapshot_ready()
    late = fit.snapshot(live=True)
    assert late.step == 8
    found = late.volume or late.points
    assert found is not None
    assert np.isfinite(found.colors).all()


def test_a_snapshot_reaches_opengl_bit_by_bit() -> None:
    need("cuda")
    need("gl")
    from studio.gl.context import headless_context
    from studio.gl.interop import Interop
    from studio.gl.resources import Resources

    fit, _ = fitted("cuda", True)
    snapshot = fit.snapshot(live=True)
    assert snapshot.on_gpu is not None
    with headless_context() as ctx:
        resources = Resources(ctx)
        interop = Interop(resources)
        assert interop.ready(fit.device), interop.reason
        for name, tensor in snapshot.on_gpu.arrays.items():
            buffer = resources.room(tensor.numel() * 4)
            shared = interop.buffer(name, buffer)
            assert shared.write(tensor, snapshot.on_gpu.event)
            assert buffer.read() == getattr(snapshot.mesh, name).tobytes(), name
            shared.release()
        image = torch.rand(64, 48, 4, device=fit.device)
        picture = interop.image("picture")
        texture = picture.write(image, recorded())
        assert picture.by_interop
        assert texture.read(alignment=1) == image.cpu().numpy().tobytes()
        picture.release()
        interop.release()
        resources.release_all()


def test_a_snapshot_that_was_asked_for_is_of_its_step() -> None:
    """Copied where the fit stands, read once that is through, while steps go on."""
    need("cuda")
    fit, _ = fitted("cuda", True)
    expected = fit.snapshot()
    fit.set_steps(STEPS + 10)
    fit.snapshot_ready()
    for _ in range(5):
        fit.step()
    torch.cuda.synchronize()
    assert fit.snapshot_ready()
    late = fit.snapshot(live=True)
    assert late.step == STEPS
    for name in ("vertices", "normals", "colors", "roughness", "metallic"):
        assert np.array_equal(getattr(late.mesh, name), getattr(expected.mesh, name)), name
    assert np.array_equal(late.lighting.sh, expected.lighting.sh)
