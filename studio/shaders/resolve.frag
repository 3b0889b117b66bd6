// Sum of jittered frames -> their mean; rgb divided by coverage where the background is added later.
in vec2 v_uv;
out vec4 f_color;
uniform sampler2D u_sum;  // rgb colour, a covered
uniform float u_samples;
uniform int u_unpremultiply;

void main() {
    vec4 mean = texture(u_sum, v_uv) / u_samples;
    // 1/512: below half a step of 8 bits nothing of the object is seen.
    if (u_unpremultiply != 0) mean.rgb /= max(mean.a, 1.0 / 512.0);
    f_color = mean;
}
