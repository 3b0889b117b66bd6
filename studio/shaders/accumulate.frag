// One jittered frame, added to the sum by blending. With PARTLY pixels are covered in part, and rgb is
// not premultiplied; else what covers nothing is black or the background.
in vec2 v_uv;
out vec4 f_color;
uniform sampler2D u_color;
uniform sampler2D u_gbuffer_albedo;

void main() {
    f_color = vec4(texture(u_color, v_uv).rgb, texture(u_gbuffer_albedo, v_uv).a);
#ifdef PARTLY
    f_color.rgb *= f_color.a;
#endif
}
