// Real spherical harmonics of bands 0 to 4. The same polynomials stand in
// studio/core/kernels/sh.py; order and signs of Ramamoorthi and Hanrahan 2001.

uniform vec3 u_sh[25];

// Width of the soft clamp at zero as a part of the environment's mean radiance.
const float SOFT_CLAMP = 0.02;

// max(x, 0) with a rounded corner as wide as SOFT_CLAMP * mean; 0 in the dark.
vec3 soft_clamp(vec3 x, vec3 mean) {
    vec3 t = SOFT_CLAMP * mean;
    return 0.5 * (x + sqrt(x * x + t * t));
}

// k of the GGX lobe's zonal harmonics exp(-l (l + 1) k); the fit is described in brdf.py.
float lobe_blur(float alpha) {
    return alpha * alpha / (0.255 + 2.494 * alpha + 1.338 * alpha * alpha);
}

// Radiance from unit direction d, each band l multiplied by b_l (band 0 by 1).
vec3 sh_radiance(vec3 d, float b1, float b2, float b3, float b4) {
    float x = d.x, y = d.y, z = d.z;
    float xx = x * x, yy = y * y, zz = z * z, xy = x * y;
    float diff = xx - yy, x3 = xx - 3.0 * yy, y3 = 3.0 * xx - yy;
    float seven1 = 7.0 * zz - 1.0, seven3 = 7.0 * zz - 3.0, five1 = 5.0 * zz - 1.0;
    vec3 sum = 0.28209479 * u_sh[0];
    sum += (b1 * 0.48860251) * (y * u_sh[1] + z * u_sh[2] + x * u_sh[3]);
    sum += b2 * (1.09254843 * (xy * u_sh[4] + y * z * u_sh[5] + x * z * u_sh[7]) +
                 (0.31539157 * (3.0 * zz - 1.0)) * u_sh[6] + (0.54627422 * diff) * u_sh[8]);
    if (b3 == 0.0) return sum;  // a constant: the two upper bands are not computed
    sum += b3 * (0.59004359 * (y * y3 * u_sh[9] + x * x3 * u_sh[15]) + (2.89061144 * xy * z) * u_sh[10] +
                     (0.45704580 * five1) * (y * u_sh[11] + x * u_sh[13]) +
                     (0.37317633 * z * (5.0 * zz - 3.0)) * u_sh[12] + (1.44530572 * z * diff) * u_sh[14]);
    sum += b4 * ((2.50334294 * xy * diff) * u_sh[16] + (1.77013077 * z) * (y * y3 * u_sh[17] + x * x3 * u_sh[23]) +
                 seven1 * ((0.94617470 * xy) * u_sh[18] + (0.47308735 * diff) * u_sh[22]) +
                 (0.66904654 * z * seven3) * (y * u_sh[19] + x * u_sh[21]) +
                 (0.10578555 * (35.0 * zz * zz - 30.0 * zz + 3.0)) * u_sh[20] +
                 (0.62583574 * (xx * x3 - yy * y3)) * u_sh[24]);
    return sum;
}

// Irradiance over pi: the cosine lobe's bands 1, 2/3, 1/4; why not band 4 is told in sh.py.
vec3 sh_diffuse(vec3 n) {
    return sh_radiance(n, 2.0 / 3.0, 0.25, 0.0, 0.0);
}

// The environment seen by a GGX lobe around unit vector r.
vec3 sh_specular(vec3 r, float alpha) {
    float b = exp(-2.0 * lobe_blur(alpha));  // l (l + 1) = 2, 6, 12, 20 are powers of it
    float b3 = b * b * b, b6 = b3 * b3;
    return sh_radiance(r, b, b3, b6, b6 * b3 * b);
}
