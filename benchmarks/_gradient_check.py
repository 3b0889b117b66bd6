"""What a gradient is compared with: a four-point central difference in float64 of float32 output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Loss = Callable[[Tensor], Tensor]

LINEAR = "linear"
ROUNDING = "rounding over the step"


@dataclass(frozen=True)
class Case:
    """One differentiable input of one operation in one mode.

    Attributes:
        op: operation and mode, a row of the table.
        input: what is moved.
        value: where the gradient is taken.
        output: the operation as a function of that input alone.
        step: of the difference; large enough that float32 rounding (1e-7 of the output)
            stays small against the slope.
        limit: worst relative error allowed, and `reason` why that much.
        factor: the gradient is to be so many times the difference.
    """

    op: str
    input: str
    value: Tensor
    output: Callable[[Tensor], Tensor]
    step: float
    limit: float
    reason: str
    factor: float = 1.0

    @property
    def name(self) -> str:
        return f"{self.op}: {self.input}"


def random(*shape: int, seed: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def _weights(shape: torch.Size, seed: int = 7) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def finite_difference(loss: Loss, value: Tensor, step: float, entries: list[int]) -> Tensor:
    """Four-point central difference of a scalar loss to some entries of the value."""
    flat = value.detach().clone().view(-1)
    slopes = []
    for entry in entries:
        total = torch.zeros((), dtype=torch.float64)
        for factor, weight in ((1, 8.0), (-1, -8.0), (2, -1.0), (-2, 1.0)):
            moved = flat.clone()
            moved[entry] += factor * step
            # The step that float32 really took, not the one that was asked for.
            total += weight * loss(moved.view_as(value))
        taken = float((flat[entry] + step).double() - flat[entry].double())
        slopes.append(total / (12.0 * taken))
    return torch.stack(slopes)


def worst_error(case: Case, count: int = 48) -> float:
    """Largest error over `count` entries (evenly spread), relative to the largest entry."""
    weights = _weights(case.output(case.value).shape)

    def loss(value: Tensor) -> Tensor:
        with torch.no_grad():
            return (case.output(value).double() * weights).sum()

    value = case.value.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad((case.output(value).double() * weights).sum(), value)
    flat = gradient.double().view(-1) / case.factor
    # The golden ratio spreads entries over all channels, whatever their number.
    entries = (
        ((torch.arange(min(count, len(flat))) * 0.6180339887) % 1.0 * len(flat)).long().unique().tolist()
    )
    if len(flat) <= count:
        entries = list(range(len(flat)))
    slopes = finite_difference(loss, case.value, case.step, entries)
    return float((flat[entries] - slopes).abs().max() / flat.abs().max())


def table(results: list[tuple[Case, float]]) -> str:
    """Markdown: a row per operation and mode, with the worst error to each of its inputs."""
    rows: dict[str, list[tuple[Case, float]]] = {}
    for case, error in results:
        rows.setdefault(case.op, []).append((case, error))
    lines = ["| operation, mode | worst relative error to each input | allowed | |", "|---|---|---|---|"]
    for op, found in rows.items():
        errors = " · ".join(f"{case.input} {error:.0e}" for case, error in found)
        limits = sorted({case.limit for case, _ in found})
        allowed = f"{limits[0]:.0e}" if len(limits) == 1 else f"{limits[0]:.0e} to {limits[-1]:.0e}"
        good = all(error < case.limit for case, error in found)
        lines.append(f"| {op} | {errors} | {allowed} | {'pass' if good else '**FAIL**'} |")
    return "\n".join(lines)
