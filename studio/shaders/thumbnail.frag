#include "common/overlay.glsl"
in vec2 v_uv;
flat in float v_photo;
out vec4 f_color;
uniform sampler2DArray u_thumbnails;
uniform int u_current;

void main() {
    float opacity = int(v_photo) == u_current ? 0.95 : 0.7;
    f_color = vec4(texture(u_thumbnails, vec3(v_uv, v_photo)).rgb, opacity * overlay_opacity());
}
