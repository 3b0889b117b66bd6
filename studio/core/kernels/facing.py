"""Which side the triangles of an image show: what makes an edge a silhouette.

Of a triangle there is a number: 1 for its front, 0 for its back or neither, 2 where nobody knows
(NaN, or a vertex that there is not).
"""

import warp as wp

from studio.core.kernels.rows import native

wp.set_module_options({"enable_backward": False})

# C++ for functions that look at triangles. Areas are positive for a front: twice that on screen, of
# vertices that project, and a determinant of the others in clip space. Products of differences of
# float32 are exact in double, so that slivers do not turn by rounding.
FACING = """
    enum { BACK, FRONT, UNKNOWN };
    auto facing_of = [](double area) -> int { return area != area ? UNKNOWN : area > 0.0 ? FRONT : BACK; };
    auto doubled_area = [](const float* a, const float* b, const float* c) -> double {
        return ((double)b[0] - a[0]) * ((double)c[1] - a[1]) - ((double)b[1] - a[1]) * ((double)c[0] - a[0]);
    };
    auto determinant = [](const float* a, const float* b, const float* c) -> double {
        return a[0] * ((double)b[1] * c[3] - (double)b[3] * c[1])
            - a[1] * ((double)b[0] * c[3] - (double)b[3] * c[0])
            + a[3] * ((double)b[0] * c[1] - (double)b[1] * c[0]);
    };
    const unsigned vertices = (unsigned)pos.shape[1];
    // An index out of range is the caller's mistake, but must not read foreign memory.
    auto exists = [=](const int* t) -> bool {
        return (unsigned)t[0] < vertices && (unsigned)t[1] < vertices && (unsigned)t[2] < vertices;
    };
"""


@native(
    FACING
    + """
    const int triangles = tri.shape[0];
    for (int n = begin / triangles; n * triangles < end; ++n) {
        const float* S = (const float*)screen.data + 4 * (size_t)n * vertices;
        const float* P = (const float*)pos.data + 4 * (size_t)n * vertices;
        signed char* F = (signed char*)facing.data + (size_t)n * triangles;
        const int first = begin > n * triangles ? begin - n * triangles : 0;
        const int last = end < (n + 1) * triangles ? end - n * triangles : triangles;
        for (int i = first; i < last; ++i) {
            const int* t = (const int*)tri.data + 3 * (size_t)i;
            F[i] = UNKNOWN;
            if (!exists(t)) continue;
            const float *a = S + 4 * (size_t)t[0], *b = S + 4 * (size_t)t[1], *c = S + 4 * (size_t)t[2];
            const bool projects = a[3] > 0.0f && b[3] > 0.0f && c[3] > 0.0f;
            F[i] = (signed char)facing_of(projects ? doubled_area(a, b, c)
                : determinant(P + 4 * (size_t)t[0], P + 4 * (size_t)t[1], P + 4 * (size_t)t[2]));
        }
    }
"""
)
def face_range(
    begin: int,
    end: int,
    pos: wp.array2d(dtype=wp.vec4),
    screen: wp.array2d(dtype=wp.vec4),
    tri: wp.array(dtype=wp.vec3i),
    facing: wp.array2d(dtype=wp.int8),
):
    """The triangles [begin, end) of all images one after another."""
    ...


@wp.kernel(enable_backward=False)
def face(
    begin: wp.int32,
    end: wp.int32,
    chunk: wp.int32,
    pos: wp.array2d(dtype=wp.vec4),
    screen: wp.array2d(dtype=wp.vec4),
    tri: wp.array(dtype=wp.vec3i),
    facing: wp.array2d(dtype=wp.int8),
):
    """What `survey` also finds, where nothing is drawn; a thread takes `chunk` triangles."""
    first = begin + wp.tid() * chunk
    face_range(first, wp.min(first + chunk, end), pos, screen, tri, facing)
