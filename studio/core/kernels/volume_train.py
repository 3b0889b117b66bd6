"""One step of fitting a volume to photos: march, compare, walk back; then Adam where it was touched.

`train` follows a ray through a pixel once and keeps the samples that count on a line of scratch memory,
one line per thread, so that memory does not grow with the rays. It adds into dense grids, one per
band, and marks which runs of CHUNK grid points it touched; `adam` adds the grids up, clears them and
moves only what was touched (Sun et al. 2022, "Direct Voxel Grid Optimization", section 5).
"""

import warp as wp

from studio.core.kernels.volume_ray import (
    BASIS,
    CLIP,
    COLOR,
    CORNERS,
    GRID,
    RISES,
    SAMPLE,
    by_kind,
    every_module,
)
from studio.core.kernels.volume_smooth import CHUNK, WIDE

MOST = 400
"""Samples that a line holds; a ray with more ends there."""

ENTRY = 12
"""Floats of a sample: grid point, shares (3), weight, rest behind it, slopes of its depth to value,
sharpness and growth along the ray, roots (3)."""

CAMERA = 16
"""Floats of a camera: view_to_world's rotation by rows, position, fx, fy, cx, cy; from the lower left."""

# A view ray through the middle of the pixel.
_PIXEL = """
        const int pixel = ((const int*)pixels.data)[ray];
        const int view = pixel / (width * height), row = pixel / width % height, column = pixel % width;
        const float* T = (const float*)targets.data + 4 * (size_t)pixel;
        float* E = (float*)errors.data + ray;
        *E = -1.0f;
        if (DISTANCES) ((float*)grad_sharpness.data)[ray] = 0.0f;
        if (T[3] < 0.0f) continue;
        const float* M = (const float*)cameras.data + 16 * view;
        const float view_x = (column + 0.5f - M[14]) / M[12], view_y = (row + 0.5f - M[15]) / M[13];
        const float short_by = 1.0f / sqrtf(view_x * view_x + view_y * view_y + 1.0f);
        const float dx = (M[0] * view_x + M[1] * view_y - M[2]) * short_by;
        const float dy = (M[3] * view_x + M[4] * view_y - M[5]) * short_by;
        const float dz = (M[6] * view_x + M[7] * view_y - M[8]) * short_by;
        const float px = M[9], py = M[10], pz = M[11];
        const float jitter = ((const float*)jitters.data)[ray], shade = ((const float*)shades.data)[ray];
"""

_MARCH = """
        float rest = 1.0f, seen[3] = {0.0f, 0.0f, 0.0f};
        int count = 0;
        for (; i <= last && count < MOST; ++i) {
""" + (
    SAMPLE
    + CORNERS
    + COLOR
    + """
            const float w = rest * alpha;
            rest *= stay;
            const int place = (int)node;
            float* entry = line + ENTRY * count++;
            memcpy(entry, &place, 4);
            entry[1] = x, entry[2] = y, entry[3] = z, entry[4] = w, entry[5] = rest;
            entry[6] = slope, entry[7] = sharpened, entry[8] = steepened;
            for (int c = 0; c < 3; ++c) {
                entry[9 + c] = root[c];
                seen[c] += w * root[c] * root[c];
            }
            if (rest < least_rest) break;
        }
"""
)

# The squared difference of sRGB values over a grey of the ray's own; U is its slope to the ray's colour.
_COMPARE = """
        float U[3], error = 0.0f;
        for (int c = 0; c < 3; ++c) {
            const float shown = seen[c] + rest * shade;
            const float wanted = encode(T[c] + (1.0f - T[3]) * shade);
            const float slope = shown <= 0.0031308f ? 12.92f : 0.43958333f * powf(shown, -0.58333333f);
            const float off = encode(shown) - wanted;
            error += off * off;
            U[c] = scale * off * slope;
        }
        *E = error;
"""

