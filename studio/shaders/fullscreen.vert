// One triangle that covers the screen; needs no vertex buffer. With FAR it lies on the far
// plane, so that a depth test of "greater" lets it through only where geometry was drawn.
out vec2 v_uv;

void main() {
    v_uv = vec2(float((gl_VertexID << 1) & 2), float(gl_VertexID & 2));
#ifdef FAR
    gl_Position = vec4(v_uv * 2.0 - 1.0, 1.0, 1.0);
#else
    gl_Position = vec4(v_uv * 2.0 - 1.0, 0.0, 1.0);
#endif
}
