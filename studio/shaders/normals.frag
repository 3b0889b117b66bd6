// A normal in the colour of its direction, as the channel shows it.
#include "common/display.glsl"
in vec3 v_direction;
out vec4 f_color;

void main() {
    f_color = vec4(display_decode(clamp(v_direction * 0.5 + 0.5, 0.0, 1.0)), 0.85);
}
