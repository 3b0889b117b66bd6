// The two pictures of a comparison. A live one is a render of this view, its coverage in
// u_coverage; a still one (LEFT_STILL, RIGHT_STILL) lies where its placement says, and its alpha is
// a mask: -1 where it says nothing.
uniform sampler2D u_left;          // linear, not premultiplied
uniform sampler2D u_coverage;      // a: share of the pixel that the scene covers
uniform float u_still_gain;        // exposure of still pictures; renders have it
uniform vec3 u_behind;             // what differences have where a picture has no background
#ifdef LEFT_STILL
uniform vec4 u_left_placement;     // picture uv = uv * xy + zw
uniform int u_left_cutout;         // 1: no background of its own; 2: nor at its outlines
#endif
#ifdef RIGHT
uniform sampler2D u_right;
#ifdef RIGHT_STILL
uniform vec4 u_right_placement;
uniform int u_right_cutout;
#endif
#endif

const float OUTSIDE = -2.0;

vec4 still_value(sampler2D picture, vec4 place, vec2 uv) {
    vec2 at = uv * place.xy + place.zw;
    bool inside = all(greaterThanEqual(at, vec2(0.0))) && all(lessThanEqual(at, vec2(1.0)));
    vec4 value = texture(picture, at);
    return inside ? vec4(value.rgb * u_still_gain, value.a) : vec4(0.0, 0.0, 0.0, OUTSIDE);
}

// Linear colour, and coverage or mask.
vec4 left_value(vec2 uv) {
#ifdef LEFT_STILL
    return still_value(u_left, u_left_placement, uv);
#else
    return vec4(texture(u_left, uv).rgb, texture(u_coverage, uv).a);
#endif
}

#ifdef RIGHT
vec4 right_value(vec2 uv) {
#ifdef RIGHT_STILL
    return still_value(u_right, u_right_placement, uv);
#else
    return vec4(texture(u_right, uv).rgb, texture(u_coverage, uv).a);
#endif
}
#endif

vec4 over_behind(vec4 value, bool without) {
    return without ? vec4(mix(u_behind, value.rgb, clamp(value.a, 0.0, 1.0)), value.a) : value;
}

// The same over one background, for differences. With BEHIND renders have none yet.
vec4 left_compared(vec2 uv) {
#if defined(LEFT_STILL)
    return over_behind(left_value(uv), u_left_cutout == 2);
#elif defined(BEHIND)
    return over_behind(left_value(uv), true);
#else
    return left_value(uv);
#endif
}

#ifdef RIGHT
vec4 right_compared(vec2 uv) {
#if defined(RIGHT_STILL)
    return over_behind(right_value(uv), u_right_cutout == 2);
#elif defined(BEHIND)
    return over_behind(right_value(uv), true);
#else
    return right_value(uv);
#endif
}
#endif

// How much a pixel counts: what neither mask nor scene covers is background on both sides.
float pair_weight(vec4 a, vec4 b) {
    return min(a.a, b.a) < -0.01 ? 0.0 : max(a.a, b.a);
}
