// Normal and depth of every second pixel, where there is a surface.
#include "common/frame.glsl"

layout(location = 0) out vec4 f_surface;

void main() {
    vec2 p = 2.0 * gl_FragCoord.xy - 0.5;
    float depth = texel(u_depth, p).r;
    if (depth >= u_far) discard;
    f_surface = vec4(texel(u_gbuffer_normal, p).xyz, depth);
}
