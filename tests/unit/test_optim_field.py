"""The field stage: holes open, distances stay distances, and what follows is an ordinary fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from studio.core.ops.tetrahedra import marching_tetrahedra
from studio.core.optim.checkpoint import load_checkpoint, save_checkpoint
from studio.core.optim.distance import is_closed, redistanced, signed_distance, without_floaters
from studio.core.optim.field import FieldVariables
from studio.core.optim.fit import Fit, FitProblem
from studio.core.optim.resume import restore, state_of
from studio.core.scene import Mesh, PhotoSet
from studio.core.scene.mesh import merge
from studio.core.scene.shapes import cube, icosphere
from tests.unit.optim_scenes import coloured_ball, photograph
from tests.unit.test_optim_fit import prepared, run, tiny

FIELD = {"field_steps": 12, "field_resolution": 14, "start": "sphere", "sphere_subdivisions": 2}

RING = {
    "steps": 40,
    "stages": 1,
    "resolution": 64,
    "start": "sphere",
    "sphere_subdivisions": 3,
    "field_resolution": 24,
    "edge_fine": 0.08,
    "holdout": 4,
}


def grid(count: int) -> np.ndarray:
    axis = np.linspace(-1, 1, count)
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)


def torus() -> Mesh:
    nodes = torch.from_numpy(grid(40)).float()
    field = 0.2 - ((nodes[..., :2].norm(dim=-1) - 0.45) ** 2 + nodes[..., 2] ** 2).sqrt()
    found = marching_tetrahedra(field)
    vertices = found.interpolate(found.share(field), nodes).numpy()
    colors = 0.15 + 0.6 * (0.5 + 0.5 * np.sin(4 * vertices))
    return Mesh(vertices, found.faces.numpy(), colors=colors.astype(np.float32))


@pytest.fixture(scope="module")
def photos() -> PhotoSet:
    return photograph(coloured_ball(), count=12, size=48)


def test_a_hole_opens_in_a_ball():
    """A sphere becomes a ring, which no motion of its vertices could make it."""
    fit = prepared(photograph(torus(), count=16, size=64), **RING, field_steps=39, vertices_rate=0.03)
    before = fit.snapshot().mesh
    assert trimesh.Trimesh(before.vertices, before.faces, process=False).euler_number == 2
    mesh = run(fit).result().meshes[0]
    after = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    assert after.is_watertight
    assert after.euler_number == 0
    assert fit.evaluate(fit.holdout).mean("iou") > 0.9


def test_without_the_field_the_ball_stays_a_ball():
    fit = prepared(photograph(torus(), count=16, size=64), **RING)
    mesh = run(fit).result().meshes[0]
    assert trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).euler_number == 2


def test_the_field_hands_over_to_a_mesh_and_resets(photos):
    fit = prepared(photos, **FIELD)
    first = fit.snapshot()
    while fit.steps_done < FIELD["field_steps"]:
        fit.step()
    assert not fit.variables.lasting
    assert fit.snapshot().topology > first.topology
    run(fit)
    assert fit.variables.lasting
    fit.reset()
    np.testing.assert_array_equal(fit.snapshot().mesh.vertices, first.mesh.vertices)


def test_a_field_resumes_bit_for_bit(photos, tmp_path):
    fit = prepared(photos, **FIELD)
    for _ in range(5):
        fit.step()
    save_checkpoint(tmp_path / "a.safetensors", state_of(fit))
    again = Fit(FitProblem(photos), tiny(**FIELD), "cpu")
    restore(again, load_checkpoint(tmp_path / "a.safetensors"))
    one, two = run(fit).snapshot(), run(again).snapshot()
    np.testing.assert_array_equal(one.mesh.vertices, two.mesh.vertices)
    np.testing.assert_array_equal(one.mesh.colors, two.mesh.colors)


def test_an_open_mesh_is_left_to_the_mesh_stages(photos):
    ball = icosphere(2, 0.6)
    fit = Fit(FitProblem(photos, replace(ball, faces=ball.faces[:-1])), tiny(**FIELD | {"start": "mesh"}))
    fit.prepare()
    assert fit.variables.lasting
    assert any("no inside" in note for note in fit.notes)


def test_carving_pulls_what_lies_before_background_inwards(photos):
    far_too_large = replace(photos, object_radius=1.0)
    fit = prepared(far_too_large, **FIELD | {"holdout": 0})
    field = fit.variables
    assert isinstance(field, FieldVariables)
    (targets,) = fit._current_targets().groups
    field.carving(targets, field.box_vertices()).backward()
    assert (field.differential.grad >= 0).all()  # the start sphere is larger than the ball
    assert (field.differential.grad > 0).sum() > 100
    silent = replace(targets, weight=torch.zeros_like(targets.mask))  # such photos see nothing empty
    assert abs(float(field.carving(silent, field.box_vertices()).detach())) < 1e-9
    targets.mask.fill_(1.0)
    assert abs(float(field.carving(targets, field.box_vertices()).detach())) < 1e-9


@pytest.mark.parametrize("shape", ["ball", "box"])
def test_the_distance_to_a_mesh(shape):
    nodes = grid(33)
    mesh = icosphere(4, 0.6) if shape == "ball" else cube(0.9)
    if shape == "ball":
        exact = 0.6 - np.linalg.norm(nodes, axis=-1)
    else:
        over = np.abs(nodes) - 0.45
        exact = -(
            np.linalg.norm(np.maximum(over, 0), axis=-1) + np.minimum(over.max(axis=-1), 0)
        )  # Inigo Quilez's box
    spacing = 2 / 32
    found = signed_distance(mesh.vertices.astype(float), mesh.faces, nodes.reshape(-1, 3), spacing, (33,) * 3)
    limit = 3 * spacing
    assert np.abs(found - exact.clip(-limit, limit)).max() < 0.01


def test_redistancing_keeps_the_level_and_mends_the_slope():
    nodes = grid(33)
    spacing = 2 / 32
    exact = 0.6 - np.linalg.norm(nodes, axis=-1)
    mended = redistanced((3.0 * exact + exact**2).astype(np.float32), spacing)
    near = np.abs(exact) < spacing
    assert np.abs(mended - exact)[near].max() < 0.1 * spacing
    assert ((mended > 0) == (exact > 0)).all()
    assert np.abs(mended - exact.clip(-3 * spacing, 3 * spacing)).max() < spacing


def test_floaters_go_and_large_pieces_stay():
    large, small = icosphere(2, 0.5), icosphere(1, 0.05)
    moved = replace(small, vertices=small.vertices + np.float32(1))
    other = replace(large, vertices=large.vertices - np.float32(1.5))
    kept = without_floaters(merge([large, moved, other]))
    assert len(kept.faces) == 2 * len(large.faces)
    assert is_closed(kept)
