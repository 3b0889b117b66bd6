// One Gaussian per instance: its ellipse on the screen (studio/core/kernels/splat_project.py) as a
// rectangle of two triangles. DEGREE is that of the harmonics, 0 to 2.
in int in_splat;  // which one, farthest first
out vec2 v_offset;         // pixels from its centre
flat out vec3 v_conic;     // inverse covariance xx, xy, yy
flat out vec4 v_color;     // display rgb, opacity
flat out float v_depth;

uniform sampler2D u_splats;  // rows of texels, PER_SPLAT of them each; see studio/gl/splats.py
uniform mat4 u_world_to_view;
uniform mat4 u_view_to_clip;
uniform vec3 u_eye;
uniform vec2 u_size;
uniform float u_variance;    // the size scale, squared

const int PER_SPLAT = 3 + (3 * (DEGREE + 1) * (DEGREE + 1) + 3) / 4;
const int PER_ROW = 1024;
const float LEAST = 1.0 / 255.0, NEAR = 1.0e-2, LOW_PASS = 0.3, FARTHEST_OUT = 1.3;

vec4 texel_of(int k) {
    return texelFetch(u_splats, ivec2(in_splat % PER_ROW * PER_SPLAT + k, in_splat / PER_ROW), 0);
}

vec3 display_color(vec3 d) {
    vec4 c0 = texel_of(3);
    vec3 sum = 0.28209479 * c0.rgb;
#if DEGREE > 0
    vec4 c1 = texel_of(4), c2 = texel_of(5);
    sum += 0.48860251 * (d.y * vec3(c0.w, c1.xy) + d.z * vec3(c1.zw, c2.x) + d.x * c2.yzw);
#endif
#if DEGREE > 1
    vec4 c3 = texel_of(6), c4 = texel_of(7), c5 = texel_of(8), c6 = texel_of(9);
    sum += 1.09254843 * (d.x * d.y * c3.xyz + d.y * d.z * vec3(c3.w, c4.xy));
    sum += 0.31539157 * (3.0 * d.z * d.z - 1.0) * vec3(c4.zw, c5.x);
    sum += 1.09254843 * d.x * d.z * c5.yzw + 0.54627422 * (d.x * d.x - d.y * d.y) * c6.xyz;
#endif
    return max(0.5 + sum, 0.0);
}

void main() {
    vec4 place = texel_of(0), first = texel_of(1), second = texel_of(2);
    vec3 p = (u_world_to_view * vec4(place.xyz, 1.0)).xyz;
    float w = -p.z, opacity = place.w;
    vec2 focal = 0.5 * u_size * vec2(u_view_to_clip[0][0], u_view_to_clip[1][1]);
    vec2 middle = 0.5 * u_size * (1.0 - vec2(u_view_to_clip[2][0], u_view_to_clip[2][1]));
    mat3 cov = u_variance * mat3(first.x, first.y, first.z, first.y, first.w, second.x,
                                 first.z, second.x, second.y);
    mat3 turn = mat3(u_world_to_view);
    vec3 jx = transpose(turn) * vec3(focal.x / w, 0.0, focal.x * p.x / (w * w));
    vec3 jy = transpose(turn) * vec3(0.0, focal.y / w, focal.y * p.y / (w * w));
    float xx = dot(jx, cov * jx), xy = dot(jx, cov * jy), yy = dot(jy, cov * jy);
    float full = (xx + LOW_PASS) * (yy + LOW_PASS) - xy * xy;
    opacity *= sqrt(max(xx * yy - xy * xy, 1.0e-12) / full);
    vec2 center = focal * p.xy / w + middle;
    vec2 out_by = abs(center - 0.5 * u_size) / (0.5 * u_size);
    gl_Position = vec4(2.0, 2.0, 2.0, 1.0);  // nowhere
    v_offset = vec2(0.0), v_conic = vec3(0.0), v_color = vec4(0.0), v_depth = 0.0;
    if (w <= NEAR || max(out_by.x, out_by.y) >= FARTHEST_OUT || opacity <= LEAST) return;
    float reach = 2.0 * log(opacity / LEAST);
    vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 2.0 - 1.0;
    v_offset = corner * sqrt(reach * (vec2(xx, yy) + LOW_PASS));
    v_conic = vec3(yy + LOW_PASS, -xy, xx + LOW_PASS) / full;
    v_color = vec4(display_color(normalize(place.xyz - u_eye)), opacity);
    v_depth = w;
    float z = (u_view_to_clip[2][2] * p.z + u_view_to_clip[3][2]) / w;
    gl_Position = vec4((center + v_offset) / (0.5 * u_size) - 1.0, clamp(z, -1.0, 1.0), 1.0);
}
