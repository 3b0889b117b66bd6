"""C++ that works off several pixels side by side: one vector of them on CPU, a single one on CUDA.

Fragments that follow LANES are written as for one pixel. F is a number of each pixel, V a vector
of three; comparisons give masks, and `mask ? a : b` chooses per pixel (both sides are F and both
are computed, so neither may be harmful). A kernel takes pixels in blocks of BLOCK, which are
GROUPS of F; the last group of a block is filled up with copies of its last pixel.

Local structures with static functions stand in for functions, which C++ has not within another.
"""

LANES = """
#if defined(__CUDA_ARCH__)
    constexpr int WIDE = 1, BLOCK = 1;
    typedef float F;
    typedef int Bits;
#else
    constexpr int WIDE = 8, BLOCK = 64;
    typedef float F __attribute__((ext_vector_type(8)));
    typedef int Bits __attribute__((ext_vector_type(8)));
#endif
    constexpr int GROUPS = BLOCK / WIDE;
    struct Each {
        static F max(F a, F b) { return a > b ? a : b; }
        static F min(F a, F b) { return a < b ? a : b; }
        static F clamp(F a, float low, float high) { return max(min(a, F(high)), F(low)); }
#if defined(__CUDA_ARCH__)
        static F sqrt(F a) { return sqrtf(a); }
        static F exp2(F a) { return exp2f(a); }
        static F log2(F a) { return log2f(a); }
        static bool any(bool a) { return a; }
        static float sum(F a) { return a; }
#else
        static F sqrt(F a) { return __builtin_elementwise_sqrt(a); }
        // Relative error 2e-7, for results that are no denormal numbers.
        static F exp2(F a) {
            const F t = max(a, F(-126.0f)), whole = __builtin_elementwise_floor(t + 0.5f);
            const F q = t - whole;
            F p = 1.5403530e-4f;
            p = p * q + 1.3333558e-3f;
            p = p * q + 9.6181291e-3f;
            p = p * q + 5.5504109e-2f;
            p = p * q + 2.4022651e-1f;
            p = p * q + 6.9314718e-1f;
            p = p * q + 1.0f;
            const Bits bits = (__builtin_convertvector(whole, Bits) + 127) << 23;
            F power;
            memcpy(&power, &bits, sizeof(F));
            return p * power;
        }
        // Of normal numbers > 0: 2 atanh((m - 1) / (m + 1)) of the mantissa, from sqrt(1/2) on.
        static F log2(F a) {
            Bits bits;
            memcpy(&bits, &a, sizeof(F));
            const Bits whole = (bits - 0x3f3504f3) >> 23;
            bits -= whole << 23;
            F m;
            memcpy(&m, &bits, sizeof(F));
            const F s = (m - 1.0f) / (m + 1.0f), q = s * s;
            const F series = 1.0f + q * (0.33333333f + q * (0.2f + q * (0.14285714f + q * 0.11111111f)));
            return __builtin_convertvector(whole, F) + 2.88539008f * s * series;
        }
        static bool any(Bits a) { return __builtin_reduce_or(a) != 0; }
        static float sum(F a) {
            float total = 0.0f;
            for (int k = 0; k < WIDE; ++k) total += a[k];
            return total;
        }
#endif
    };
    struct V {
        F x, y, z;
        static V all(F a) { return {a, a, a}; }
        static V pick(Bits mask, V a, V b) { return {mask ? a.x : b.x, mask ? a.y : b.y, mask ? a.z : b.z}; }
        static V of(const float* a) { return {F(a[0]), F(a[1]), F(a[2])}; }
        V operator+(V b) const { return {x + b.x, y + b.y, z + b.z}; }
        V operator-(V b) const { return {x - b.x, y - b.y, z - b.z}; }
        V operator*(F b) const { return {x * b, y * b, z * b}; }
        V operator*(V b) const { return {x * b.x, y * b.y, z * b.z}; }
        void operator+=(V b) { *this = *this + b; }
        void operator-=(V b) { *this = *this - b; }
        F dot(V b) const { return x * b.x + y * b.y + z * b.z; }
        F length() const { return Each::sqrt(dot(*this)); }
        F sum() const { return x + y + z; }
        V cross(V b) const { return {y * b.z - z * b.y, z * b.x - x * b.z, x * b.y - y * b.x}; }
        // The matrix whose rows are at m, times this; and its transpose.
        V by(const float* m) const {
            return {dot(of(m)), dot(of(m + 3)), dot(of(m + 6))};
        }
        V back_by(const float* m) const { return of(m) * x + of(m + 3) * y + of(m + 6) * z; }
    };
"""

# Functions that move channels of images (arrays of any stride, or of no pixels: not there) in and out
# of a block, whose pixels are `where`; `skip` channels come before.
IMAGES = """
    int where[BLOCK], count = 0, groups = 0;
    auto place = [](const auto& image, int pixel) {
        return (float*)((char*)image.data + (size_t)pixel * (size_t)image.strides[0]);
    };
    auto read = [&](const auto& image, F* to, int step, int channels, int skip = 0) {
        if (image.shape[0] == 0) return;
        for (int k = 0; k < groups * WIDE; ++k) {
            const float* from = place(image, where[k]) + skip;
            float* lane = (float*)(to + k / WIDE * step) + k % WIDE;
            for (int c = 0; c < channels; ++c) lane[c * WIDE] = from[c];
        }
    };
    auto write = [&](const auto& image, const F* from, int step, int channels, int skip = 0) {
        if (image.shape[0] == 0) return;
        for (int k = 0; k < count; ++k) {
            float* to = place(image, where[k]) + skip;
            const float* lane = (const float*)(from + k / WIDE * step) + k % WIDE;
            for (int c = 0; c < channels; ++c) to[c] = lane[c * WIDE];
        }
    };
    // The sum over pixels of each number of a structure of F, added to floats side by side.
    auto add = [](const F* from, float* to, int numbers) {
        for (int c = 0; c < numbers; ++c) wp::atomic_add(to + c, Each::sum(from[c]));
    };
"""

# Begins a loop over blocks of covered pixels of the `run` pixels from `first` on. On CPU a run is
# within a row, and so a block within a view.
EACH_BLOCK = """
    for (int next = 0; next < run;) {
        for (count = 0; next < run && count < BLOCK; ++next)
            if (place(rast, first + next)[3] > 0.0f) where[count++] = first + next;
        if (count == 0) break;
        if (BLOCK == 1) count = 1;  // which the compiler does not see
        groups = (count + WIDE - 1) / WIDE;
        for (int k = count; k < groups * WIDE; ++k) where[k] = where[count - 1];
"""
