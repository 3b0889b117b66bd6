"""Real spherical harmonics of bands 0 to 4 and their derivatives, as C++ of lanes (see lanes.py).

Order and signs of Ramamoorthi and Hanrahan 2001: l ascending, m from -l to l, without the
Condon-Shortley phase. The same polynomials stand in studio/shaders/common/sh.glsl.
"""

from __future__ import annotations

K0 = 0.28209479
"""The constant basis function, Y_00."""

# sqrt((2l+1)/(4 pi) ...) of each polynomial, Sloan 2008, "Stupid Spherical Harmonics Tricks", A2
_FACTORS = f"""
    constexpr float K0 = {K0}f, K1 = 0.48860251f;
    constexpr float K2A = 1.09254843f, K2B = 0.31539157f, K2C = 0.54627422f;
    constexpr float K3A = 0.59004359f, K3B = 2.89061144f, K3C = 0.45704580f;
    constexpr float K3D = 0.37317633f, K3E = 1.44530572f;
    constexpr float K4A = 2.50334294f, K4B = 1.77013077f, K4C = 0.94617470f, K4D = 0.66904654f;
    constexpr float K4E = 0.10578555f, K4F = 0.47308735f, K4G = 0.62583574f;
"""

# The 25 basis functions at unit vector d.
_BASIS = """
        static void basis(V d, F* out) {
            const F x = d.x, y = d.y, z = d.z, xx = x * x, yy = y * y, zz = z * z, xy = x * y;
            const F diff = xx - yy, x3 = xx - 3.0f * yy, y3 = 3.0f * xx - yy;
            const F five1 = 5.0f * zz - 1.0f, seven1 = 7.0f * zz - 1.0f, seven3 = 7.0f * zz - 3.0f;
            out[0] = F(K0);
            out[1] = K1 * y;
            out[2] = K1 * z;
            out[3] = K1 * x;
            out[4] = K2A * xy;
            out[5] = K2A * y * z;
            out[6] = K2B * (3.0f * zz - 1.0f);
            out[7] = K2A * x * z;
            out[8] = K2C * diff;
            out[9] = K3A * y * y3;
            out[10] = K3B * xy * z;
            out[11] = K3C * y * five1;
            out[12] = K3D * z * (5.0f * zz - 3.0f);
            out[13] = K3C * x * five1;
            out[14] = K3E * z * diff;
            out[15] = K3A * x * x3;
            out[16] = K4A * xy * diff;
            out[17] = K4B * y * z * y3;
            out[18] = K4C * xy * seven1;
            out[19] = K4D * y * z * seven3;
            out[20] = K4E * (35.0f * zz * zz - 30.0f * zz + 3.0f);
            out[21] = K4D * x * z * seven3;
            out[22] = K4F * diff * seven1;
            out[23] = K4B * x * z * x3;
            out[24] = K4G * (xx * x3 - yy * y3);
        }
"""

# sum_k w[k] * grad Y_k(d), with Y_k the polynomials of `basis` (also off the sphere).
_GRADIENT = """
        static V gradient(V d, const F* w) {
            const F x = d.x, y = d.y, z = d.z, xx = x * x, yy = y * y, zz = z * z, xy2 = 2.0f * x * y;
            const F diff = xx - yy, x3 = 3.0f * diff;
            const F five1 = 5.0f * zz - 1.0f, seven1 = 7.0f * zz - 1.0f, seven3 = 7.0f * zz - 3.0f;
            F gx = K1 * w[3] + K2A * (y * w[4] + z * w[7]) + 2.0f * K2C * x * w[8];
            F gy = K1 * w[1] + K2A * (x * w[4] + z * w[5]) - 2.0f * K2C * y * w[8];
            F gz = K1 * w[2] + K2A * (y * w[5] + x * w[7]) + 6.0f * K2B * z * w[6];
            gx += K3A * (3.0f * xy2 * w[9] + x3 * w[15]) + K3B * y * z * w[10] + K3C * five1 * w[13];
            gx += 2.0f * K3E * x * z * w[14];
            gy += K3A * (x3 * w[9] - 3.0f * xy2 * w[15]) + K3B * x * z * w[10] + K3C * five1 * w[11];
            gy -= 2.0f * K3E * y * z * w[14];
            gz += K3B * x * y * w[10] + 10.0f * K3C * z * (y * w[11] + x * w[13]);
            gz += K3D * (15.0f * zz - 3.0f) * w[12] + K3E * diff * w[14];
            const F a = K4A * w[16], b = K4C * seven1;
            gx += a * y * (3.0f * xx - yy) + K4B * z * (3.0f * xy2 * w[17] + x3 * w[23]) + b * y * w[18];
            gx += K4D * z * seven3 * w[21] + 2.0f * K4F * x * seven1 * w[22];
            gx += 4.0f * K4G * x * (xx - 3.0f * yy) * w[24];
            gy += a * x * (xx - 3.0f * yy) + K4B * z * (x3 * w[17] - 3.0f * xy2 * w[23]) + b * x * w[18];
            gy += K4D * z * seven3 * w[19] - 2.0f * K4F * y * seven1 * w[22];
            gy += 4.0f * K4G * y * (yy - 3.0f * xx) * w[24];
            gz += K4B * (y * (3.0f * xx - yy) * w[17] + x * (xx - 3.0f * yy) * w[23]);
            gz += 14.0f * K4C * x * y * z * w[18] + K4D * (21.0f * zz - 3.0f) * (y * w[19] + x * w[21]);
            gz += K4E * z * (140.0f * zz - 60.0f) * w[20] + 14.0f * K4F * diff * z * w[22];
            return {gx, gy, gz};
        }
"""

