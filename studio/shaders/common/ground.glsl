// The ground: grid lines (GRID), coloured axes (AXES) and the soft contact shadow, all on one plane.

uniform vec3 u_eye;
uniform vec3 u_ray_corner;   // world direction through the lower left corner, unit depth
uniform vec3 u_ray_right;    // across the picture's width
uniform vec3 u_ray_up;       // across the picture's height
uniform float u_ground;      // height of the plane
uniform float u_spacing;     // of the fine lines; every tenth is strong
uniform float u_per_spacing; // one over that
uniform float u_per_fade;    // one over the distance from the centre at which the grid is gone
uniform vec2 u_center;       // xz that the fade is around
uniform float u_line_width;  // pixels
uniform vec3 u_grid_color;
uniform sampler2D u_shadow;  // r: how much light from above is missing, over the box below
uniform vec4 u_shadow_box;   // xz of its lower corner, 1 / size

// Coverage of lines at whole numbers of q, one pixel wide in the mean; a pixel is `width` in q, and
// `per_width` one over that.
vec2 line_coverage(vec2 q, vec2 width, vec2 per_width) {
    vec2 pixels = abs(fract(q - 0.5) - 0.5) * per_width;
    vec2 line = clamp(0.5 + 0.5 * u_line_width - pixels, 0.0, 1.0) * min(u_line_width, 1.0);
    // Denser than every third pixel, lines turn into noise: fade them out before.
    return line * (1.0 - smoothstep(0.15, 0.35, width));
}

// Bilinear, in half the time that software takes to filter.
float shadow_at(vec2 uv) {
    vec2 size = vec2(textureSize(u_shadow, 0)), xy = clamp(uv, 0.0, 1.0) * size - 0.5;
    vec2 corner = floor(xy), f = xy - corner;
    vec4 s = textureGather(u_shadow, (corner + 1.0) / size).wzxy;
    vec2 columns = mix(s.xz, s.yw, f.x);
    return mix(columns.x, columns.y, f.y);
}

// What the ground adds over the background at uv: rgb (linear, times opacity) and opacity.
vec4 ground_layer(vec2 uv) {
    vec3 ray = u_ray_corner + uv.x * u_ray_right + uv.y * u_ray_up;
    float t = (u_ground - u_eye.y) / ray.y;
    vec2 p = u_eye.xz + t * ray.xz;
    vec2 width = max(fwidth(p), vec2(1e-7)), per_width = 1.0 / width;
    float distance_fade = 1.0 - smoothstep(0.1, 1.0, length(p - u_center) * u_per_fade);
    // Seen from below, the ground would hide the object: keep only a hint of it.
    distance_fade *= u_eye.y > u_ground ? 1.0 : 0.35;
    vec2 box = (p - u_shadow_box.xy) * u_shadow_box.zw;
    vec4 layer = vec4(0.0, 0.0, 0.0, u_eye.y > u_ground ? shadow_at(box) : 0.0);
    vec2 cell = p * u_per_spacing, cell_width = width * u_per_spacing;
#ifdef GRID
    vec2 per_cell = per_width * u_spacing;
    vec2 fine = line_coverage(cell, cell_width, per_cell);
    vec2 strong = line_coverage(0.1 * cell, 0.1 * cell_width, 10.0 * per_cell);
    float grid = max(0.30 * max(fine.x, fine.y), 0.60 * max(strong.x, strong.y)) * distance_fade;
    layer = mix(layer, vec4(u_grid_color, 1.0), grid);  // over the shadow, which is black
#endif
#ifdef AXES
    vec2 axis = clamp(0.5 + 0.75 * u_line_width - abs(p) * per_width, 0.0, 1.0) * distance_fade;
    axis *= 1.0 - smoothstep(0.3, 1.0, cell_width);
    // x = 0 is the z axis: blue; z = 0 the x axis: red.
    vec3 color = axis.x > axis.y ? vec3(0.10, 0.25, 0.62) : vec3(0.60, 0.11, 0.12);
    layer = mix(layer, vec4(color, 1.0), 0.9 * max(axis.x, axis.y));
#endif
    return t > 0.0 ? layer : vec4(0.0);
}
