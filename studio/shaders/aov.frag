// One channel of the frame as a picture. Written in linear light such that encoding for the
// screen gives back the intended value, so data views share accumulation with shaded ones.
#include "common/display.glsl"
in vec2 v_uv;
out vec4 f_color;
uniform sampler2D u_gbuffer_albedo;  // a covered
uniform sampler2D u_aov;             // the image that holds the channel
uniform int u_show;        // index in studio.core.channels.SHOWS
uniform int u_first;       // component of the image that the channel begins with
uniform int u_count;       // components of which a single number is the mean
uniform int u_where_empty; // the channel is of the pixels where nothing is
uniform vec3 u_low;        // what maps to 0: a corner of the scene's box, or of a single number in x
uniform vec3 u_high;       // what maps to 1
uniform int u_mapped;      // a single number is shown in the colour map
uniform vec3 u_background;

const int LIGHT = 0, COLOR = 1, UNIT = 2, DIRECTION = 3, POSITION = 4, DEPTH = 5, UV = 6, NUMBER = 7;

// Hues a golden angle apart: neighbours in number differ most in colour.
vec3 part_color(float id) {
    float hue = fract(0.08 + id * 0.61803399);
    vec3 rgb = clamp(abs(fract(hue + vec3(0.0, 2.0 / 3.0, 1.0 / 3.0)) * 6.0 - 3.0) - 1.0, 0.0, 1.0);
    return mix(vec3(0.75), rgb, 0.6) * 0.9;
}

void main() {
    float there = texture(u_gbuffer_albedo, v_uv).a;
    if (u_where_empty != 0) there = 1.0 - there;
    vec4 value = texture(u_aov, v_uv);
    float number = 0.0;
    for (int i = 0; i < u_count; i++) number += value[u_first + i];
    number /= float(u_count);
    if (u_show == UNIT || u_show == DEPTH) number = (number - u_low.x) / max(u_high.x - u_low.x, 1e-6);
    if (u_show == DEPTH) number = 1.0 - number;  // near is light
    vec3 shown = u_mapped != 0 ? colormap(number) : vec3(number);
    if (u_show == DIRECTION) shown = value.xyz * 0.5 + 0.5;
    if (u_show == POSITION) shown = (value.xyz - u_low) / max(u_high - u_low, vec3(1e-6));
    if (u_show == UV) shown = vec3(value.xy, 0.0);
    if (u_show == NUMBER) shown = part_color(number);
    bool linear = u_show == LIGHT || u_show == COLOR;
    vec3 color = linear ? value.rgb : display_decode(clamp(shown, 0.0, 1.0));
    f_color = vec4(mix(u_background, color, there), 1.0);
}
