"""Directions to lookups in a cube map, with their screen derivatives, and the adjoint."""

import warp as wp

from studio.core.kernels.cube import AXES, c_array

wp.set_module_options({"enable_backward": False})

vec6 = wp.types.vector(length=6, dtype=wp.float32)

# f = (sc, tc, ma) of the direction d in the axes of its face; on an edge the first face's.
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
    for (size_t p = first; p < (size_t)first + run; ++p) {
        const float* d = D + 3 * p;
        const float x = wp::abs(d[0]), y = wp::abs(d[1]), z = wp::abs(d[2]);
        const int axis = x >= y && x >= z ? 0 : (y >= z ? 1 : 2);
        const int face = 2 * axis + (d[axis] < 0.0f ? 1 : 0);
        // The axes are signs: to_face would make NaN of 0 times infinity.
        const float most = axis == 0 ? x : (axis == 1 ? y : z);
        // Not zero, infinite or NaN: only then there is a face.
        const bool ok = x <= most && y <= most && z <= most && most > 1e-18f && most < 1e18f;
        float f[3] = {0.0f, 0.0f, 1.0f};
        if (ok) to_face(face, d[0], d[1], d[2], f);
        const float r = 1.0f / f[2];
        const float a = f[0] * r, b = f[1] * r;
        float fx[3] = {}, fy[3] = {};
        if (ok && with_da) {
            const float* da = DA + 6 * p;
            to_face(face, da[0], da[2], da[4], fx);
            to_face(face, da[1], da[3], da[5], fy);
        }
"""
)

_FORWARD = (
    _FACE
    + """
        float* to = (float*)lookup.data + 3 * p;
        to[0] = 0.5f * a + 0.5f;
        to[1] = 0.5f * b + 0.5f;
        to[2] = ok ? (float)face : -1.0f;
        if (with_da) {
            float* to_da = (float*)st_da.data + 4 * p;
            to_da[0] = 0.5f * (fx[0] - a * fx[2]) * r;
            to_da[1] = 0.5f * (fy[0] - a * fy[2]) * r;
            to_da[2] = 0.5f * (fx[1] - b * fx[2]) * r;
            to_da[3] = 0.5f * (fy[1] - b * fy[2]) * r;
        }
    }
"""
)

_BACKWARD = (
    _FACE
    + """
        auto from_face = [&](float s, float t, float m, float* v) {  // the transpose of to_face
            const float* axes = AXES + 9 * face;
            for (int c = 0; c < 3; ++c) v[c] = ok ? axes[c] * s + axes[3 + c] * t + axes[6 + c] * m : 0.0f;
        };
        const float* g = (const float*)grad_lookup.data + 3 * p;
        // Gradients of a = sc / ma and b = tc / ma; and of r = 1 / ma apart from those.
        float ga = 0.5f * g[0], gb = 0.5f * g[1], gr = 0.0f;
        if (with_da) {
            const float* h = (const float*)grad_st_da.data + 4 * p;
            const float ax = 0.5f * h[0], ay = 0.5f * h[1], bx = 0.5f * h[2], by = 0.5f * h[3];
            ga -= (ax * fx[2] + ay * fy[2]) * r;
            gb -= (bx * fx[2] + by * fy[2]) * r;
            gr = ax * (fx[0] - a * fx[2]) + ay * (fy[0] - a * fy[2]);
            gr += bx * (fx[1] - b * fx[2]) + by * (fy[1] - b * fy[2]);
            float vx[3], vy[3];
            from_face(ax * r, bx * r, -(ax * a + bx * b) * r, vx);
            from_face(ay * r, by * r, -(ay * a + by * b) * r, vy);
            float* to_da = (float*)grad_direction_da.data + 6 * p;
            for (int c = 0; c < 3; ++c) {
                to_da[2 * c] = vx[c];
                to_da[2 * c + 1] = vy[c];
            }
        }
        from_face(ga * r, gb * r, -(ga * a + gb * b + gr * r) * r, (float*)grad_direction.data + 3 * p);
    }
"""
)


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
