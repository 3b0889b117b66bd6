"""Directions to lookups in a cube map, with their screen derivatives, and the adjoint."""

import warp as wp

from studio.core.kernels.cube import AXES, c_array

wp.set_module_options({"enable_backward": False})

vec6 = wp.types.vector(length=6, dtype=wp.float32)

# Straight-line code, so that compilers turn the loops into vector instructions. f = (sc, tc, ma) of
# the direction d in the axes of its face; on an edge the first face's. Without a face (d is zero,
# infinite or NaN) `ok` is false, r is 0, and what depends on d is chosen away.
_FACE = (
    c_array("float", "AXES", [f"{v}.0f" for face in AXES for axis in face for v in axis])
    + """
    auto to_face = [&](int face, float x, float y, float z, float* f) {
        for (int c = 0; c < 3; ++c) {
            const float* axis = AXES + 9 * face + 3 * c;
            f[c] = axis[0] * x + axis[1] * y + axis[2] * z;
        }
    };
    const float* D = (const float*)direction.data;
    const float* DA = (const float*)direction_da.data;
"""
)

_LOOP = """
    for (size_t p = first; p < (size_t)first + run; ++p) {
        const float d0 = D[3 * p], d1 = D[3 * p + 1], d2 = D[3 * p + 2];
        const float x = wp::abs(d0), y = wp::abs(d1), z = wp::abs(d2);
        const bool on_x = (x >= y) & (x >= z), on_y = y >= z;
        const float most = on_x ? x : (on_y ? y : z), along = on_x ? d0 : (on_y ? d1 : d2);
        const int face = (on_x ? 0 : (on_y ? 2 : 4)) + (along < 0.0f ? 1 : 0);
        const bool ok = (x <= most) & (y <= most) & (z <= most) & (most > 1e-18f) & (most < 1e18f);
        float f[3];
        to_face(face, ok ? d0 : 0.0f, ok ? d1 : 0.0f, ok ? d2 : 0.0f, f);
        const float r = ok ? 1.0f / f[2] : 0.0f;
        const float a = f[0] * r, b = f[1] * r;
"""

_DERIVATIVES = """
        float da[6], fx[3], fy[3];
        for (int c = 0; c < 6; ++c) {  // NaN and infinity become 0
            const float v = DA[6 * p + c];
            da[c] = wp::abs(v) < 1e18f ? v : 0.0f;
        }
        to_face(face, da[0], da[2], da[4], fx);
        to_face(face, da[1], da[3], da[5], fy);
"""

_LOOKUP = """
        float* to = (float*)lookup.data + 3 * p;
        to[0] = 0.5f * a + 0.5f;
        to[1] = 0.5f * b + 0.5f;
        to[2] = ok ? (float)face : -1.0f;
"""

_FORWARD = f"""
    {_FACE}
    if (with_da) {{
        {_LOOP}{_LOOKUP}{_DERIVATIVES}
        float* to_da = (float*)st_da.data + 4 * p;
        to_da[0] = ok ? 0.5f * (fx[0] - a * fx[2]) * r : 0.0f;
        to_da[1] = ok ? 0.5f * (fy[0] - a * fy[2]) * r : 0.0f;
        to_da[2] = ok ? 0.5f * (fx[1] - b * fx[2]) * r : 0.0f;
        to_da[3] = ok ? 0.5f * (fy[1] - b * fy[2]) * r : 0.0f;
        }}
    }} else {{
        {_LOOP}{_LOOKUP}
        }}
    }}
"""

# Gradients of a = sc / ma and b = tc / ma; and of r = 1 / ma apart from those.
_FROM_LOOKUP = """
        const float* axes = AXES + 9 * face;
        const float* g = (const float*)grad_lookup.data + 3 * p;
        float* to = (float*)grad_direction.data + 3 * p;
        float ga = 0.5f * g[0], gb = 0.5f * g[1], gr = 0.0f;
"""

