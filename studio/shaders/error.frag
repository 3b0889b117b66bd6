// Per-pixel error and weight, for the mean.
#include "common/display.glsl"
#include "common/difference.glsl"
in vec2 v_uv;
out vec2 f_error;
uniform sampler2D u_color;
uniform sampler2D u_coverage;
uniform sampler2D u_photo;
uniform vec4 u_photo_placement;

void main() {
    vec2 at = v_uv * u_photo_placement.xy + u_photo_placement.zw;
    bool inside = all(greaterThanEqual(at, vec2(0.0))) && all(lessThanEqual(at, vec2(1.0)));
    vec4 photo = inside ? texture(u_photo, at) : vec4(0.0, 0.0, 0.0, -2.0);
#ifdef OTHER
    photo.a = texture(u_coverage, v_uv).a;  // another render of the same geometry
#endif
    f_error = photo_error(texture(u_color, v_uv).rgb, texture(u_coverage, v_uv).a, photo);
}
