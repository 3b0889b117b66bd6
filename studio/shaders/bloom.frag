// Glow around what is very bright; the twin of studio/core/effects/bloom.py and ops/pyramid.py.
in vec2 v_uv;
out vec4 f_color;

uniform sampler2D u_color;
uniform float u_strength;
uniform float u_threshold;
uniform float u_knee;

vec3 bright(vec3 color) {
    color = max(color, 0.0);
    float most = max(color.r, max(color.g, color.b));
    float knee = max(u_knee, 1.0e-4);
    float part = clamp(most - u_threshold + knee, 0.0, 2.0 * knee);
    float excess = max(most - u_threshold, part * part / (4.0 * knee));
    return color * (excess / max(most, 1.0e-4));
}

// The texel at a position, the nearest one inside.
vec3 texel(sampler2D image, vec2 xy) {
    return textureLod(image, xy / vec2(textureSize(image, 0)), 0.0).rgb;
}

// Mean of the four texels that this pixel of half the size stands for.
vec3 halved(sampler2D image) {
    vec2 p = 2.0 * gl_FragCoord.xy - 0.5;
    vec3 low = texel(image, p) + texel(image, p + vec2(1, 0));
    return 0.25 * (low + texel(image, p + vec2(0, 1)) + texel(image, p + vec2(1, 1)));
}

// The picture of half the size at this pixel, bilinearly.
vec3 doubled(sampler2D image) {
    vec2 xy = 0.5 * gl_FragCoord.xy - 0.5;
    vec2 corner = floor(xy), f = xy - corner, p = corner + 0.5;
    vec3 low = mix(texel(image, p), texel(image, p + vec2(1, 0)), f.x);
    vec3 high = mix(texel(image, p + vec2(0, 1)), texel(image, p + vec2(1, 1)), f.x);
    return mix(low, high, f.y);
}

#if defined(PASS_DOWN1)
void main() {
    vec2 p = 2.0 * gl_FragCoord.xy - 0.5;
    vec3 low = bright(texel(u_color, p)) + bright(texel(u_color, p + vec2(1, 0)));
    vec3 high = bright(texel(u_color, p + vec2(0, 1))) + bright(texel(u_color, p + vec2(1, 1)));
    f_color = vec4(0.25 * (low + high), 1.0);
}
#elif defined(PASS_MAIN)
uniform sampler2D u_glow1;
void main() {
    vec4 color = texture(u_color, v_uv);
    f_color = vec4(color.rgb + u_strength * doubled(u_glow1), color.a);
}
#else
#if defined(PASS_DOWN2)
uniform sampler2D u_light1;
#define FINER u_light1
#elif defined(PASS_DOWN3)
uniform sampler2D u_light2;
#define FINER u_light2
#elif defined(PASS_DOWN4)
uniform sampler2D u_light3;
#define FINER u_light3
#elif defined(PASS_DOWN5)
uniform sampler2D u_light4;
#define FINER u_light4
#elif defined(PASS_UP4)
uniform sampler2D u_light4, u_light5;
#define OWN u_light4
#define COARSER u_light5
#elif defined(PASS_UP3)
uniform sampler2D u_light3, u_glow4;
#define OWN u_light3
#define COARSER u_glow4
#elif defined(PASS_UP2)
uniform sampler2D u_light2, u_glow3;
#define OWN u_light2
#define COARSER u_glow3
#else
uniform sampler2D u_light1, u_glow2;
#define OWN u_light1
#define COARSER u_glow2
#endif
void main() {
#ifdef FINER
    f_color = vec4(halved(FINER), 1.0);
#else
    f_color = vec4(0.5 * (texture(OWN, v_uv).rgb + doubled(COARSER)), 1.0);
#endif
}
#endif
