"""The loops of `texture_sample` over a run of pixels, as C++ that Warp compiles for CPU and CUDA alike.

CHANNELS, LENGTH (of a lookup) and FIND (from `texture` or `cube`) are filled in there.
"""

# Lookups are worked off in blocks, so that what finds the texels is loops over plain arrays without
# branches, which compilers turn into vector instructions. On CUDA a thread has one pixel.
#
# The weights of the four texels are products of x and y, their slopes along x and y those of dx and
# y, and of x and dy. A missing texel is the mean of the other three.
_SETUP = """
    const int C = CHANNELS;
#if defined(__CUDA_ARCH__)
    const int BLOCK = 1;
#else
    const int BLOCK = 64;
#endif
    struct Levels {
        int number[BLOCK], width[BLOCK], height[BLOCK], base[BLOCK];
        float f[BLOCK];
    };
    struct Taps {
        int row[4][BLOCK], missing[BLOCK];
        float x[2][BLOCK], y[2][BLOCK], dx[2][BLOCK], dy[2][BLOCK];
    };
    const int* table = (const int*)levels.data;
    const int last = levels.shape[0] - 1;
    const float* lookups = (const float*)lookup.data + LENGTH * (size_t)first;
    const float* depths = (const float*)level.data + (with_level ? first : 0);
FIND
    // The finer of the two levels of each pixel, and how far it is to the next.
    auto finer = [&](int k, int count, Levels& to) {
        bool between = false;
        for (int n = 0; n < count; ++n) {
            const float depth = with_level ? depths[k + n] : 0.0f;
            const int number = (int)depth;
            to.number[n] = number;
            to.width[n] = table[4 * number];
            to.height[n] = table[4 * number + 1];
            to.base[n] = table[4 * number + 2];
            to.f[n] = depth - (float)number;
            between |= depth > 0.0f;
        }
        return between;
    };
    auto coarser = [&](int count, Levels& to) {
        for (int n = 0; n < count; ++n) {
            const int number = to.number[n] < last ? to.number[n] + 1 : last;
            to.number[n] = number;
            to.width[n] = table[4 * number];
            to.height[n] = table[4 * number + 1];
            to.base[n] = table[4 * number + 2];
        }
    };
    auto weights = [&](const Taps& t, int n, float share, float* w) {
        const float low = t.y[0][n] * share, high = t.y[1][n] * share;
        w[0] = t.x[0][n] * low;
        w[1] = t.x[1][n] * low;
        w[2] = t.x[0][n] * high;
        w[3] = t.x[1][n] * high;
        const int m = missing(t, n);
        if (m >= 0) {
            const float third = w[m] * (1.0f / 3.0f);
            for (int i = 0; i < 4; ++i) w[i] = i == m ? 0.0f : w[i] + third;
        }
    };
    Levels in;
    Taps t;
    // Asks for the texels of a later pixel of the block: with large textures a fifth less time.
    auto ask = [&](const float* finest, size_t step, const float* others, size_t step_others, int n,
                   int count) {
#if !defined(__CUDA_ARCH__)
        n += 16;
        if (n >= count) return;
        const bool fine = in.number[n] == 0;
        const float* texels = fine ? finest : others;
        const size_t stride = fine ? step : step_others;
        __builtin_prefetch(texels + stride * t.row[0][n]);
        __builtin_prefetch(texels + stride * t.row[2][n]);
#endif
    };
"""

_BLOCKS = """
    for (int k = 0; k < run; k += BLOCK) {
        const int count = run - k < BLOCK ? run - k : BLOCK;
        const float* at = lookups + LENGTH * (size_t)k;
"""

GATHER = (
    _SETUP
    + """
    const float* finest = (const float*)tex.data;
    const float* others = (const float*)mips.data;
    const size_t step = tex.strides[0] / 4, step_others = mips.strides[0] / 4, step_out = out.strides[0] / 4;
    float* to = (float*)out.data + step_out * (size_t)first;
    auto blend = [&](int n, float share, float* sum) {
        const bool fine = in.number[n] == 0;
        const float* texels = fine ? finest : others;
        const size_t s = fine ? step : step_others;
        float w[4];
        weights(t, n, share, w);
        const float *a = texels + s * t.row[0][n], *b = texels + s * t.row[1][n];
        const float *c = texels + s * t.row[2][n], *d = texels + s * t.row[3][n];
        for (int i = 0; i < C; ++i) sum[i] = a[i] * w[0] + b[i] * w[1] + c[i] * w[2] + d[i] * w[3];
    };
"""
    + _BLOCKS
    + """
        float* o = to + step_out * (size_t)k;
        if (!linear) {
            for (int n = 0; n < count; ++n) {
                float weight;
                const float* texel = finest + step * nearest(at + LENGTH * n, weight);
                for (int i = 0; i < C; ++i) o[step_out * n + i] = texel[i] * weight;
            }
            continue;
        }
        const bool between = finer(k, count, in);
        find(at, in, count, t);
        for (int n = 0; n < count; ++n) {
            ask(finest, step, others, step_others, n, count);
            float sum[C];
            blend(n, 1.0f - in.f[n], sum);
            for (int i = 0; i < C; ++i) o[step_out * n + i] = sum[i];
        }
        if (!between) continue;
        coarser(count, in);
        find(at, in, count, t);
        for (int n = 0; n < count; ++n) {
            ask(finest, step, others, step_others, n, count);
            if (in.f[n] == 0.0f) continue;
            float sum[C];
            blend(n, in.f[n], sum);
            for (int i = 0; i < C; ++i) o[step_out * n + i] += sum[i];
        }
    }
"""
)

