"""Kernels that read a vertex's attributes as one vector: one Warp module per channel count.

A vector is far faster than a loop over channels, but its length is part of the kernel; so there
is a module per channel count, compiled when first asked for.
"""

import threading
from collections.abc import Callable
from types import SimpleNamespace

import warp as wp

MAX_CHANNELS = 13
"""Longest vector: what a full G-buffer holds (position, normal, albedo, two factors, uv)."""

_lock = threading.Lock()
_variants: dict[tuple[str, int], SimpleNamespace] = {}


def groups(channels: int) -> list[tuple[int, int]]:
    """(first, count) of the groups a number of channels is worked off in."""
    return [(c, min(MAX_CHANNELS, channels - c)) for c in range(0, channels, MAX_CHANNELS)]


def variant(name: str, channels: int, make: Callable) -> SimpleNamespace:
    """`module`, and the kernels that make(module, vector type) returns by name; made once.

    Args:
        name: of the kernels' file.
        channels: 1..MAX_CHANNELS.
    """
    with _lock:
        if (name, channels) not in _variants:
            module = wp.get_module(f"{name}_{channels}")
            module.options["enable_backward"] = False
            vec = wp.types.vector(length=channels, dtype=wp.float32)
            _variants[name, channels] = SimpleNamespace(module=module, **make(module, vec))
        return _variants[name, channels]


def corner_adder(vec: type) -> Callable:
    """The function (array [N, V], n, t, a, b, c) that adds to the three vertices of a triangle."""

    @wp.func
    def add(total: wp.array2d(dtype=vec), n: wp.int32, t: wp.vec3i, to_0: vec, to_1: vec, to_2: vec):
        wp.atomic_add(total, n, t[0], to_0)
        wp.atomic_add(total, n, t[1], to_1)
        wp.atomic_add(total, n, t[2], to_2)

    return add


def dot_product(vec: type) -> Callable:
    """The function (a, b) that multiplies two such vectors and adds up.

    Spelled out, because with wp.dot on four channels the whole loop around it runs four
    times slower (fused_backward at 4 x 256 x 256: 9.4 ms against 2.4).
    """
    length = vec._length_

    @wp.func
    def dot(a: vec, b: vec) -> wp.float32:
        total = a[0] * b[0]
        for i in range(1, wp.static(length)):
            total += a[i] * b[i]
        return total

    return dot
