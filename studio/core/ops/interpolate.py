"""Interpolation of vertex attributes at the points that rasterize found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any, Literal, cast

import torch
from torch import Tensor

from studio.core.arrival import constant
from studio.core.errors import InputError, ShapeError
from studio.core.kernels import launcher
from studio.core.kernels.channels import groups
from studio.core.kernels.interpolate import DERIVATIVES, PLAIN, WITH_ATTR, WITH_DB, WITH_RAST, kernels
from studio.core.ops import check, fused, recent
from studio.core.ops.deferred import Deferred, whole
from studio.core.ops.rasterize import Drawn
from studio.core.ops.visibility import run_length

# About the nanoseconds that a pixel, and a channel of it, takes a CPU core.
_PER_PIXEL, _PER_CHANNEL = 2.0, 0.5


def _parts(attr: Tensor) -> Iterator[tuple[SimpleNamespace, slice, slice]]:
    """Kernels, channels and derivative channels of each group that is worked off together."""
    for first, count in groups(attr.shape[-1]):
        yield kernels(count), slice(first, first + count), slice(2 * first, 2 * (first + count))


def _worth(rast: Tensor, channels: slice) -> int:
    """Bands for a pass over all pixels."""
    each = _PER_PIXEL + _PER_CHANNEL * (channels.stop - channels.start)
    return launcher.worth(each * rast.numel() / 4)


def _part(tensor: Tensor, channels: slice) -> Tensor:
    """Some channels, the tensor itself if it has no others."""
    whole = channels.stop - channels.start == tensor.shape[-1]
    return tensor if whole else tensor[..., channels]


class _Interpolate(torch.autograd.Function):
    """(values [N, H, W, C], derivatives [N, H, W, 2 C]), either None if the mode leaves it out."""

    reads_deferred = True

    @staticmethod
    def forward(
        ctx: Any,
        attr: Tensor,
        rast: Tensor,
        tri: Tensor,
        rast_db: Tensor,
        known_spans: Tensor | None,
        mode: int,
        drawn: Drawn | None = None,
    ) -> tuple[Tensor | None, Tensor | None]:
        n, height, width, _ = rast.shape
        channels = attr.shape[-1]
        run = run_length(rast.device, max(1, width))
        spans = known_spans
        if spans is None:
            rows = n * height if rast.device.type == "cpu" else 0
            spans = torch.empty(rows, 2, dtype=torch.int32, device=rast.device)
        # A launch needs an array for every argument; one pixel stands for what is not written.
        flat = [
            torch.empty(n * height * width if mode & bit else 1, size, device=rast.device)
            for bit, size in ((PLAIN, channels), (DERIVATIVES, 2 * channels))
        ]
        for kernel, span, pairs in _parts(attr):
            inputs = [launcher.BEGIN, run, _part(attr, span), rast.view(-1, 4), tri, rast_db.view(-1, 4)]
            outputs = [spans, int(known_spans is not None), height * width, mode]
            outputs += [_part(flat[0], span), _part(flat[1], pairs)]
            rows = n * height * width // run
            launcher.launch(kernel.forward, rows, [*inputs, *outputs], rast.device, limit=_worth(rast, span))
        saved = () if drawn is None else (drawn.pos, drawn.keys)
        ctx.readers = None if drawn is None else drawn.readers
        ctx.save_for_backward(attr, rast, tri, rast_db, spans, *saved)
        ctx.set_materialize_grads(False)
        out = flat[0].view(n, height, width, channels) if mode & PLAIN else None
        out_da = flat[1].view(n, height, width, 2 * channels) if mode & DERIVATIVES else None
        return out, out_da

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        attr, rast, tri, rast_db, spans, *drawn = ctx.saved_tensors
        with_attr, with_rast, _, with_db, *_ = ctx.needs_input_grad

        def separately(with_attr: bool = with_attr) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
            values, derivatives = grads
            upstream = (None if values is None else whole(values), derivatives)
            return _pull(attr, rast, tri, rast_db, spans, upstream, (with_attr, with_rast, with_db))

        # Where several gradients of rast are added up, they are wanted pixel by pixel.
        if grads[0] is None or not drawn or (with_rast and ctx.readers.count > 1):
            to_attr, to_rast, to_db = separately()
            return to_attr, to_rast, None, to_db, None, None, None
        image, blended = fused.upstream(grads[0])
        pos, keys = drawn
        wants = (with_rast, with_attr)
        to_pos, to_attr = fused.pull(pos, tri, attr, keys, spans, image, blended, wants)
        if with_rast:
            to_rast = Deferred(rast, to_pos, lambda: cast(Tensor, separately(False)[1]), [attr, rast, image])
        return to_attr, to_rast if with_rast else None, None, None, None, None, None


def _pull(
    attr: Tensor,
    rast: Tensor,
    tri: Tensor,
    rast_db: Tensor,
    spans: Tensor,
    grads: Sequence[Tensor | None],
    wants: tuple[bool, bool, bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of attr, rast and rast_db from those of values and derivatives, as far as wanted."""
    mode = sum(bit for bit, g in zip((PLAIN, DERIVATIVES), grads) if g is not None)
    if not mode:
        return None, None, None
    n, height, width, _ = rast.shape
    run = run_length(rast.device, max(1, width))
    rows = height * width // run
    with_attr, with_rast = wants[0], wants[1] and bool(mode & PLAIN)
    with_db = wants[2] and bool(mode & DERIVATIVES)
    grad_attr = torch.zeros_like(attr) if with_attr else attr
    grad_rast = torch.empty_like(rast) if with_rast else rast
    grad_db = torch.empty_like(rast_db) if with_db else rast_db
    flat = [
        g.contiguous().view(-1, g.shape[-1]) if g is not None else rast.new_empty(1, size)
        for g, size in zip(grads, (attr.shape[-1], 2 * attr.shape[-1]))
    ]
    unit = rows * (n if len(attr) == 1 else 1)
    wanted = WITH_ATTR * with_attr + WITH_RAST * with_rast + WITH_DB * with_db
    for kernel, span, pairs in _parts(attr):
        target = _part(grad_attr, span)
        inputs = [launcher.BEGIN, run, _part(attr, span), rast.view(-1, 4), tri, rast_db.view(-1, 4)]
        fresh = int(span.start == 0)
        upstream = [spans, height * width, mode, wanted, fresh, _part(flat[0], span), _part(flat[1], pairs)]
        scatter = launcher.Scatter(target, unit=unit) if with_attr else target
        outputs = [scatter, grad_rast.view(-1, 4), grad_db.view(-1, 4)]
        launcher.launch(
            kernel.backward,
            n * rows,
            [*inputs, *upstream, *outputs],
            rast.device,
            limit=_worth(rast, span),
            spans=spans,
        )
    return grad_attr if with_attr else None, grad_rast if with_rast else None, grad_db if with_db else None


