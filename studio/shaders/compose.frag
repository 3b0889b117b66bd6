// The last pass: scene over background and ground, against a photo, encoded for the screen.
// BACKGROUND is 0 studio gradient, 1 already in u_color, 2 photo. With COVERED or EMPTY the depth
// test picks the pixels, and nothing is worked out that they do not show.
#include "common/display.glsl"
#ifdef GROUND
#include "common/ground.glsl"
#endif
in vec2 v_uv;
out vec4 f_color;

uniform sampler2D u_color;     // linear, not premultiplied
uniform sampler2D u_coverage;  // a: share of the pixel that the scene covers

#ifdef PHOTO
#include "common/difference.glsl"
uniform sampler2D u_photo;      // linear rgb; a mask, -1 where the photo says nothing; or with
                                // OTHER a render of the same geometry, like u_color
uniform vec4 u_photo_placement; // photo uv = uv * xy + zw
uniform int u_photo_cutout;     // the photo has no background of its own
uniform int u_mode;             // 0 render, 1 target, 2 wipe, 3 split, 4 difference
uniform float u_wipe;
uniform float u_overlay;
uniform float u_difference_gain;
uniform float u_pixel;          // one interface pixel in uv.x
#endif

#ifdef OUTLINE
uniform sampler2D u_part;       // b: part id
uniform float u_selected;
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
        float covered = texture(u_coverage, at).a;
        inside += covered > 0.5 && abs(texture(u_part, at).b - u_selected) < 0.5 ? 1.0 : 0.0;
    }
    float here = texture(u_coverage, uv).a > 0.5 && abs(texture(u_part, uv).b - u_selected) < 0.5 ? 1.0 : 0.0;
    return smoothstep(0.0, 0.35, inside / float(TAPS)) * (1.0 - here);
}
#endif

uniform vec3 u_gradient_middle, u_gradient_edge;

// Soft grey, lightest a little above the middle, so that dark and light objects both stand out.
vec3 studio_gradient(vec2 uv) {
    vec2 d = uv - vec2(0.5, 0.72);
    d *= vec2(0.75, d.y > 0.0 ? 1.7 : 0.85);
    return mix(u_gradient_middle, u_gradient_edge, smoothstep(0.05, 0.85, length(d)));
}

#if defined(PHOTO) && !defined(OTHER)
vec4 photo_at(vec2 uv) {
    vec2 at = uv * u_photo_placement.xy + u_photo_placement.zw;
    bool inside = all(greaterThanEqual(at, vec2(0.0))) && all(lessThanEqual(at, vec2(1.0)));
    vec4 photo = texture(u_photo, at);
    return inside ? photo : vec4(studio_gradient(uv) * 0.6, -2.0);  // -2: outside the photo
}

// What is seen of the photo, and how much of it there is.
vec4 photo_layer(vec2 uv) {
    vec4 photo = photo_at(uv);
    float there = photo.a < -1.5 ? 0.0 : u_photo_cutout != 0 ? clamp(photo.a, 0.0, 1.0) : 1.0;
    return vec4(photo.a < -1.5 ? photo.rgb : mix(studio_gradient(uv), photo.rgb, there), there);
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
    base = mix(photo_layer(uv).rgb, color, coverage);
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

vec3 render_at(vec2 uv) {
    return completed(texture(u_color, uv).rgb, uv);
}

#ifdef OTHER
vec4 photo_at(vec2 uv) {
    return vec4(texture(u_photo, uv).rgb, texture(u_coverage, uv).a);
}

vec4 photo_layer(vec2 uv) {
    return vec4(completed(texture(u_photo, uv).rgb, uv), 1.0);
}
#endif

void main() {
    vec2 uv = v_uv;
#ifdef PHOTO
    // Split shows the middle half of each picture, so both show the object.
    if (u_mode == 3) uv.x += uv.x < 0.5 ? 0.25 : -0.25;
#endif
    vec3 encoded;
#ifdef PHOTO
    if (u_mode == 4) {
        vec4 photo = photo_at(uv);
        float error = photo_error(texture(u_color, uv).rgb, texture(u_coverage, uv).a, photo).x;
        encoded = photo.a < -0.5 ? display_encode(studio_gradient(uv) * 0.6) : colormap(error * u_difference_gain);
    } else {
        vec4 photo = photo_layer(uv);
        vec3 render = mix(render_at(uv), photo.rgb, photo.a * u_overlay);
        bool target = u_mode == 1 || (u_mode == 2 && v_uv.x > u_wipe) || (u_mode == 3 && v_uv.x > 0.5);
        encoded = display_encode(target ? photo.rgb : render);
        if (u_mode == 2 || u_mode == 3) {
            float divider = abs(v_uv.x - (u_mode == 2 ? u_wipe : 0.5)) / u_pixel;
            encoded = mix(encoded, vec3(0.93), 0.9 * clamp(1.25 - divider, 0.0, 1.0));
        }
    }
#else
    encoded = display_encode(render_at(uv));
#endif
    f_color = vec4(display_dither(encoded), 1.0);
}
