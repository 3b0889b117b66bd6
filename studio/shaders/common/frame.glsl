// What every pass of an effect may look at: the G-buffer, depth, the colour so far, the camera.
// One screen space in both renderers (studio/core/kernels/screen.py): positions "xy" are pixels of
// the whole picture, centres at .5, row 0 below, in half-size passes too. Read with texel() and
// weights of your own: filtering hardware has 8-bit weights, and the other renderer has none.
// Channels that effects make hold anything where covered() is false; color, depth and the surface
// are as below.
//
// A shader includes this, declares the samplers of the channels it reads (u_<channel>) and of the
// buffers of its earlier passes, and for each output
//     #ifdef WRITE_COLOR
//     layout(location = WRITE_COLOR) out vec4 f_color;
//     #endif
in vec2 v_uv;

uniform sampler2D u_gbuffer_albedo;    // rgb linear albedo, a covered (0 or 1)
uniform sampler2D u_gbuffer_normal;    // xyz world normal, unit; w perceptual roughness
uniform sampler2D u_gbuffer_position;  // xyz world position; w distance along the camera's -Z
uniform sampler2D u_gbuffer_material;  // r metallic, g occlusion, b part id
uniform sampler2D u_gbuffer_emission;  // rgb emitted radiance, a subsurface
uniform sampler2D u_depth;             // distance along -Z, u_far where nothing is
uniform sampler2D u_color;             // of the step before, a 1; 0 where nothing is

uniform mat4 u_world_to_view;
uniform mat4 u_view_to_world;
uniform mat4 u_view_to_clip;
uniform mat4 u_world_to_light;
uniform vec4 u_lens;  // P00, P11, P02, P12 of view_to_clip
uniform vec2 u_size;  // of the whole picture
uniform float u_far;
uniform int u_step;   // full pixels per pixel of this pass
uniform vec3 u_camera_position;
uniform vec3 u_background;

// The full pixel that this one stands for: texel (i, j) of a half picture is pixel (2i, 2j).
ivec2 pixel() {
    return ivec2(gl_FragCoord.xy) * u_step;
}

// The nearest pixel inside the picture.
ivec2 inside(ivec2 p) {
    return clamp(p, ivec2(0), ivec2(u_size) - 1);
}

bool covered(ivec2 p) {
    return texelFetch(u_gbuffer_albedo, p, 0).a > 0.0;
}

// The texel of an image of full size at a position, the nearest one inside. Where the processor
// draws it takes half as long as texelFetch.
vec4 texel(sampler2D image, vec2 xy) {
    return textureLod(image, xy / u_size, 0.0);
}

float depth_at(ivec2 p) {
    return texel(u_depth, vec2(p) + 0.5).r;
}

// The four depths around a corner of pixels: lower left and right, upper left and right.
vec4 depths_around(vec2 corner) {
    return textureGather(u_depth, corner / u_size).wzxy;
}

float depth_bilinear(vec2 xy) {
    vec2 corner = floor(xy - 0.5);
    vec2 f = xy - 0.5 - corner;
    vec4 d = depths_around(corner + 1.0);
    return mix(mix(d.x, d.y, f.x), mix(d.z, d.w, f.x), f.y);
}

// View space point seen at xy at distance d along -Z, and the way back.
vec3 view_point(vec2 xy, float d) {
    vec2 ndc = 2.0 * xy / u_size - 1.0;
    return vec3((ndc + u_lens.zw) * d / u_lens.xy, -d);
}

vec2 to_pixel(vec3 p) {
    return 0.5 * (u_lens.xy * p.xy / -p.z - u_lens.zw + 1.0) * u_size;
}

vec3 view_normal(ivec2 p) {
    return mat3(u_world_to_view) * texel(u_gbuffer_normal, vec2(p) + 0.5).xyz;
}
