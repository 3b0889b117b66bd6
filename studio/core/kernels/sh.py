"""Real spherical harmonics of bands 0 to 4 and their derivatives, as Warp functions.

Order and signs of Ramamoorthi and Hanrahan 2001: l ascending, m from -l to l, without the
Condon-Shortley phase. The same polynomials stand in studio/shaders/common/sh.glsl.
"""

from __future__ import annotations

import warp as wp

vec25 = wp.types.vector(length=25, dtype=wp.float32)
vec9 = wp.types.vector(length=9, dtype=wp.float32)

# sqrt((2l+1)/(4 pi) ...) of each polynomial, Sloan 2008, "Stupid Spherical Harmonics Tricks", A2
K0 = wp.constant(0.28209479)
K1 = wp.constant(0.48860251)
K2A = wp.constant(1.09254843)
K2B = wp.constant(0.31539157)
K2C = wp.constant(0.54627422)
K3A = wp.constant(0.59004359)
K3B = wp.constant(2.89061144)
K3C = wp.constant(0.45704580)
K3D = wp.constant(0.37317633)
K3E = wp.constant(1.44530572)
K4A = wp.constant(2.50334294)
K4B = wp.constant(1.77013077)
K4C = wp.constant(0.94617470)
K4D = wp.constant(0.66904654)
K4E = wp.constant(0.10578555)
K4F = wp.constant(0.47308735)
K4G = wp.constant(0.62583574)


@wp.func
def sh_basis(d: wp.vec3) -> vec25:
    """The 25 basis functions at unit vector d."""
    x = d[0]
    y = d[1]
    z = d[2]
    xx = x * x
    yy = y * y
    zz = z * z
    xy = x * y
    diff = xx - yy
    x3 = xx - 3.0 * yy
    y3 = 3.0 * xx - yy
    seven1 = 7.0 * zz - 1.0
    seven3 = 7.0 * zz - 3.0
    return vec25(
        K0,
        K1 * y,
        K1 * z,
        K1 * x,
        K2A * xy,
        K2A * y * z,
        K2B * (3.0 * zz - 1.0),
        K2A * x * z,
        K2C * diff,
        K3A * y * y3,
        K3B * xy * z,
        K3C * y * (5.0 * zz - 1.0),
        K3D * z * (5.0 * zz - 3.0),
        K3C * x * (5.0 * zz - 1.0),
        K3E * z * diff,
        K3A * x * x3,
        K4A * xy * diff,
        K4B * y * z * y3,
        K4C * xy * seven1,
        K4D * y * z * seven3,
        K4E * (35.0 * zz * zz - 30.0 * zz + 3.0),
        K4D * x * z * seven3,
        K4F * diff * seven1,
        K4B * x * z * x3,
        K4G * (xx * x3 - yy * y3),
    )


@wp.func
def sh_gradient(d: wp.vec3, w: vec25) -> wp.vec3:
    """sum_k w[k] * grad Y_k(d), with Y_k the polynomials of sh_basis (also off the sphere)."""
    x = d[0]
    y = d[1]
    z = d[2]
    xx = x * x
    yy = y * y
    zz = z * z
    xy2 = 2.0 * x * y
    diff = xx - yy
    x3 = 3.0 * diff
    seven1 = 7.0 * zz - 1.0
    seven3 = 7.0 * zz - 3.0
    five1 = 5.0 * zz - 1.0
    gx = K1 * w[3] + K2A * (y * w[4] + z * w[7]) + 2.0 * K2C * x * w[8]
    gy = K1 * w[1] + K2A * (x * w[4] + z * w[5]) - 2.0 * K2C * y * w[8]
    gz = K1 * w[2] + K2A * (y * w[5] + x * w[7]) + 6.0 * K2B * z * w[6]
    gx += K3A * (3.0 * xy2 * w[9] + x3 * w[15]) + K3B * y * z * w[10] + K3C * five1 * w[13]
    gx += 2.0 * K3E * x * z * w[14]
    gy += K3A * (x3 * w[9] - 3.0 * xy2 * w[15]) + K3B * x * z * w[10] + K3C * five1 * w[11]
    gy -= 2.0 * K3E * y * z * w[14]
    gz += K3B * x * y * w[10] + 10.0 * K3C * z * (y * w[11] + x * w[13])
    gz += K3D * (15.0 * zz - 3.0) * w[12] + K3E * diff * w[14]
    a = K4A * w[16]
    b = K4C * seven1
    gx += a * y * (3.0 * xx - yy) + K4B * z * (3.0 * xy2 * w[17] + x3 * w[23]) + b * y * w[18]
    gx += K4D * z * seven3 * w[21] + 2.0 * K4F * x * seven1 * w[22]
    gx += 4.0 * K4G * x * (xx - 3.0 * yy) * w[24]
    gy += a * x * (xx - 3.0 * yy) + K4B * z * (x3 * w[17] - 3.0 * xy2 * w[23]) + b * x * w[18]
    gy += K4D * z * seven3 * w[19] - 2.0 * K4F * y * seven1 * w[22]
    gy += 4.0 * K4G * y * (yy - 3.0 * xx) * w[24]
    gz += K4B * (y * (3.0 * xx - yy) * w[17] + x * (xx - 3.0 * yy) * w[23])
    gz += 14.0 * K4C * x * y * z * w[18] + K4D * (21.0 * zz - 3.0) * (y * w[19] + x * w[21])
    gz += K4E * z * (140.0 * zz - 60.0) * w[20] + 14.0 * K4F * diff * z * w[22]
    return wp.vec3(gx, gy, gz)


@wp.func
def sh_band_scale(y: vec25, b1: float, b2: float, b3: float, b4: float) -> vec25:
    """y with the coefficients of band l multiplied by b_l (band 0 by 1)."""
    out = y
    for i in range(1, 4):
        out[i] = y[i] * b1
    for i in range(4, 9):
        out[i] = y[i] * b2
    for i in range(9, 16):
        out[i] = y[i] * b3
    for i in range(16, 25):
        out[i] = y[i] * b4
    return out


# The cosine lobe over pi: 1, 2/3, 1/4 of bands 0, 1, 2; nothing of band 3. Band 4 would take
# -1/24 and is left out, as its inventors do: irradiance is right to 1 % on average with nine
# coefficients (Ramamoorthi and Hanrahan 2001, section 3).
D1 = wp.constant(0.48860251 * 2.0 / 3.0)
D2A = wp.constant(1.09254843 / 4.0)
D2B = wp.constant(0.31539157 / 4.0)
D2C = wp.constant(0.54627422 / 4.0)


@wp.func
def irradiance_basis(n: wp.vec3) -> vec9:
    """The first nine basis functions at n, each times the cosine lobe's band."""
    x = n[0]
    y = n[1]
    z = n[2]
    return vec9(
        K0,
        D1 * y,
        D1 * z,
        D1 * x,
        D2A * x * y,
        D2A * y * z,
        D2B * (3.0 * z * z - 1.0),
        D2A * x * z,
        D2C * (x * x - y * y),
    )


@wp.func
def irradiance_gradient(n: wp.vec3, w: vec9) -> wp.vec3:
    """sum_k w[k] * grad of irradiance_basis."""
    x = n[0]
    y = n[1]
    z = n[2]
    return wp.vec3(
        D1 * w[3] + D2A * (y * w[4] + z * w[7]) + 2.0 * D2C * x * w[8],
        D1 * w[1] + D2A * (x * w[4] + z * w[5]) - 2.0 * D2C * y * w[8],
        D1 * w[2] + D2A * (y * w[5] + x * w[7]) + 6.0 * D2B * z * w[6],
    )