# The transpose of to_face.
_TO_DIRECTION = """
        const float gs = ga * r, gt = gb * r, gm = -(ga * a + gb * b + gr * r) * r;
        for (int c = 0; c < 3; ++c)
            to[c] = ok ? axes[c] * gs + axes[3 + c] * gt + axes[6 + c] * gm : 0.0f;
"""

_BACKWARD = f"""
    {_FACE}
    if (with_da) {{
        {_LOOP}{_DERIVATIVES}{_FROM_LOOKUP}
        const float* h = (const float*)grad_st_da.data + 4 * p;
        const float ax = 0.5f * h[0], ay = 0.5f * h[1], bx = 0.5f * h[2], by = 0.5f * h[3];
        ga -= (ax * fx[2] + ay * fy[2]) * r;
        gb -= (bx * fx[2] + by * fy[2]) * r;
        gr = ax * (fx[0] - a * fx[2]) + ay * (fy[0] - a * fy[2]);
        gr += bx * (fx[1] - b * fx[2]) + by * (fy[1] - b * fy[2]);
        const float mx = -(ax * a + bx * b), my = -(ay * a + by * b);
        float* to_da = (float*)grad_direction_da.data + 6 * p;
        for (int c = 0; c < 3; ++c) {{
            const float s = axes[c], t = axes[3 + c], m = axes[6 + c];
            to_da[2 * c] = ok ? (s * ax + t * bx + m * mx) * r : 0.0f;
            to_da[2 * c + 1] = ok ? (s * ay + t * by + m * my) * r : 0.0f;
        }}
        {_TO_DIRECTION}
        }}
    }} else {{
        {_LOOP}{_FROM_LOOKUP}{_TO_DIRECTION}
        }}
    }}
"""


@wp.func_native(_FORWARD)
def forward_run(
    first: int,
    run: int,
    direction: wp.array(dtype=wp.vec3),
    with_da: int,
    direction_da: wp.array(dtype=vec6),
    lookup: wp.array(dtype=wp.vec3),
    st_da: wp.array(dtype=wp.vec4),
): ...


@wp.func_native(_BACKWARD)
def backward_run(
    first: int,
    run: int,
    direction: wp.array(dtype=wp.vec3),
    with_da: int,
    direction_da: wp.array(dtype=vec6),
    grad_lookup: wp.array(dtype=wp.vec3),
    grad_st_da: wp.array(dtype=wp.vec4),
    grad_direction: wp.array(dtype=wp.vec3),
    grad_direction_da: wp.array(dtype=vec6),
): ...


@wp.kernel(enable_backward=False)
def project(
    begin: wp.int32,
    run: wp.int32,
    direction: wp.array(dtype=wp.vec3),
    with_da: wp.int32,
    direction_da: wp.array(dtype=vec6),
    lookup: wp.array(dtype=wp.vec3),
    st_da: wp.array(dtype=wp.vec4),
):
    """Directions and their screen derivatives to (s, t, face) and those of (s, t)."""
    forward_run((begin + wp.tid()) * run, run, direction, with_da, direction_da, lookup, st_da)


@wp.kernel(enable_backward=False)
def project_backward(
    begin: wp.int32,
    run: wp.int32,
    direction: wp.array(dtype=wp.vec3),
    with_da: wp.int32,
    direction_da: wp.array(dtype=vec6),
    grad_lookup: wp.array(dtype=wp.vec3),
    grad_st_da: wp.array(dtype=wp.vec4),
    grad_direction: wp.array(dtype=wp.vec3),
    grad_direction_da: wp.array(dtype=vec6),
):
    """Gradients of s, t and their derivatives to the direction and its derivatives."""
    backward_run(
        (begin + wp.tid()) * run, run, direction, with_da, direction_da,
        grad_lookup, grad_st_da, grad_direction, grad_direction_da,
    )  # fmt: skip
