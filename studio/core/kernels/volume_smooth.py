"""What keeps a volume's values smooth where rays have touched them: gradients added to the loss's.

`smooth` is for densities and colours, total variation; `even` for distances: that their slope is 1
(the eikonal term of Gropp et al. 2020, "Implicit Geometric Regularization for Learning Shapes", Eq. 2)
and that surfaces bend little.
"""

import warp as wp

from studio.core.kernels.volume_ray import by_kind, every_module

CHUNK = 16
"""Grid points that are marked, moved and cleared together."""

# Numbers of a run of grid points, eight at a time on CPU.
WIDE = """
    constexpr int C = 3 * COUNT;
#if defined(__CUDA_ARCH__)
    constexpr int WIDE = 1;
    typedef float F;
    auto root = [](F a) { return sqrtf(a); };
    auto any = [](auto a) { return (bool)a; };
#else
    constexpr int WIDE = 8;
    typedef float F __attribute__((ext_vector_type(8)));
    auto root = [](F a) { return __builtin_elementwise_sqrt(a); };
    auto any = [](auto a) { return __builtin_reduce_or(a) != 0; };
#endif
    struct Memory {
        static F read(const float* from) {
            F a;
            memcpy(&a, from, sizeof(F));
            return a;
        }
        static void write(float* to, F a) { memcpy(to, &a, sizeof(F)); }
    };
    const size_t chunks = marks.shape[1], nodes = chunks * CHUNK;
    unsigned char* touched = (unsigned char*)marks.data;
"""

# Differences count up to 1, so that surfaces stay. Rows of grid points go on in the next one, where the
# box's sides are, which are empty.
_SMOOTH = (
    WIDE
    + """
    const int sx = size_y * size_z;
    bool wanted = false;
    for (int band = 0; band < marks.shape[0]; ++band) wanted |= touched[band * chunks + chunk] != 0;
    const int first = chunk * CHUNK, away[6] = {-sx, sx, -size_z, size_z, -1, 1};
    if (!wanted || first < sx || first + CHUNK + sx > size_x * sx) return;
    auto add = [&](const float* values, float* to, int numbers, float weight) {
        for (int j = 0; j < CHUNK * numbers; j += WIDE) {
            const F own = Memory::read(values + j);
            F total = F(0.0f);
            for (int n = 0; n < 6; ++n) {
                F off = own - Memory::read(values + j + (long long)away[n] * numbers);
                off = off > F(1.0f) ? F(1.0f) : off;
                total += off < F(-1.0f) ? F(-1.0f) : off;
            }
            Memory::write(to + j, Memory::read(to + j) + weight * total);
        }
    };
    const size_t place = (size_t)first * C;
    add((const float*)density.data + first, (float*)grad_density.data + first, 1, density_weight);
    add((const float*)colors.data + place, (float*)grad_colors.data + place, C, color_weight);
"""
)

# The slope of a cell is the mean of its four edges each way; a point sees its eight cells, so 27 points.
# Bending is half the square of the Laplacian, whose gradient is the Laplacian of the Laplacian: 25 points.
_EVEN = (
    WIDE
    + """
    const int sy = size_z, sx = size_y * size_z;
    bool wanted = false;
    for (int band = 0; band < marks.shape[0]; ++band) wanted |= touched[band * chunks + chunk] != 0;
    const int begin = chunk * CHUNK;
    if (!wanted || begin < 2 * sx || begin + CHUNK + 2 * sx > size_x * sx) return;
    const float* D = (const float*)distances.data;
    float* to = (float*)grad_distances.data;
    const float per_edge = 0.25f / spacing;
    for (int at = begin; at < begin + CHUNK; at += WIDE) {
        float lanes[WIDE];
        for (int lane = 0; lane < WIDE; ++lane) {
            const int y = (at + lane) / sy % size_y, z = (at + lane) % sy;
            lanes[lane] = y > 1 && y < size_y - 2 && z > 1 && z < size_z - 2 ? 1.0f : 0.0f;
        }
        F s[27];
        for (int x = 0; x < 3; ++x)
            for (int y = 0; y < 3; ++y)
                for (int z = 0; z < 3; ++z)
                    s[9 * x + 3 * y + z] = Memory::read(D + at + (x - 1) * sx + (y - 1) * sy + z - 1);
        F slopes = F(0.0f);
        for (int x = 0; x < 2; ++x)
            for (int y = 0; y < 2; ++y)
                for (int z = 0; z < 2; ++z) {
                    const F* c = s + 9 * x + 3 * y + z;
                    const F a = c[9] - c[0], b = c[10] - c[1], d = c[12] - c[3], e = c[13] - c[4];
                    const F gx = per_edge * (a + b + d + e);
                    const F gy = per_edge * (c[3] - c[0] + c[4] - c[1] + c[12] - c[9] + c[13] - c[10]);
                    const F gz = per_edge * (c[1] - c[0] + c[4] - c[3] + c[10] - c[9] + c[13] - c[12]);
                    const F length = root(gx * gx + gy * gy + gz * gz + 1.0e-12f);
                    // The pull towards a slope of 1; where there is none, it has no direction either.
                    const F pull = F(1.0f) - F(1.0f) / (length > F(0.1f) ? length : F(0.1f));
                    const F mine = (x ? -gx : gx) + (y ? -gy : gy) + (z ? -gz : gz);
                    slopes += pull * mine;
                }
        F bend = 42.0f * s[13] - 12.0f * (s[4] + s[22] + s[10] + s[16] + s[12] + s[14]);
        bend += 2.0f * (s[1] + s[7] + s[19] + s[25] + s[3] + s[5] + s[21] + s[23]
                        + s[9] + s[11] + s[15] + s[17]);
        const int two[6] = {-2 * sx, 2 * sx, -2 * sy, 2 * sy, -2, 2};
        for (int n = 0; n < 6; ++n) bend += Memory::read(D + at + two[n]);
        const F sum = slope_weight * per_edge * slopes + bend_weight / (spacing * spacing) * bend;
        Memory::write(to + at, Memory::read(to + at) + Memory::read(lanes) * sum);
    }
"""
)


