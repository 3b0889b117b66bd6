// What is seen where nothing is.
in vec2 v_uv;
layout(location = 0) out vec4 f_color;
uniform vec3 u_background;
#ifdef SCENERY
uniform sampler2D u_scenery;  // the background channel
#endif

void main() {
#ifdef SCENERY
    f_color = vec4(texture(u_scenery, v_uv).rgb, 1.0);
#else
    f_color = vec4(u_background, 1.0);
#endif
}
