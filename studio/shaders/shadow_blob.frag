// Darkness of the ground below a surface: full where it touches, none at u_reach above.
in float v_height;
out vec4 f_color;
uniform float u_ground;
uniform float u_reach;

void main() {
    float near = 1.0 - clamp((v_height - u_ground) / u_reach, 0.0, 1.0);
    f_color = vec4(near * near, 0.0, 0.0, 1.0);
}
