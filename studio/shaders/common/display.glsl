// From linear light to what a screen takes, and the colour maps of data views.

// IEC 61966-2-1, clipped to what 8 bits hold.
vec3 display_encode(vec3 linear_rgb) {
    vec3 x = clamp(linear_rgb, 0.0, 1.0);
    return mix(1.055 * pow(x, vec3(1.0 / 2.4)) - 0.055, 12.92 * x, lessThanEqual(x, vec3(0.0031308)));
}

vec3 display_decode(vec3 encoded) {
    return mix(pow((encoded + 0.055) / 1.055, vec3(2.4)), encoded / 12.92, lessThanEqual(encoded, vec3(0.04045)));
}

// Half a step of 8 bits, up or down: keeps dark gradients from showing bands.
// Jimenez 2014, "Next Generation Post Processing in Call of Duty": interleaved gradient noise.
vec3 display_dither(vec3 encoded) {
    float noise = fract(52.9829189 * fract(dot(gl_FragCoord.xy, vec2(0.06711056, 0.00583715))));
    return encoded + (noise - 0.5) / 255.0;
}

// A polynomial in t, 0..1, evaluated by Horner's rule; coefficients from studio/gl/colormap.py.
const int COLORMAP_TERMS = 7;
uniform vec3 u_colormap[COLORMAP_TERMS];

vec3 colormap(float t) {
    float x = clamp(t, 0.0, 1.0);
    vec3 sum = u_colormap[COLORMAP_TERMS - 1];
    for (int i = COLORMAP_TERMS - 2; i >= 0; i--) sum = sum * x + u_colormap[i];
    return clamp(sum, 0.0, 1.0);  // encoded sRGB
}