def _make(module, native) -> dict:
    return {"smooth": _make_smooth(module, native), "even": _make_even(module, native)}


def _make_smooth(module, native):
    @native(_SMOOTH.replace("CHUNK", str(CHUNK)))
    def smooth_chunk(
        chunk: int,
        size_x: int,
        size_y: int,
        size_z: int,
        density: wp.array(dtype=float),
        colors: wp.array(dtype=float),
        marks: wp.array2d(dtype=wp.uint8),
        density_weight: float,
        color_weight: float,
        grad_density: wp.array2d(dtype=float),
        grad_colors: wp.array2d(dtype=float),
    ): ...

    @wp.kernel(enable_backward=False, module=module)
    def smooth(
        begin: wp.int32,
        size_x: wp.int32,
        size_y: wp.int32,
        size_z: wp.int32,
        density: wp.array(dtype=wp.float32),
        colors: wp.array(dtype=wp.float32),
        marks: wp.array2d(dtype=wp.uint8),
        density_weight: wp.float32,
        color_weight: wp.float32,
        grad_density: wp.array2d(dtype=wp.float32),
        grad_colors: wp.array2d(dtype=wp.float32),
    ):
        """Total variation of touched chunks, added to the first band's gradients."""
        smooth_chunk(
            begin + wp.tid(), size_x, size_y, size_z, density, colors, marks,
            density_weight, color_weight, grad_density, grad_colors,
        )  # fmt: skip

    return smooth


def _make_even(module, native):
    @native(_EVEN.replace("CHUNK", str(CHUNK)))
    def even_chunk(
        chunk: int,
        size_x: int,
        size_y: int,
        size_z: int,
        distances: wp.array(dtype=float),
        marks: wp.array2d(dtype=wp.uint8),
        spacing: float,
        slope_weight: float,
        bend_weight: float,
        grad_distances: wp.array2d(dtype=float),
    ): ...

    @wp.kernel(enable_backward=False, module=module)
    def even(
        begin: wp.int32,
        size_x: wp.int32,
        size_y: wp.int32,
        size_z: wp.int32,
        distances: wp.array(dtype=wp.float32),
        marks: wp.array2d(dtype=wp.uint8),
        spacing: wp.float32,
        slope_weight: wp.float32,
        bend_weight: wp.float32,
        grad_distances: wp.array2d(dtype=wp.float32),
    ):
        """Slopes and bending of touched chunks, added to the first band's gradients.

        Args:
            spacing: of grid points, in the unit of the distances.
            slope_weight: of half the sum, over cells, of (|slope| - 1)^2.
            bend_weight: of half the sum, over points, of (spacing * Laplacian)^2.
        """
        even_chunk(
            begin + wp.tid(), size_x, size_y, size_z, distances, marks, spacing,
            slope_weight, bend_weight, grad_distances,
        )  # fmt: skip

    return even


kernels = by_kind(__name__, _make)
"""`smooth` and `even` for a degree of spherical harmonics, 0 to 2."""


def warp_modules() -> list:
    """The Warp modules of all degrees."""
    return every_module(kernels)
