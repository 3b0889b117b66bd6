"""Stand-ins of large meshes and uploads made beforehand."""

from __future__ import annotations

import gc
from dataclasses import replace

import numpy as np
import pytest
import trimesh

from studio.core.scene import Mesh, Scene
from studio.core.scene.shapes import torus
from studio.gl import upload
from tests.unit.gl_common import PLAIN, camera, context, settle, viewport

__all__ = ["context", "viewport"]  # fixtures


@pytest.fixture
def dense(monkeypatch: pytest.MonkeyPatch) -> Mesh:
    """A torus that counts as large."""
    monkeypatch.setattr(upload, "LARGE", 10_000)
    monkeypatch.setattr(upload, "STAND_IN_CELLS", 3_000)
    return torus(sections=160)


def test_a_stand_in_has_few_triangles_near_the_surface_and_facing_as_it_does(dense: Mesh) -> None:
    faces = upload.stand_in(dense)
    assert len(dense.faces) / 20 < len(faces) < len(dense.faces) / 3
    assert faces.dtype == np.int32
    assert faces.max() < len(dense.vertices)
    assert (np.sort(faces, axis=1)[:, 1:] > np.sort(faces, axis=1)[:, :-1]).all(), "no lines"
    assert len(np.unique(faces, axis=0)) == len(faces)
    few = trimesh.Trimesh(dense.vertices, faces, process=False)
    whole = trimesh.Trimesh(dense.vertices, dense.faces, process=False)
    assert few.volume == pytest.approx(whole.volume, rel=0.05)
    assert few.area == pytest.approx(whole.area, rel=0.05)
    facing = np.einsum("ij,ij->i", few.face_normals, dense.vertex_normals()[faces[:, 0]])
    assert np.mean(facing > 0.5) > 0.97


def test_charts_far_apart_in_the_texture_are_not_joined(dense: Mesh) -> None:
    """Two halves at the same places, painted from two corners of the texture."""
    count = len(dense.vertices)
    both = Mesh(
        np.vstack((dense.vertices, dense.vertices)),
        np.vstack((dense.faces, dense.faces + count)),
        uvs=np.repeat(np.float32([[0.1, 0.1], [0.9, 0.9]]), count, axis=0),
    )
    charts = upload.stand_in(both) // count
    assert (charts == charts[:, :1]).all()
    assert set(charts[:, 0]) == {0, 1}


def test_rows_get_one_number_each_also_beyond_64_bits() -> None:
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 2**40, (50, 4))
    rows = np.vstack((rows, rows[::-1]))
    keys = upload._joined(rows)
    assert len(np.unique(keys)) == 50
    assert (keys[:50] == keys[:49:-1]).all()


def test_prepared_uploads_last_as_long_as_their_mesh_and_its_arrays(dense: Mesh) -> None:
    upload.prepare([dense])
    made = upload.upload_of(dense)
    assert made is upload.upload_of(dense)
    assert made.stand_in is not None
    assert upload.upload_of(replace(dense, name="another")) is not made
    dense.vertices = dense.vertices * 2
    changed = upload.upload_of(dense)
    assert changed.stand_in is None
    assert np.array_equal(changed.attributes["in_position"][1], dense.vertices)
    before = len(upload._prepared)
    del dense
    gc.collect()
    assert len(upload._prepared) <= before


def test_drafts_draw_the_stand_in_and_finished_pictures_the_mesh(dense: Mesh, viewport) -> None:
    upload.prepare([dense])
    cam = camera(eye=(0.0, 1.5, 2.5))

    def picture(mesh: Mesh, **options: bool) -> np.ndarray:
        viewport.set_scene(Scene(meshes=[mesh]))
        return settle(viewport, cam, replace(PLAIN, samples=1, **options))

    whole, draft = picture(dense), picture(dense, draft=True)
    assert 0 < np.abs(draft - whole).mean() < 5, "another mesh that looks the same"
    wires = picture(dense, wireframe=True)
    assert np.array_equal(picture(dense, wireframe=True, draft=True), wires), "wires are the mesh's own"
    small = replace(dense, name="without a stand-in")
    assert np.array_equal(picture(small), whole)
    assert np.array_equal(picture(small, draft=True), whole)