_WALK_BACK = (
    """
        float behind = 0.0f, to_sharpness = 0.0f;
        for (int n = count - 1; n >= 0; --n) {
            const float* entry = line + ENTRY * n;
            int place;
            memcpy(&place, entry, 4);
            const size_t node = (size_t)place;
            const float x = entry[1], y = entry[2], z = entry[3], w = entry[4];
            float own = 0.0f, to[C];
            for (int c = 0; c < 3; ++c) {
                const float root = entry[9 + c], color = root * root;
                own += U[c] * (color - shade);
                const float slope = 2.0f * U[c] * w * color * (1.0f - root);
                for (int k = 0; k < K; ++k) to[3 * k + c] = Y[k] * slope;
            }
            const float to_depth = entry[5] * own - behind, to_value = to_depth * entry[6];
            [[maybe_unused]] const float to_rise = to_depth * entry[8];
            to_sharpness += to_depth * entry[7];
            behind += w * own;
"""
    + CORNERS
    + RISES
    + """
            for (int corner = 0; corner < 8; ++corner) {
                touched[at[corner] / CHUNK] = 1;
                const float own_share = w8[corner] * to_value + (DISTANCES ? h8[corner] * to_rise : 0.0f);
                wp::atomic_add(GD + at[corner], own_share);
                float* target = GA + C * at[corner];
                for (int j = 0; j < C; ++j) wp::atomic_add(target + j, w8[corner] * to[j]);
            }
        }
"""
)

_TRAIN = (
    GRID
    + """
    auto encode = [](float v) {
        return v <= 0.0031308f ? 12.92f * v : 1.055f * powf(v, 0.41666667f) - 0.055f;
    };
    float* GD = (float*)grad_density.data;
    float* GA = (float*)grad_colors.data;
    unsigned char* touched = (unsigned char*)marks.data;
    float* line = (float*)lines.data + (size_t)first * MOST * ENTRY;
    for (int ray = begin + first; ray < end; ray += lines.shape[0]) {
"""
    + _PIXEL
    + BASIS
    + CLIP
    + _MARCH
    + _COMPARE
    + _WALK_BACK
    + """
        if (DISTANCES) ((float*)grad_sharpness.data)[ray] = to_sharpness;
    }
"""
)

_ADAM = (
    WIDE
    + """
    int used[65], count = 0;
    for (int band = 0; band < marks.shape[0]; ++band) {
        unsigned char* mark = touched + band * chunks + chunk;
        if (*mark) used[count++] = band;
        *mark = 0;
    }
    if (count == 0) return;
    if (smoothed && used[0] != 0) {  // TV has written to the first band's
        for (int n = count; n > 0; --n) used[n] = used[n - 1];
        used[0] = 0, ++count;
    }
    auto move = [&](float* values, float* moments, float* gradients, int numbers, float rate) {
        const size_t first = (size_t)chunk * CHUNK * numbers, all = nodes * numbers;
        for (size_t j = first; j < first + CHUNK * numbers; j += WIDE) {
            F g = F(0.0f);
            for (int n = 0; n < count; ++n) {
                float* from = gradients + used[n] * all + j;
                g += Memory::read(from);
                Memory::write(from, F(0.0f));
            }
            const auto moved = g != F(0.0f);
            if (!any(moved)) continue;
            const F mean = Memory::read(moments + j), square = Memory::read(moments + all + j);
            const F now = 0.9f * mean + 0.1f * g, size = 0.99f * square + 0.01f * g * g;
            const F value = Memory::read(values + j);
            Memory::write(moments + j, moved ? now : mean);
            Memory::write(moments + all + j, moved ? size : square);
            Memory::write(values + j, moved ? value - rate * now / (root(size) + 1.0e-12f) : value);
        }
    };
    move((float*)density.data, (float*)density_moments.data, (float*)grad_density.data, 1, density_rate);
    move((float*)colors.data, (float*)color_moments.data, (float*)grad_colors.data, C, color_rate);
"""
)


def _numbers(source: str) -> str:
    return source.replace("MOST", str(MOST)).replace("ENTRY", str(ENTRY)).replace("CHUNK", str(CHUNK))


def _make(module, native) -> dict:
    return {
        "train": _make_train(module, native),
        "adam": _make_adam(module, native),
    }


