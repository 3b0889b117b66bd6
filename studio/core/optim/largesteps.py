"""Large steps: vertices move through a smoothing preconditioner, so that big steps stay smooth.

Nicolet et al. 2021, "Large Steps in Inverse Rendering of Geometry": optimise
u = (I + lambda L) v instead of v, with L the uniform Laplacian, and give Adam one second
moment for all coordinates (`AdamUniform`), so that its steps keep the gradient's direction.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from studio.core.errors import WorkError, describe


def edges_of(faces: np.ndarray) -> np.ndarray:
    """[E, 2] int64 unique undirected edges of [T, 3] faces, lower index first, sorted."""
    pairs = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2).astype(np.int64), axis=1)
    count = int(faces.max()) + 1 if len(faces) else 0
    keys = np.unique(pairs[:, 0] * count + pairs[:, 1])
    return np.stack([keys // max(count, 1), keys % max(count, 1)], axis=1)


def uniform_laplacian(faces: np.ndarray, vertex_count: int) -> sp.csr_matrix:
    """[V, V] float64 combinatorial Laplacian: degree on the diagonal, -1 per edge."""
    edges = edges_of(faces)
    ones = np.ones(len(edges))
    upper = sp.coo_matrix((ones, (edges[:, 0], edges[:, 1])), shape=(vertex_count, vertex_count))
    adjacency = upper + upper.T
    degree = np.asarray(adjacency.sum(axis=1)).ravel()
    return (sp.diags(degree) - adjacency).tocsr()


class _Solve(torch.autograd.Function):
    """v = (I + lambda L)^-1 u; the matrix is symmetric, so the gradient is the same solve."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, steps: LargeSteps) -> Tensor:
        ctx.steps = steps
        return steps.solve(u)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.steps.solve(gradient.contiguous()), None


class LargeSteps:
    """The map between vertices v and their differential coordinates u = (I + lambda L) v.

    Args:
        faces: [T, 3] int.
        vertex_count: V; unused vertices are left as they are.
        smoothness: lambda, >= 0; 0 makes u and v the same.
        device: where u and v live. Factorised once, by cholespy, on CPU or CUDA.
    Raises:
        WorkError: the factorisation failed.
    """

    def __init__(
        self, faces: np.ndarray, vertex_count: int, smoothness: float, device: torch.device | str = "cpu"
    ):
        self.faces = faces
        self.vertex_count = vertex_count
        self.smoothness = float(smoothness)
        device = torch.device(device)
        matrix = (
            sp.identity(vertex_count) + self.smoothness * uniform_laplacian(faces, vertex_count)
        ).tocoo()
        self._matrix = torch.sparse_coo_tensor(
            torch.from_numpy(np.stack([matrix.row, matrix.col]).astype(np.int64)),
            torch.from_numpy(matrix.data.astype(np.float32)),
            (vertex_count, vertex_count),
            check_invariants=False,
        ).to(device).coalesce()  # fmt: skip
        self._solver = None
        if self.smoothness > 0:
            self._solver = _factorise(matrix, device)

    def to_differential(self, vertices: Tensor) -> Tensor:
        """[V, 3] u of [V, 3] vertices; no gradient."""
        with torch.no_grad():
            return torch.sparse.mm(self._matrix, vertices) if self._solver else vertices.clone()

    def from_differential(self, u: Tensor) -> Tensor:
        """[V, 3] vertices of [V, 3] u. Gradients: to u."""
        return _Solve.apply(u, self) if self._solver else u

    def solve(self, right_side: Tensor) -> Tensor:
        """(I + lambda L)^-1 of [V, 3] float32, without gradient."""
        if self._solver is None:
            return right_side.clone()
        out = torch.empty_like(right_side)
        self._solver.solve(right_side.detach(), out)
        return out


def _factorise(matrix: sp.coo_matrix, device: torch.device) -> Any:
    from cholespy import CholeskySolverF, MatrixType

    rows = torch.from_numpy(matrix.row.astype(np.int32)).to(device)
    columns = torch.from_numpy(matrix.col.astype(np.int32)).to(device)
    values = torch.from_numpy(matrix.data.astype(np.float64)).to(device)
    try:
        return CholeskySolverF(matrix.shape[0], rows, columns, values, MatrixType.COO)
    except (RuntimeError, ValueError) as error:
        raise WorkError(f"large steps: cannot factorise the Laplacian: {describe(error)}") from None


def smooth_vertices(vertices: np.ndarray, faces: np.ndarray, smoothness: float) -> np.ndarray:
    """[V, 3] float32: one implicit smoothing step, (I + lambda L)^-1 v.

    Desbrun et al. 1999, "Implicit Fairing". It also shrinks, the more the coarser the mesh:
    a ball of 7,000 vertices by 0.5 % with lambda 1.
    """
    if smoothness <= 0 or len(faces) == 0:
        return vertices.astype(np.float32)
    steps = LargeSteps(faces, len(vertices), smoothness)
    return steps.solve(torch.from_numpy(np.ascontiguousarray(vertices, dtype=np.float32))).numpy()


class AdamUniform(torch.optim.Optimizer):
    """Adam whose second moment is one number per tensor: its largest element.

    With it every coordinate of u is scaled alike, which keeps the smoothness of the step
    (Nicolet et al. 2021, section 3.3).
    """

    def __init__(self, params: Any, lr: float = 1e-2, betas: tuple[float, float] = (0.9, 0.999)):
        super().__init__(params, {"lr": lr, "betas": betas})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["step"] = 0
                    state["mean"] = torch.zeros_like(parameter)
                    state["square"] = torch.zeros_like(parameter)
                state["step"] += 1
                state["mean"].lerp_(parameter.grad, 1 - beta1)
                state["square"].mul_(beta2).addcmul_(parameter.grad, parameter.grad, value=1 - beta2)
                correction1 = 1 - beta1 ** state["step"]
                correction2 = 1 - beta2 ** state["step"]
                largest = (state["square"].max() / correction2).sqrt_().clamp_min_(1e-30)
                parameter.sub_(state["mean"] / largest, alpha=group["lr"] / correction1)
