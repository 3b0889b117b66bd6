// Volume and points into the G-buffer, as a surface where they are nearest and cover most of a pixel:
// for picking, for what is drawn over the scene, and for channels. SOFT only takes the coverage along.
#include "common/display.glsl"
in vec2 v_uv;
#ifdef SOFT
out vec4 f_albedo;
#else
layout(location = 0) out vec4 f_normal;
layout(location = 1) out vec4 f_position;
layout(location = 2) out vec4 f_material;
layout(location = 3) out vec4 f_albedo;  // only where channels are shown
#endif

uniform sampler2D u_color;
#ifdef VOLUME
uniform sampler2D u_volume;
uniform sampler2D u_volume_depth;
#endif
#ifdef POINTS
uniform sampler2D u_points;
uniform sampler2D u_points_depth;
#endif
uniform vec4 u_lens;
uniform vec2 u_depths;         // the last column of the z row of view_to_clip, and the one before
uniform mat4 u_view_to_world;
uniform float u_part;          // of the volume; the points' is the next

void main() {
    vec3 color = vec3(0.0);
    float alpha = 0.0, depth = 0.0, part = u_part;
#ifdef VOLUME
    vec4 fog = texture(u_volume, v_uv);
    alpha = fog.a;
    color = fog.rgb / max(alpha, 1.0 / 512.0);
    depth = texture(u_volume_depth, v_uv).r / max(alpha, 1.0 / 512.0);
#endif
#ifdef POINTS
    vec4 dots = texture(u_points, v_uv);
    float there = texture(u_points_depth, v_uv).r / max(dots.a, 1.0 / 512.0);
    if (dots.a > 0.5 && (alpha < 0.5 || there < depth)) {
        alpha = dots.a;
        color = display_decode(dots.rgb / alpha);
        depth = there;
        part = u_part + 1.0;
    } else {
        alpha = max(alpha, dots.a);
        if (depth == 0.0) depth = there;
    }
#endif
    vec3 view = vec3((2.0 * v_uv - 1.0 + u_lens.zw) * depth / u_lens.xy, -depth);
    gl_FragDepth = clamp(0.5 * (u_depths.y - u_depths.x * depth) / depth + 0.5, 0.0, 0.9999999);
#ifdef SOFT
    if (alpha < 1.0 / 512.0) discard;
    f_albedo = texture(u_color, v_uv);
#else
    if (alpha < 0.5) discard;
    f_albedo = vec4(color, 1.0);
    f_normal = vec4(-normalize(mat3(u_view_to_world) * view), 1.0);
    f_position = vec4((u_view_to_world * vec4(view, 1.0)).xyz, depth);
    f_material = vec4(0.0, 1.0, part, 0.0);
#endif
}