def _make_train(module, native):
    @native(_numbers(_TRAIN))
    def train_rays(
        first: int,
        begin: int,
        end: int,
        size_x: int,
        size_y: int,
        size_z: int,
        density: wp.array(dtype=float),
        colors: wp.array(dtype=float),
        free: wp.array(dtype=wp.uint8),
        frame: wp.array(dtype=float),
        pixels: wp.array(dtype=wp.int32),
        cameras: wp.array2d(dtype=float),
        width: int,
        height: int,
        targets: wp.array(dtype=wp.vec4),
        jitters: wp.array(dtype=float),
        shades: wp.array(dtype=float),
        scale: float,
        lines: wp.array2d(dtype=float),
        grad_density: wp.array(dtype=float),
        grad_colors: wp.array(dtype=float),
        marks: wp.array(dtype=wp.uint8),
        grad_sharpness: wp.array(dtype=float),
        errors: wp.array(dtype=float),
    ): ...

    @wp.kernel(enable_backward=False, module=module)
    def train(
        begin: wp.int32,
        end: wp.int32,
        size_x: wp.int32,
        size_y: wp.int32,
        size_z: wp.int32,
        density: wp.array(dtype=wp.float32),
        colors: wp.array(dtype=wp.float32),
        free: wp.array(dtype=wp.uint8),
        frame: wp.array(dtype=wp.float32),
        pixels: wp.array(dtype=wp.int32),
        cameras: wp.array2d(dtype=wp.float32),
        width: wp.int32,
        height: wp.int32,
        targets: wp.array(dtype=wp.vec4),
        jitters: wp.array(dtype=wp.float32),
        shades: wp.array(dtype=wp.float32),
        scale: wp.float32,
        lines: wp.array2d(dtype=wp.float32),
        grad_density: wp.array(dtype=wp.float32),
        grad_colors: wp.array(dtype=wp.float32),
        marks: wp.array(dtype=wp.uint8),
        grad_sharpness: wp.array(dtype=wp.float32),
        errors: wp.array(dtype=wp.float32),
    ):
        """Rays begin to end, of which each line's thread takes every `len(lines)`-th.

        Args:
            targets: linear colour times coverage, coverage; a negative one says nothing.
            shades: linear grey behind volume and photo.
            grad_sharpness: a number per ray, of distances.
            scale: of the loss, the sum of squared differences of sRGB values, times 2.
            errors: that sum per ray, -1 where the photo says nothing.
        """
        train_rays(
            wp.tid(), begin, end, size_x, size_y, size_z, density, colors, free, frame,
            pixels, cameras, width, height, targets, jitters, shades, scale,
            lines, grad_density, grad_colors, marks, grad_sharpness, errors,
        )  # fmt: skip

    return train


def _make_adam(module, native):
    @native(_numbers(_ADAM))
    def adam_chunk(
        chunk: int,
        density: wp.array(dtype=float),
        colors: wp.array(dtype=float),
        marks: wp.array2d(dtype=wp.uint8),
        smoothed: int,
        density_rate: float,
        color_rate: float,
        grad_density: wp.array2d(dtype=float),
        grad_colors: wp.array2d(dtype=float),
        density_moments: wp.array(dtype=float),
        color_moments: wp.array(dtype=float),
    ): ...

    @wp.kernel(enable_backward=False, module=module)
    def adam(
        begin: wp.int32,
        density: wp.array(dtype=wp.float32),
        colors: wp.array(dtype=wp.float32),
        marks: wp.array2d(dtype=wp.uint8),
        smoothed: wp.int32,
        density_rate: wp.float32,
        color_rate: wp.float32,
        grad_density: wp.array2d(dtype=wp.float32),
        grad_colors: wp.array2d(dtype=wp.float32),
        density_moments: wp.array(dtype=wp.float32),
        color_moments: wp.array(dtype=wp.float32),
    ):
        """Adam (0.9, 0.99) of touched chunks; gradients and marks are nothing afterwards."""
        adam_chunk(
            begin + wp.tid(), density, colors, marks, smoothed, density_rate, color_rate,
            grad_density, grad_colors, density_moments, color_moments,
        )  # fmt: skip

    return adam


kernels = by_kind(__name__, _make)
"""`train` and `adam` for a degree of spherical harmonics, 0 to 2, and densities or distances."""


def warp_modules() -> list:
    """The Warp modules of all kinds and degrees."""
    return every_module(kernels)
