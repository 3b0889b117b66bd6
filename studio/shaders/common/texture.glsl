// Trilinear sampling with the level of core/kernels/texture_level.py: drivers may estimate it.

// (du/dX, du/dY, dv/dX, dv/dY) per pixel. uv / w and 1 / w are linear on the screen, so the
// differences that the GPU takes between neighbours are their exact derivatives.
vec4 screen_derivatives(vec2 uv) {
    float r = gl_FragCoord.w;
    vec2 linear = uv * r;
    vec2 along_x = (dFdx(linear) - uv * dFdx(r)) / r;
    vec2 along_y = (dFdy(linear) - uv * dFdy(r)) / r;
    return vec4(along_x.x, along_y.x, along_x.y, along_y.y);
}

// log2 of the longest axis of the footprint in texels.
float mip_level(vec4 uv_da, vec2 size) {
    vec2 along_x = uv_da.xz * size, along_y = uv_da.yw * size;
    float a = dot(along_x, along_x), b = dot(along_y, along_y), c = dot(along_x, along_y);
    float d = 0.5 * (a - b);
    return 0.5 * log2(max(0.5 * (a + b) + sqrt(d * d + c * c), 1e-30));
}

vec4 sample_texture(sampler2D image, vec2 uv, vec4 uv_da) {
    return textureLod(image, uv, mip_level(uv_da, vec2(textureSize(image, 0))));
}
