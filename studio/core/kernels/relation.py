"""C++: on which side of a silhouette's piece a pixel is, from what the rasterizer saw there.

`coverage` puts these fragments at the head of its function, whose arrays they name: `screen`, `tri`,
`edges`, `rast`, `keys`, `spans` of the keys, `width` and `height`, one of `rast` and `keys` empty.
"""

# A piece as `silhouette.put_piece` writes it, a line of cache each; `next` links those of a pixel,
# number + 1, 0 at the end. The slopes are the derivatives of the covered area to x, y and w of
# either vertex.
PIECE = """
    struct Piece {
        int number, pixel, p, q;
        float z, slope_p[3];
        int next;
        float slope_q[3], ends[4];
    };
"""
PIECE_WORDS = 16

# What is known of a piece while its pixel is settled: the triangles of its edge, the vertices of the
# one that ends there, its middle on screen, which outline it belongs to and what it covers.
PART = """
    struct Part {
        const Piece* piece;
        const int* own;
        int first, second, outline;
        float x, y, z, covered;
    };
"""
PART_WORDS = 12

# OUTSIDE: behind the surface that an edge ends, or empty. INSIDE: a triangle of the edge, or another
# at least as near: more of its surface, or what is before it. HIDDEN: something before the edge's
# own triangle. NOWHERE: out of the image.
#
# The pieces of a pixel, and of the next, ask for the planes of the same few triangles, so those
# asked for last are kept.
RELATION = """
    enum { OUTSIDE, INSIDE, HIDDEN, NOWHERE };
    struct Plane {
        const float* P;
        const int* t;
        int id;
        bool large, flat;
        float x, y, z, slope_x, slope_y, low, high, touch;
    };
    #if defined(__CUDA_ARCH__)
    const int KEPT = 4;
    #else
    const int KEPT = 64;
    #endif
    Plane planes[KEPT];
    for (int i = 0; i < KEPT; ++i) planes[i].id = -1;
    const float* S = (const float*)screen.data;
    const int* T = (const int*)tri.data;
    const int* E = (const int*)edges.data;
    const float* R = (const float*)rast.data;
    const long long* K = (const long long*)keys.data;
    const bool with_keys = keys.shape[0] > 0;

    auto smaller = [](float a, float b) -> float { return a < b ? a : b; };
    auto larger = [](float a, float b) -> float { return a > b ? a : b; };
    // Twice the area on screen; positive for a triangle that shows its front.
    auto doubled_area = [](const float* a, const float* b, float x, float y) -> double {
        return ((double)b[0] - a[0]) * ((double)y - a[1]) - ((double)b[1] - a[1]) * ((double)x - a[0]);
    };
    const int* spanned = spans.shape[0] > 0 ? (const int*)spans.data : nullptr;
    auto seen_at = [=](int pixel) -> int {
        if (spanned) {
            const int row = pixel / width, column = pixel - row * width;
            if (column < spanned[2 * row] || column >= spanned[2 * row + 1]) return -1;
        }
        return with_keys ? (int)K[pixel] : (int)R[4 * (size_t)pixel + 3] - 1;
    };
    auto depth_at = [=](int pixel) -> float {
        if (!with_keys) return R[4 * (size_t)pixel + 2];
        int bits = (int)(K[pixel] >> 32);  // see visibility.key_depth
        bits ^= (bits >> 31) & 0x7fffffff;
        float z;
        memcpy(&z, &bits, 4);
        return z;
    };
    auto plane_of = [&](const float* P, int id) -> const Plane& {
        Plane& plane = planes[id & (KEPT - 1)];
        if (plane.id == id && plane.P == P) return plane;
        plane.P = P;
        plane.id = id;
        plane.t = T + 3 * (size_t)id;
        const float* a = P + 4 * (size_t)plane.t[0];
        const float* b = P + 4 * (size_t)plane.t[1];
        const float* c = P + 4 * (size_t)plane.t[2];
        const double area = doubled_area(a, b, c[0], c[1]);
        // Depth within which two surfaces touch.
        plane.touch = 1.0e-6f;
        plane.flat = !(a[3] > 0.0f && b[3] > 0.0f && c[3] > 0.0f) || area == 0.0;
        plane.large = !plane.flat && fabs(area) >= 4.0;
        if (plane.flat) return plane;
        const double abz = (double)b[2] - a[2], acz = (double)c[2] - a[2], r = 1.0 / area;
        plane.x = a[0];
        plane.y = a[1];
        plane.z = a[2];
        plane.slope_x = (float)((abz * ((double)c[1] - a[1]) - acz * ((double)b[1] - a[1])) * r);
        plane.slope_y = (float)((acz * ((double)b[0] - a[0]) - abz * ((double)c[0] - a[0])) * r);
        plane.low = smaller(a[2], smaller(b[2], c[2]));
        plane.high = larger(a[2], larger(b[2], c[2]));
        // Pixels by which either may be off: coplanar triangles differ by what single precision
        // leaves of their vertices' positions.
        plane.touch += 1.0e-4f * (fabsf(plane.slope_x) + fabsf(plane.slope_y));
        return plane;
    };
    auto covers = [=](const float* P, const int* t, int x, int y) -> bool {
        const float *a = P + 4 * (size_t)t[0], *b = P + 4 * (size_t)t[1], *c = P + 4 * (size_t)t[2];
        const double ab = doubled_area(a, b, x, y), bc = doubled_area(b, c, x, y);
        const double ca = doubled_area(c, a, x, y);
        const bool same = (ab > 0.0 && bc > 0.0 && ca > 0.0) || (ab < 0.0 && bc < 0.0 && ca < 0.0);
        return same && a[3] > 0.0f && b[3] > 0.0f && c[3] > 0.0f;
    };
    // Of the pixel (x, y), number `pixel`: the depth seen there is continued to the piece's middle.
    // INSIDE stands for HIDDEN too where nobody asks.
    auto relation_to = [&](const Part& part, const float* P, int pixel, int x, int y, bool ask) -> int {
        const int id = seen_at(pixel);
        if (id < 0) return OUTSIDE;
        if (id == part.first || id == part.second) return INSIDE;
        const Plane& plane = plane_of(P, id);
        const float fx = (float)x, fy = (float)y;
        if (plane.large) {
            bool joined = false;
            for (int i = 0; i < 9; ++i) joined = joined || part.own[i / 3] == plane.t[i % 3];
            if (joined) {
                // Joined to the edge's own triangle: the two may be level, so depth says nothing.
                const float* p = part.piece->ends;
                const float du = p[2] - p[0], dv = p[3] - p[1];
                const float left = du * (fy - part.y) - dv * (fx - part.x);
                if (fabsf(left) > 1.0e-4f * (fabsf(du) + fabsf(dv))) return left > 0.0f ? INSIDE : OUTSIDE;
            }
        }
        float z, change = 0.0f;
        if (plane.flat) {
            z = depth_at(pixel);
        } else {
            z = plane.z + plane.slope_x * (fx - plane.x) + plane.slope_y * (fy - plane.y);
            z = smaller(larger(plane.low, z), plane.high);
            // A triangle far smaller than a pixel says nothing about the depth a pixel away.
            const float most = 2.0f * (plane.high - plane.low);
            change = plane.slope_x * (part.x - fx) + plane.slope_y * (part.y - fy);
            change = smaller(larger(-most, change), most);
            // The plane of a foreshortened triangle says little about its surface even within a pixel.
            if (!plane.large) change = smaller(change, 0.0f);
        }
        if (z + change > part.z + plane.touch) return OUTSIDE;
        // If the edge's own triangle covers the centre and something else is seen, that is before it.
        return ask && covers(P, part.own, x, y) ? HIDDEN : INSIDE;
    };
"""
