"""The Utah teapot of Martin Newell's Bezier patches (1975), with two cups and saucers.

The teapot's control points are Newell's in Blinn's squat proportions and with Blinn's bottom
(Crow 1987, "The Origins of the Teapot", IEEE CG&A 7(1)). Body and lid are given by the rows of
control points in one meridian: a patch's quarter circle has (1, 0), (1, k), (k, 1), (0, 1).
Where the patches leave holes (rim, lid, ends of handle and spout) flat caps make solids of them.
"""

from __future__ import annotations

import numpy as np
from solids import bezier_curve, joined, moved, patch, revolved, solid, tube

from studio.core.scene import Material, Mesh

CIRCLE, KNOB = 0.56, 0.5625
# (radius, height) of the rows, patch after patch; the last row of one is the first of the next.
BODY = (
    *((1.4, 2.4), (1.3375, 2.53125), (1.4375, 2.53125), (1.5, 2.4)),
    *((1.75, 1.875), (2.0, 1.35), (2.0, 0.9), (2.0, 0.45), (1.5, 0.225), (1.5, 0.15)),
    *((1.5, 0.075), (1.425, 0.0), (0.0, 0.0)),
)
LID = ((0.0, 3.15), (0.8, 3.15), (0.0, 2.85), (0.2, 2.7), (0.4, 2.55), (1.3, 2.55), (1.3, 2.4))
# One half (y <= 0) of handle and spout: rows of (inner x, z), (outer x, z), half width.
HANDLE = (
    *((-1.6, 2.025, -1.5, 2.25, 0.3), (-2.3, 2.025, -2.5, 2.25, 0.3), (-2.7, 2.025, -3.0, 2.25, 0.3)),
    *((-2.7, 1.8, -3.0, 1.8, 0.3), (-2.7, 1.575, -3.0, 1.35, 0.3), (-2.5, 1.125, -2.65, 0.9375, 0.3)),
    (-2.0, 0.9, -1.9, 0.6, 0.3),
)
SPOUT = (
    *((1.7, 1.425, 1.7, 0.6, 0.66), (2.6, 1.425, 3.1, 0.825, 0.66), (2.3, 2.1, 2.4, 2.025, 0.25)),
    *((2.7, 2.4, 3.3, 2.4, 0.25), (2.8, 2.475, 3.525, 2.49375, 0.25), (2.9, 2.475, 3.45, 2.5125, 0.15)),
    (2.8, 2.4, 3.2, 2.4, 0.15),
)


def _round(rows: tuple, steps: int, name: str, material: Material) -> Mesh:
    """A solid of revolution of patches, four to a turn."""
    pieces = []
    for first in range(0, len(rows) - 1, 3):
        control = np.zeros((4, 4, 3))
        for i, (radius, height) in enumerate(rows[first : first + 4]):
            k = KNOB if radius == 0.8 else CIRCLE
            control[i] = [(radius * x, height, -radius * y) for x, y in ((1, 0), (1, k), (k, 1), (0, 1))]
        for _ in range(4):
            pieces.append(patch(control, steps))
            control = control[..., (2, 1, 0)] * (1, 1, -1)  # a quarter turn
    return solid(pieces, name, material)


def _half_round(rows: tuple, steps: int, name: str, material: Material) -> Mesh:
    """A tube of patches that are mirrored in the plane of the teapot."""
    pieces = []
    for first in range(0, len(rows) - 1, 3):
        control = np.zeros((4, 4, 3))
        for i, (x0, z0, x1, z1, w) in enumerate(rows[first : first + 4]):
            control[i] = ((x0, z0, 0), (x0, z0, w), (x1, z1, w), (x1, z1, 0))
        points, triangles = patch(control, steps)
        pieces += [(points, triangles), (points * (1, 1, -1), triangles[:, ::-1])]
    return solid(pieces, name, material)


def teapot(material: Material, steps: int = 10) -> list[Mesh]:
    """Body, lid, handle and spout, standing on y = 0; the spout points to +x, 3.15 high."""
    return [
        _round(BODY, steps, "teapot body", material),
        _round(LID, steps, "teapot lid", material),
        _half_round(HANDLE, steps, "teapot handle", material),
        _half_round(SPOUT, steps, "teapot spout", material),
    ]


def cup(material: Material) -> Mesh:
    """A cup on its saucer, standing on y = 0."""
    saucer = ((0.0, 0.0), (0.4, 0.0), (0.6, 0.0), (0.7, 0.0), (0.9, 0.05), (1.1, 0.12), (1.2, 0.2))
    saucer += ((1.24, 0.24), (1.2, 0.26), (1.16, 0.24), (0.9, 0.12), (0.7, 0.08), (0.0, 0.08))
    outer = ((0.0, 0.1), (0.2, 0.1), (0.4, 0.1), (0.45, 0.1), (0.5, 0.14), (0.44, 0.2), (0.5, 0.24))
    inner = ((0.74, 0.4), (0.78, 0.7), (0.82, 0.98), (0.83, 1.02), (0.77, 1.02), (0.76, 0.98))
    inner += ((0.72, 0.7), (0.68, 0.44), (0.45, 0.32), (0.3, 0.26), (0.1, 0.26), (0.0, 0.26))
    bend = np.array(((0.76, 0.86, 0), (1.1, 0.95, 0), (1.35, 0.7, 0), (1.1, 0.5, 0), (1.0, 0.44, 0)))
    bend = np.vstack([bend, ((0.8, 0.44, 0), (0.7, 0.44, 0))])
    parts = [
        solid([revolved(bezier_curve(np.array(saucer), 6), 40)], "saucer", material),
        solid([revolved(bezier_curve(np.array(outer + inner), 6), 40)], "cup", material),
        solid([tube(bezier_curve(bend, 8), 0.055, 12)], "cup handle", material),
    ]
    return joined(parts, "cup")


def tea_set() -> list[Mesh]:
    """Teapot and two cups on y = 0."""
    white = Material("porcelain", (0.82, 0.8, 0.76), perceptual_roughness=0.25)
    blue = Material("blue glaze", (0.08, 0.2, 0.45), perceptual_roughness=0.2)
    red = Material("red glaze", (0.5, 0.06, 0.04), perceptual_roughness=0.2)
    pot = [moved(part, (-0.6, 0.0, -0.5), turn=-20) for part in teapot(white)]
    first = moved(cup(blue), (2.4, 0.0, 1.5), turn=-50)
    second = moved(cup(red), (-1.4, 0.0, 2.6), turn=200)
    first.name, second.name = "blue cup", "red cup"
    return [*pot, first, second]
