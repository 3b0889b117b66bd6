"""Where lookups fall in a flat texture: the four texels around each and their weights, as C++.

Texel (row 0, column 0) has its corner at uv (0, 0); centres lie at (i + 0.5) / size. The code is
part of the functions in `texture_loops`, which say what it may use and what it has to fill in.
"""

NEAREST = 0
LINEAR = 1
WRAP = 0
CLAMP = 1
ZERO = 2

LENGTH = 2
"""Numbers in a lookup: u and v."""

FIND = """
    auto settle = [=](float u) {  // within a range where texel numbers are exact; NaN becomes 0
        const float wrapped = u - wp::floor(u);
        // One repetition to each side is as good as any number of them.
        const float below = u < 2.0f ? u : (u == u ? 2.0f : 0.0f);
        const float held = below > -1.0f ? below : -1.0f;
        return boundary == 0 ? (wrapped >= 0.0f && wrapped <= 1.0f ? wrapped : 0.0f) : held;
    };
    auto number = [=](int i, int size) {  // i is at most a size outside
        const int turned = i < 0 ? i + size : (i >= size ? i - size : i);
        const int held = i < 0 ? 0 : (i >= size ? size - 1 : i);
        return boundary == 0 ? turned : held;
    };
    auto counts = [=](int i, int size) {
        return (boundary == 2) & ((i < 0) | (i >= size)) ? 0.0f : 1.0f;
    };
    auto find = [&](const float* at, const Levels& in, int count, Taps& t) {
        for (int n = 0; n < count; ++n) {
            const int width = in.width[n], height = in.height[n], base = in.base[n] + image * width * height;
            const float x = settle(at[2 * n]) * (float)width - 0.5f;
            const float y = settle(at[2 * n + 1]) * (float)height - 0.5f;
            const float left = wp::floor(x), low = wp::floor(y);
            const float fx = x - left, fy = y - low;
            const int i = (int)left, j = (int)low;
            const int i0 = number(i, width), i1 = number(i + 1, width);
            const int j0 = base + number(j, height) * width, j1 = base + number(j + 1, height) * width;
            const float x0 = counts(i, width), x1 = counts(i + 1, width);
            const float y0 = counts(j, height), y1 = counts(j + 1, height);
            t.row[0][n] = j0 + i0;
            t.row[1][n] = j0 + i1;
            t.row[2][n] = j1 + i0;
            t.row[3][n] = j1 + i1;
            t.x[0][n] = (1.0f - fx) * x0;
            t.x[1][n] = fx * x1;
            t.y[0][n] = (1.0f - fy) * y0;
            t.y[1][n] = fy * y1;
            t.dx[0][n] = -x0;
            t.dx[1][n] = x1;
            t.dy[0][n] = -y0;
            t.dy[1][n] = y1;
        }
    };
    auto missing = [](const Taps& t, int n) { return -1; };
    auto nearest = [=](const float* at, float& weight) {
        const int width = table[0], height = table[1];
        const int i = (int)wp::floor(settle(at[0]) * (float)width);
        const int j = (int)wp::floor(settle(at[1]) * (float)height);
        weight = counts(i, width) * counts(j, height);
        return (image * height + number(j, height)) * width + number(i, width);
    };
"""