def _chosen(diff_attrs: object, channels: int) -> list[int] | None:
    """Channels whose derivatives are wanted; None for all of them."""
    if isinstance(diff_attrs, str):
        if diff_attrs != "all":
            raise InputError(
                f"interpolate: diff_attrs must be 'all' or a list of channels, got {diff_attrs!r}"
            )
        return None
    try:
        numbers = [int(c) for c in diff_attrs]  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise InputError(
            f"interpolate: diff_attrs must be 'all' or a list of channels, got {diff_attrs!r}"
        ) from None
    bad = [c for c in numbers if not 0 <= c < channels]
    if bad:
        raise ShapeError(f"interpolate: diff_attrs must be below {channels}, got {bad[0]}")
    return numbers


def interpolate(
    attr: Tensor,
    rast: Tensor,
    tri: Tensor,
    rast_db: Tensor | None = None,
    diff_attrs: Literal["all"] | list[int] | None = None,
) -> tuple[Tensor, Tensor]:
    """Interpolate vertex attributes, perspective-correctly, at the points that rasterize found.

    Args:
        attr: [N, V, C] or [1, V, C] (shared by all images), or [V, C] in range mode; float32.
        rast: [N, H, W, 4] from `rasterize`.
        tri: [T, 3] int32, as given to `rasterize`.
        rast_db: [N, H, W, 4] from `rasterize`; needed for diff_attrs.
        diff_attrs: which channels get screen derivatives: "all", a list of channel numbers,
            or None.
    Returns:
        out: [N, H, W, C], 0 where empty.
        out_da: [N, H, W, 2 len(diff_attrs)] = (dA0/dX, dA0/dY, dA1/dX, ...) per pixel;
            zero channels if no diff_attrs were asked for.
    Gradients:
        To: attr, rast (its u and v), rast_db. Not to z/w and id of rast.
    Raises:
        ShapeError: names the tensor, expected and actual shape, type or device.
    Reference:
        Laine et al. 2020, "Modular Primitives for High-Performance Differentiable Rendering",
        section 3.4.
    """
    op = "interpolate"
    rast = check.tensor(op, "rast", rast, ("N", "H", "W", 4))
    if isinstance(attr, Tensor) and attr.ndim == 2:
        attr = attr[None]
    attr = check.tensor(op, "attr", attr, ("N", "V", "C"), like=rast)
    check.same_batch(op, "attr", attr, rast.shape[0], allow_one=True)
    tri = check.triangles(op, tri, rast)
    if attr.shape[-1] == 0:
        raise ShapeError("interpolate: attr must have at least one channel, got 0")
    spans = recent.find("spans", (rast,))
    chosen = [] if diff_attrs is None else _chosen(diff_attrs, attr.shape[-1])
    drawn = recent.find("drawn", (rast,))
    if drawn is not None:
        drawn.readers.count += 1
        if tri is not drawn.tri or attr.shape[1] != drawn.pos.shape[1]:
            drawn = None
    if chosen == []:
        out, _ = _Interpolate.apply(attr, rast, tri, rast.detach(), spans, PLAIN, drawn)
        return out, out.new_empty(*rast.shape[:3], 0)
    if rast_db is None:
        raise ShapeError("interpolate: diff_attrs needs rast_db, got None")
    rast_db = check.tensor(op, "rast_db", rast_db, tuple(rast.shape), like=rast)
    if chosen is None:
        both: tuple[Tensor, Tensor] = _Interpolate.apply(attr, rast, tri, rast_db, spans, PLAIN | DERIVATIVES)
        return both
    out, _ = _Interpolate.apply(attr, rast, tri, rast.detach(), spans, PLAIN)
    columns = constant(tuple(chosen), torch.int64, attr.device)
    part = attr.index_select(2, columns)
    _, out_da = _Interpolate.apply(part, rast.detach(), tri, rast_db, spans, DERIVATIVES)
    return out, out_da
