"""What of the light a fit carries through untouched."""

from __future__ import annotations

import numpy as np
import torch

from studio.core.optim.variables import Variables
from studio.core.scene import Light, Lighting
from studio.core.scene.shapes import icosphere


def variables(lighting: Lighting) -> Variables:
    return Variables.create(
        icosphere(1), np.zeros(3), 1.0, lighting, "world", (0.0, 0.0, 0.0), 3, 10.0, torch.device("cpu")
    )


def test_what_does_not_move_stays() -> None:
    spot = Light("spot", direction=(0, 1, 0), position=(1, 2, 3), size=0.2, shadow=False)
    lighting = Lighting([spot]).with_environment(np.full((8, 16, 3), 0.5, np.float32))
    made = variables(lighting)
    tensors = made.lighting()
    assert tensors.kind.tolist() == [2]
    assert tensors.axis.tolist() == [[0, 1, 0]]
    assert tensors.casts == (False,)
    assert tensors.environment is not None
    assert tensors.vector is made.light_vector  # the leaves are what is optimised
    out = made.scene_lighting()
    assert out.lights[0].kind == "spot"
    assert out.lights[0].position == (1.0, 2.0, 3.0)
    assert out.environment is lighting.environment


def test_a_fitted_sky_replaces_the_map() -> None:
    made = variables(Lighting().with_environment(np.full((8, 16, 3), 0.5, np.float32)))
    with torch.no_grad():
        made.sh[0] += 0.1
    assert made.scene_lighting().environment is None
