// One direction of a Gaussian of sigma 4 texels; applied twice each way.
in vec2 v_uv;
out vec4 f_color;
uniform sampler2D u_map;
uniform vec2 u_step;

void main() {
    float sum = 0.0, weights = 0.0;
    for (int i = -8; i <= 8; i++) {
        float weight = exp(-float(i * i) / 32.0);
        sum += weight * texture(u_map, v_uv + float(i) * u_step).r;
        weights += weight;
    }
    f_color = vec4(sum / weights, 0.0, 0.0, 1.0);
}