SLOPES = (
    _SETUP
    + """
    const float* finest = (const float*)tex.data;
    const float* others = (const float*)mips.data;
    const size_t step = tex.strides[0] / 4, step_others = mips.strides[0] / 4;
    const size_t step_out = grad_out.strides[0] / 4;
    const float* pulled = (const float*)grad_out.data + step_out * (size_t)first;
    float* to = (float*)grad_lookup.data + LENGTH * (size_t)first;
    float* to_level = (float*)grad_level.data + (with_level ? first : 0);
    float v[4][BLOCK];  // g times each of the four texels
    auto pull = [&](const float* g, int count) {
        for (int n = 0; n < count; ++n, g += step_out) {
            ask(finest, step, others, step_others, n, count);
            const bool fine = in.number[n] == 0;
            const float* texels = fine ? finest : others;
            const size_t stride = fine ? step : step_others;
            float sum = 0.0f;
            for (int m = 0; m < 4; ++m) {
                const float* texel = texels + stride * t.row[m][n];
                float dot = g[0] * texel[0];
                for (int i = 1; i < C; ++i) dot += g[i] * texel[i];
                v[m][n] = dot;
                sum += dot;
            }
            const int absent = missing(t, n);
            if (absent >= 0) v[absent][n] = (sum - v[absent][n]) * (1.0f / 3.0f);
        }
    };
    // Adds slopes along x and y times `share`, and the sample to `value`.
    auto combine = [&](int count, const float* share, float sign, float* o, float* value) {
        for (int n = 0; n < count; ++n) {
            const float x0 = t.x[0][n], x1 = t.x[1][n], y0 = t.y[0][n], y1 = t.y[1][n];
            const float low = v[0][n] * x0 + v[1][n] * x1, high = v[2][n] * x0 + v[3][n] * x1;
            const float low_x = v[0][n] * t.dx[0][n] + v[1][n] * t.dx[1][n];
            const float high_x = v[2][n] * t.dx[0][n] + v[3][n] * t.dx[1][n];
            o[LENGTH * n] += (low_x * y0 + high_x * y1) * (float)in.width[n] * share[n];
            o[LENGTH * n + 1] += (low * t.dy[0][n] + high * t.dy[1][n]) * (float)in.height[n] * share[n];
            value[n] += sign * (low * y0 + high * y1);
        }
    };
    float share[BLOCK], value[BLOCK];
"""
    + _BLOCKS
    + """
        const float* g = pulled + step_out * (size_t)k;
        float* o = to + LENGTH * (size_t)k;
        const bool between = finer(k, count, in);
        find(at, in, count, t);
        pull(g, count);
        for (int n = 0; n < count; ++n) share[n] = 1.0f - in.f[n];
        for (int n = 0; n < count; ++n) value[n] = 0.0f;
        combine(count, share, -1.0f, o, value);
        if (!between) continue;
        coarser(count, in);
        find(at, in, count, t);
        pull(g, count);
        combine(count, in.f, 1.0f, o, value);
        for (int n = 0; n < count; ++n) to_level[k + n] += value[n];
    }
"""
)

SCATTER = (
    _SETUP
    + """
    const size_t step = grad_tex.strides[0] / 4, step_others = grad_mips.strides[0] / 4;
    const size_t step_out = grad_out.strides[0] / 4;
    float* finest = (float*)grad_tex.data;
    float* others = (float*)grad_mips.data;
    const float* pulled = (const float*)grad_out.data + step_out * (size_t)first;
    // 64 blocks in a row are dealt out in `owners` stripes.
    auto owned = [=](int row, const int* level) {
        return ((((row - level[2]) >> level[3]) & 63) * owners) >> 6 == owner;
    };
    auto add = [&](const float* g, int n, float share) {
        const int number = in.number[n];
        float* texels = number == 0 ? finest : others;
        const size_t s = number == 0 ? step : step_others;
        float w[4];
        weights(t, n, share, w);
        for (int m = 0; m < 4; ++m) {
            const int row = t.row[m][n];
            if (!owned(row, table + 4 * number)) continue;
            for (int i = 0; i < C; ++i) wp::atomic_add(texels + s * row + i, g[i] * w[m]);
        }
    };
    auto zero = [=](const float* g) {
        bool out = true;
        for (int i = 0; i < C; ++i) out &= g[i] == 0.0f;
        return out;
    };
"""
    + _BLOCKS
    + """
        const float* g = pulled + step_out * (size_t)k;
        if (!linear) {
            for (int n = 0; n < count; ++n) {
                float weight;
                const int row = nearest(at + LENGTH * n, weight);
                if (zero(g + step_out * n) || !owned(row, table)) continue;
                for (int i = 0; i < C; ++i)
                    wp::atomic_add(finest + step * row + i, g[step_out * n + i] * weight);
            }
            continue;
        }
        const bool between = finer(k, count, in);
        find(at, in, count, t);
        for (int n = 0; n < count; ++n) {
            ask(finest, step, others, step_others, n, count);
            if (!zero(g + step_out * n)) add(g + step_out * n, n, 1.0f - in.f[n]);
        }
        if (!between) continue;
        coarser(count, in);
        find(at, in, count, t);
        for (int n = 0; n < count; ++n) {
            ask(finest, step, others, step_others, n, count);
            if (in.f[n] > 0.0f && !zero(g + step_out * n)) add(g + step_out * n, n, in.f[n]);
        }
    }
"""
)