# The first nine basis functions at n, each times the cosine lobe over pi: 1, 2/3, 1/4 of bands
# 0, 1, 2; nothing of band 3. Band 4 would take -1/24 and is left out, as its inventors do:
# irradiance is right to 1 % on average with nine coefficients (Ramamoorthi and Hanrahan 2001,
# section 3). And sum_k w[k] * grad of them.
_IRRADIANCE = """
        static void irradiance(V n, F* out) {
            constexpr float D1 = K1 * 2.0f / 3.0f, D2 = 0.25f * K2A;
            out[0] = F(K0);
            out[1] = D1 * n.y;
            out[2] = D1 * n.z;
            out[3] = D1 * n.x;
            out[4] = D2 * n.x * n.y;
            out[5] = D2 * n.y * n.z;
            out[6] = 0.25f * K2B * (3.0f * n.z * n.z - 1.0f);
            out[7] = D2 * n.x * n.z;
            out[8] = 0.25f * K2C * (n.x * n.x - n.y * n.y);
        }
        static V irradiance_gradient(V n, const F* w) {
            constexpr float D1 = K1 * 2.0f / 3.0f, D2 = 0.25f * K2A;
            return {D1 * w[3] + D2 * (n.y * w[4] + n.z * w[7]) + 0.5f * K2C * n.x * w[8],
                    D1 * w[1] + D2 * (n.x * w[4] + n.z * w[5]) - 0.5f * K2C * n.y * w[8],
                    D1 * w[2] + D2 * (n.y * w[5] + n.x * w[7]) + 1.5f * K2B * n.z * w[6]};
        }
"""

# What many coefficients, rows of three at `sh`, make of a basis.
_SUM = """
        static V sum(const F* y, const float* sh, int count) {
            V out = V::all(F(0.0f));
            for (int k = 0; k < count; ++k) out += V::of(sh + 3 * k) * y[k];
            return out;
        }
        // y with the coefficients of band l multiplied by b^(l (l + 1) / 2).
        static void blur(F* y, F b) {
            const F b3 = b * b * b, b6 = b3 * b3, b10 = b6 * b3 * b;
            for (int k = 1; k < 4; ++k) y[k] *= b;
            for (int k = 4; k < 9; ++k) y[k] *= b3;
            for (int k = 9; k < 16; ++k) y[k] *= b6;
            for (int k = 16; k < 25; ++k) y[k] *= b10;
        }
        // sum_k l (l + 1) y[k] w[k].
        static F curvature(const F* y, const F* w) {
            F out = F(0.0f);
            for (int k = 1; k < 4; ++k) out += 2.0f * y[k] * w[k];
            for (int k = 4; k < 9; ++k) out += 6.0f * y[k] * w[k];
            for (int k = 9; k < 16; ++k) out += 12.0f * y[k] * w[k];
            for (int k = 16; k < 25; ++k) out += 20.0f * y[k] * w[k];
            return out;
        }
"""

HARMONICS = _FACTORS + "    struct Harmonics {" + _BASIS + _GRADIENT + _IRRADIANCE + _SUM + "    };\n"
