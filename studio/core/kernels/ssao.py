"""Ambient occlusion from the depth buffer, its blur, and their adjoints by hand; see ssao_loops."""

from __future__ import annotations

import warp as wp

from studio.core.kernels.rows import native
from studio.core.kernels.ssao_blur_loops import BLUR, BLUR_ADJOINT
from studio.core.kernels.ssao_loops import OCCLUDE, OCCLUDE_ADJOINT

wp.set_module_options({"enable_backward": False})


@native(OCCLUDE)
def occlude_run(
    first: int,
    run: int,
    step: int,
    lens: wp.array(dtype=wp.vec4),
    surface: wp.array4d(dtype=float),
    soft: wp.array3d(dtype=float),
    radius: wp.array(dtype=float),
    bias: float,
    ramp: float,
    offsets: wp.array(dtype=wp.vec3),
    rotation: wp.array(dtype=wp.vec2),
    out: wp.array3d(dtype=float),
): ...


@wp.kernel
def occlude(
    begin: int,
    run: int,
    step: int,
    lens: wp.array(dtype=wp.vec4),
    surface: wp.array4d(dtype=float),
    soft: wp.array3d(dtype=float),
    radius: wp.array(dtype=float),
    bias: float,
    ramp: float,
    offsets: wp.array(dtype=wp.vec3),
    rotation: wp.array(dtype=wp.vec2),
    out: wp.array3d(dtype=float),
):
    """Share of the samples around each covered pixel that lie behind the depth buffer."""
    first = (begin + wp.tid()) * run
    occlude_run(first, run, step, lens, surface, soft, radius, bias, ramp, offsets, rotation, out)


@native(OCCLUDE_ADJOINT)
def occlude_adjoint_run(
    first: int,
    run: int,
    step: int,
    lens: wp.array(dtype=wp.vec4),
    surface: wp.array4d(dtype=float),
    soft: wp.array3d(dtype=float),
    radius: wp.array(dtype=float),
    bias: float,
    ramp: float,
    offsets: wp.array(dtype=wp.vec3),
    rotation: wp.array(dtype=wp.vec2),
    jump: wp.array3d(dtype=float),
    behind: wp.array3d(dtype=float),
    busy: wp.array3d(dtype=wp.uint8),
    grad: wp.array3d(dtype=float),
    g_surface: wp.array4d(dtype=float),
    g_soft: wp.array3d(dtype=float),
    g_radius: wp.array(dtype=float),
): ...


@wp.kernel
def occlude_adjoint(
    begin: int,
    run: int,
    step: int,
    lens: wp.array(dtype=wp.vec4),
    surface: wp.array4d(dtype=float),
    soft: wp.array3d(dtype=float),
    radius: wp.array(dtype=float),
    bias: float,
    ramp: float,
    offsets: wp.array(dtype=wp.vec3),
    rotation: wp.array(dtype=wp.vec2),
    jump: wp.array3d(dtype=float),
    behind: wp.array3d(dtype=float),
    busy: wp.array3d(dtype=wp.uint8),
    grad: wp.array3d(dtype=float),
    g_surface: wp.array4d(dtype=float),
    g_soft: wp.array3d(dtype=float),
    g_radius: wp.array(dtype=float),
):
    """Adds to all three gradients.

    Args:
        jump: depth across the silhouette minus own depth, 0 where there is none.
        behind: the depth across the silhouette where there is a jump.
        busy: 1 where any of the four texels from here to the upper right has a jump.
    """
    first = (begin + wp.tid()) * run
    occlude_adjoint_run(
        first,
        run,
        step,
        lens,
        surface,
        soft,
        radius,
        bias,
        ramp,
        offsets,
        rotation,
        jump,
        behind,
        busy,
        grad,
        g_surface,
        g_soft,
        g_radius,
    )


@native(BLUR)
def blur_run(
    first: int,
    run: int,
    step: int,
    lens: wp.array(dtype=wp.vec4),
    surface: wp.array4d(dtype=float),
    soft: wp.array3d(dtype=float),
    radius: wp.array(dtype=float),
    strength: wp.array(dtype=float),
    occlusion: wp.array3d(dtype=float),
    blurred: wp.array3d(dtype=float),
    total: wp.array3d(dtype=float),
    out: wp.array3d(dtype=float),
): ...


@wp.kernel
def blur(
    begin: int,
    run: int,
    step: int,
    lens: wp.array(dtype=wp.vec4),
    surface: wp.array4d(dtype=float),
    soft: wp.array3d(dtype=float),
    radius: wp.array(dtype=float),
    strength: wp.array(dtype=float),
    occlusion: wp.array3d(dtype=float),
    blurred: wp.array3d(dtype=float),
    total: wp.array3d(dtype=float),
    out: wp.array3d(dtype=float),
):
    """Occlusion averaged over 4 x 4 pixels of one surface, and what light that leaves.

    Args:
        blurred, total: mean occlusion and sum of the weights, for the adjoint.
    """
    first = (begin + wp.tid()) * run
    blur_run(first, run, step, lens, surface, soft, radius, strength, occlusion, blurred, total, out)


@native(BLUR_ADJOINT.replace("ASSUME_SAFE", "#pragma clang loop vectorize(assume_safety) vectorize_width(8)"))
def blur_adjoint_run(
    first: int,
    run: int,
    step: int,
    lens: wp.array(dtype=wp.vec4),
    surface: wp.array4d(dtype=float),
    soft: wp.array3d(dtype=float),
    radius: wp.array(dtype=float),
    strength: wp.array(dtype=float),
    occlusion: wp.array3d(dtype=float),
    blurred: wp.array3d(dtype=float),
    total: wp.array3d(dtype=float),
    jump: wp.array3d(dtype=float),
    grad: wp.array3d(dtype=float),
    g_occlusion: wp.array3d(dtype=float),
    g_surface: wp.array4d(dtype=float),
    g_soft: wp.array3d(dtype=float),
    g_radius: wp.array(dtype=float),
    g_strength: wp.array(dtype=float),
): ...


@wp.kernel
def blur_adjoint(
    begin: int,
    run: int,
    step: int,
    lens: wp.array(dtype=wp.vec4),
    surface: wp.array4d(dtype=float),
    soft: wp.array3d(dtype=float),
    radius: wp.array(dtype=float),
    strength: wp.array(dtype=float),
    occlusion: wp.array3d(dtype=float),
    blurred: wp.array3d(dtype=float),
    total: wp.array3d(dtype=float),
    jump: wp.array3d(dtype=float),
    grad: wp.array3d(dtype=float),
    g_occlusion: wp.array3d(dtype=float),
    g_surface: wp.array4d(dtype=float),
    g_soft: wp.array3d(dtype=float),
    g_radius: wp.array(dtype=float),
    g_strength: wp.array(dtype=float),
):
    """Adds to all five gradients."""
    first = (begin + wp.tid()) * run
    blur_adjoint_run(
        first,
        run,
        step,
        lens,
        surface,
        soft,
        radius,
        strength,
        occlusion,
        blurred,
        total,
        jump,
        grad,
        g_occlusion,
        g_surface,
        g_soft,
        g_radius,
        g_strength,
    )
