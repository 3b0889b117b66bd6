"""Place, turn and scale of a mesh as numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from studio.core.scene.shapes import cube
from studio.ui.panels.transform import changed, middle, placement, rotation_matrix
from studio.ui.scene_actions import TIPS


def test_numbers_go_on_from_each_other() -> None:
    """Turned there and back the mesh is as before, bit for bit, as everything starts from one base."""
    start = cube()
    turned = changed(start, "rotation", (30.0, 0.0, 0.0))
    again = changed(turned, "rotation", (0.0, 0.0, 0.0))
    assert placement(turned).rotation == (30.0, 0.0, 0.0)
    assert np.allclose(again.vertices, start.vertices, atol=1e-7)
    wide = changed(turned, "scale", (2.0, 1.0, 1.0))
    assert placement(wide).rotation == (30.0, 0.0, 0.0)
    assert np.ptp(wide.vertices[:, 0]) == pytest.approx(2 * np.ptp(start.vertices[:, 0]))
    moved = changed(wide, "position", (5.0, -1.0, 0.5))
    assert middle(moved) == pytest.approx([5.0, -1.0, 0.5], abs=1e-6)
    assert placement(wide).scale == (2.0, 1.0, 1.0), "an undone mesh keeps its numbers"


def test_a_mesh_of_other_origin_starts_anew() -> None:
    moved = replace(changed(cube(), "rotation", (30.0, 0.0, 0.0)))
    assert placement(moved).rotation == (0.0, 0.0, 0.0)
    assert placement(moved).position == pytest.approx(tuple(middle(moved)))


def test_turns_are_about_fixed_axes() -> None:
    quarter = rotation_matrix((90.0, 0.0, 90.0))
    assert quarter @ [0, 1, 0] == pytest.approx([0, 0, 1])  # about X to +Z, where Z leaves it
    assert quarter @ [1, 0, 0] == pytest.approx([0, 1, 0])
    normals = changed(cube(), "rotation", (0.0, 90.0, 0.0))
    assert np.linalg.norm(normals.vertex_normals(), axis=1) == pytest.approx(1.0)


def test_tips_are_quarter_turns_and_back_stands_up_what_has_z_up() -> None:
    for rows in TIPS.values():
        assert np.linalg.det(np.array(rows)) == pytest.approx(1)
    assert (np.array(TIPS["back"]) @ (0, 0, 1)).tolist() == [0, 1, 0]
    for way, against in (("back", "forward"), ("left", "right")):
        np.testing.assert_array_equal(np.array(TIPS[way]) @ np.array(TIPS[against]), np.eye(3))
