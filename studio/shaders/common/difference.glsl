// The difference between a render and a photo, as the optimizer sees it.

// x: mean absolute error of sRGB values times weight, y: weight. The photo's alpha is its mask
// (negative: says nothing). What neither mask nor scene covers is background on both sides.
vec2 photo_error(vec3 render, float coverage, vec4 photo) {
    if (photo.a < -0.01) return vec2(0.0);
    float weight = max(coverage, photo.a);
    vec3 error = abs(display_encode(render) - display_encode(photo.rgb));
    return vec2((error.r + error.g + error.b) / 3.0 * weight, weight);
}
