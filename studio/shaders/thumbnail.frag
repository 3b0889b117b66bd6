#include "common/overlay.glsl"
in vec2 v_uv;
flat in float v_photo;
out vec4 f_color;
uniform sampler2DArray u_thumbnails;
uniform int u_current;
uniform float u_length;  // of a frustum

void main() {
    // Between eye and object a photo would be in the way: it goes long before its frustum does.
    float opacity = int(v_photo) == u_current ? 0.95 : 0.7;
    f_color = vec4(texture(u_thumbnails, vec3(v_uv, v_photo)).rgb, opacity * overlay_opacity(8.0 * u_length));
}
