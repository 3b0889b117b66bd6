// Edges: dark and half transparent, so that the shading stays readable below.
out vec4 f_color;

void main() {
    f_color = vec4(vec3(0.02), 0.55);
}
