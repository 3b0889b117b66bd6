"""Values of the C++ that the shading kernels are made of, at points of a test's choice."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from typing import Any

import numpy as np
import torch
import warp as wp

from studio.core.kernels import launcher
from studio.core.kernels.brdf import BRDF
from studio.core.kernels.ggx import GGX
from studio.core.kernels.lanes import LANES
from studio.core.kernels.rows import native
from studio.core.kernels.sh import HARMONICS

_LOOP = """
    const int points = values.shape[1], wide = sizeof(F) / sizeof(float);
    for (int k = 0; k < points; k += wide) {
        F in[8], out[25];
        for (int c = 0; c < values.shape[0]; ++c) memcpy(in + c, values.data + c * points + k, sizeof(F));
        BODY
        for (int c = 0; c < results.shape[0]; ++c) memcpy(results.data + c * points + k, out + c, sizeof(F));
    }
"""


@cache
def _kernel(body: str) -> Any:
    @native(LANES + BRDF + GGX + HARMONICS + _LOOP.replace("BODY", body))
    def loop(values: wp.array2d(dtype=float), results: wp.array2d(dtype=float)): ...

    module = wp.get_module(f"{__name__}_{sha256(body.encode()).hexdigest()[:12]}")

    @wp.kernel(enable_backward=False, module=module)
    def evaluate_all(values: wp.array2d(dtype=float), results: wp.array2d(dtype=float)):
        loop(values, results)

    return evaluate_all


def evaluate(body: str, outputs: int, values: np.ndarray) -> np.ndarray:
    """[P, outputs] float64 that the C++ `body` leaves in `out`.

    Args:
        body: statements of lanes (see studio/core/kernels/lanes.py) over in[0], in[1], ...
        values: [P, I], I <= 8.
    """
    points = len(values)
    padded = np.concatenate([values, np.repeat(values[-1:], -points % 8, axis=0)])
    inputs = torch.tensor(padded.T.copy(), dtype=torch.float32)
    results = torch.zeros(outputs, len(padded))
    launcher.launch(_kernel(body), 1, [inputs, results], inputs.device)
    return results.numpy().T[:points].astype(np.float64)


def dfg(nov: np.ndarray | float, alpha: np.ndarray | float) -> np.ndarray:
    """[P, 2] split-sum terms (A, B)."""
    body = "const Dfg d = Dfg::of(in[0], in[1]); out[0] = d.a; out[1] = d.b;"
    return evaluate(body, 2, np.stack(np.broadcast_arrays(np.atleast_1d(nov), alpha), -1))
