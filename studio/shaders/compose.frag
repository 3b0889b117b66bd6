// The last pass: scene over background and ground, against another picture, encoded for the screen.
// BACKGROUND is 0 studio gradient, 1 already in the colour, 2 the right picture. With COVERED or EMPTY
// the depth test picks the pixels, and nothing is worked out that they do not show.
#include "common/display.glsl"
#include "common/sides.glsl"
#ifdef GROUND
#include "common/ground.glsl"
#endif
in vec2 v_uv;
out vec4 f_color;

#ifdef RIGHT
uniform int u_mode;             // 0 left, 1 right, 2 wipe, 3 split, 4 difference, 5 side by side
uniform float u_wipe;
uniform float u_overlay;
uniform int u_error;            // 0 absolute, 1 squared, 2 relative, 3 the map
uniform float u_per_range;      // one over the error at the top of the colour map
uniform sampler2D u_map;        // r: an error map of this view, negative where there is none
uniform float u_pixel;          // one interface pixel in uv.x
#endif

#ifdef OUTLINE
uniform sampler2D u_part;       // r: 1 where the selected part is, as if it were alone
uniform vec2 u_outline;         // its width in uv
uniform vec3 u_accent;

// Share of a ring around uv that belongs to the selected part, for pixels outside of it.
float outline_strength(vec2 uv) {
    const int TAPS = 16;
    float inside = 0.0;
    for (int i = 0; i < TAPS; i++) {
        float angle = 6.2831853 * (float(i) + 0.5) / float(TAPS);
        float radius = (i & 1) == 0 ? 1.0 : 0.55;
        vec2 at = uv + u_outline * radius * vec2(cos(angle), sin(angle));
        inside += texture(u_part, at).r;
    }
    float here = texture(u_part, uv).r;
    return smoothstep(0.0, 0.35, inside / float(TAPS)) * (1.0 - here);
}
#endif

uniform vec3 u_gradient_middle, u_gradient_edge;
#ifdef WINDOW
uniform vec4 u_window;          // where this tile lies in the whole picture: its uv = uv * zw + xy
#endif

// Soft grey, lightest a little above the middle, so that dark and light objects both stand out.
vec3 studio_gradient(vec2 uv) {
#ifdef WINDOW
    uv = uv * u_window.zw + u_window.xy;
#endif
    vec2 d = uv - vec2(0.5, 0.72);
    d *= vec2(0.75, d.y > 0.0 ? 1.7 : 0.85);
    return mix(u_gradient_middle, u_gradient_edge, smoothstep(0.05, 0.85, length(d)));
}

// What is seen of a still picture, and how much of it there is.
vec4 still_layer(vec4 value, bool cutout, vec2 uv) {
    vec3 gradient = studio_gradient(uv);
    if (value.a < -1.5) return vec4(gradient * 0.6, 0.0);
    float there = cutout ? clamp(value.a, 0.0, 1.0) : 1.0;
    return vec4(mix(gradient, value.rgb, there), there);
}

#ifdef RIGHT_STILL
vec4 right_still(vec2 uv) {
    return still_layer(right_value(uv), u_right_cutout != 0, uv);
}
#endif

// A render with what lies behind and around it.
vec3 completed(vec3 color, vec2 uv) {
    vec3 base = color;
#ifndef COVERED
#ifdef EMPTY
    float coverage = 0.0;
#else
    float coverage = texture(u_coverage, uv).a;
#endif
#if BACKGROUND == 0
    base = mix(studio_gradient(uv), color, coverage);
#elif BACKGROUND == 2
    base = mix(right_still(uv).rgb, color, coverage);
#endif
#ifdef GROUND
    vec4 ground = ground_layer(uv);
    base += (ground.rgb - ground.a * base) * (1.0 - coverage);
#endif
#endif
#ifdef OUTLINE
    base = mix(base, u_accent, outline_strength(uv));
#endif
    return base;
}

vec3 left_layer(vec2 uv) {
#ifdef LEFT_STILL
    return still_layer(left_value(uv), u_left_cutout != 0, uv).rgb;
#else
    return completed(texture(u_left, uv).rgb, uv);
#endif
}

#ifdef RIGHT
vec4 right_layer(vec2 uv) {
#ifdef RIGHT_STILL
    return right_still(uv);
#else
    return vec4(completed(texture(u_right, uv).rgb, uv), 1.0);
#endif
}

vec3 error_color(vec2 uv) {
    vec4 a = left_compared(uv), b = right_compared(uv);
    float weight = pair_weight(a, b), error;
    if (u_error == 3) {
        error = texture(u_map, uv).r;
    } else {
        vec3 d = display_encode(a.rgb) - display_encode(b.rgb);
        if (u_error == 1) d *= d;
        if (u_error == 2) d = (a.rgb - b.rgb) / (b.rgb + 0.01);  // the 0.01 keeps black from being infinite
        error = dot(abs(d), vec3(1.0 / 3.0)) * weight;
    }
    bool outside = min(a.a, b.a) < -0.5 || error < 0.0;
    return outside ? display_encode(studio_gradient(uv) * 0.6) : colormap(error * u_per_range);
}
#endif

#ifdef CLIPPING
// Hatched: red where a colour is brighter than the screen shows, blue where all of them are black.
vec3 marked(vec3 color) {
    const float DARKEST = 0.5 / 255.0 / 12.92;  // rounds to 0 of 255
    bool stripe = fract((gl_FragCoord.x + gl_FragCoord.y) / 8.0) < 0.5;
    if (!stripe) return color;
    if (max(color.r, max(color.g, color.b)) > 1.0 + 1e-4) return vec3(1.0, 0.05, 0.05);
    if (max(color.r, max(color.g, color.b)) < DARKEST) return vec3(0.05, 0.15, 1.0);
    return color;
}
#else
#define marked(color) color
#endif

void main() {
    vec2 uv = v_uv;
#ifdef RIGHT
    // Split shows the middle half of each picture, so both show the object; side by side all of
    // each, at half the size.
    bool second = v_uv.x > 0.5;
    if (u_mode == 3) uv.x += second ? -0.25 : 0.25;
    if (u_mode == 5) uv = vec2(second ? 2.0 * uv.x - 1.0 : 2.0 * uv.x, 2.0 * uv.y - 0.5);
    vec3 encoded;
    if (u_mode == 4) {
        encoded = error_color(uv);
    } else {
        vec4 right = right_layer(uv);
        vec3 left = mix(left_layer(uv), right.rgb, right.a * u_overlay);
        bool chosen = u_mode == 1 || (u_mode == 2 && v_uv.x > u_wipe) || ((u_mode == 3 || u_mode == 5) && second);
        vec3 color = marked(chosen ? right.rgb : left);
        if (u_mode == 5 && abs(uv.y - 0.5) > 0.5) color = studio_gradient(v_uv) * 0.6;
        encoded = display_encode(color);
        if (u_mode == 2 || u_mode == 3 || u_mode == 5) {
            float divider = abs(v_uv.x - (u_mode == 2 ? u_wipe : 0.5)) / u_pixel;
            encoded = mix(encoded, vec3(0.93), 0.9 * clamp(1.25 - divider, 0.0, 1.0));
        }
    }
#else
    vec3 encoded = display_encode(marked(left_layer(uv)));
#endif
    f_color = vec4(display_dither(encoded), 1.0);
}
