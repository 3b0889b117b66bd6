"""Copies of large images, written past the caches."""

import warp as wp

wp.set_module_options({"enable_backward": False})

LARGE = 8 << 20
"""Bytes from which a copy would only push other things out of the caches."""


# Ordinary stores read every line of memory before they write it; these do not, which takes a fifth
# less time. They wait in buffers of their own, which the fence at the end empties.
@wp.func_native(
    """
    const float* from = (const float*)source.data;
    float* to = (float*)target.data;
    int i = begin;
    #if !defined(__CUDA_ARCH__)
    typedef float four __attribute__((ext_vector_type(4)));
    while (i < end && ((size_t)(to + i) & 15)) {
        to[i] = from[i];
        ++i;
    }
    for (; i + 16 <= end; i += 16) {
        four lines[4];
        memcpy(lines, from + i, 64);
        for (int k = 0; k < 4; ++k) __builtin_nontemporal_store(lines[k], (four*)(to + i) + k);
    }
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    #endif
    for (; i < end; ++i) to[i] = from[i];
"""
)
def copy_range(begin: int, end: int, source: wp.array(dtype=float), target: wp.array(dtype=float)): ...


@wp.func_native(
    "memcpy(target.data, source.data, sizeof(float) * (size_t)source.shape[0] * source.shape[1]);"
)
def copy_whole(source: wp.array2d(dtype=float), target: wp.array2d(dtype=float)): ...


@wp.kernel(enable_backward=False)
def copy(
    begin: wp.int32,
    end: wp.int32,
    source: wp.array(dtype=wp.float32),
    target: wp.array(dtype=wp.float32),
):
    """Items [begin, end) by one thread."""
    copy_range(begin, end, source, target)
