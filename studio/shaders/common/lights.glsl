// The scene's lights, in the space of u_world_to_light. See LightTensors in studio/core/gbuffer.py.
// Indices are written out, so that software OpenGL can carry them (carry_uniforms in gl/program.py).
uniform int u_light_count;
uniform int u_light_kind[4];       // 0 directional, 1 point, 2 spot, 3 area
uniform vec3 u_light_vector[4];    // direction towards it, or position
uniform vec3 u_light_radiance[4];  // colour times intensity
uniform vec3 u_light_axis[4];      // spot and area shine along -axis
uniform vec3 u_light_right[4];     // horizontal side of an area light
uniform vec4 u_light_shape[4];     // cos outer, cos inner (spot); half width, half height (area)
uniform float u_light_size[4];     // radius, or tangent of the angular radius (directional)
uniform int u_light_casts[4];      // whether it throws shadows

struct Lamp {
    vec3 vector, radiance, axis, right;
    vec4 shape;
};

Lamp lamp_0() {
    return Lamp(u_light_vector[0], u_light_radiance[0], u_light_axis[0], u_light_right[0], u_light_shape[0]);
}

Lamp lamp_1() {
    return Lamp(u_light_vector[1], u_light_radiance[1], u_light_axis[1], u_light_right[1], u_light_shape[1]);
}

Lamp lamp_2() {
    return Lamp(u_light_vector[2], u_light_radiance[2], u_light_axis[2], u_light_right[2], u_light_shape[2]);
}

Lamp lamp_3() {
    return Lamp(u_light_vector[3], u_light_radiance[3], u_light_axis[3], u_light_right[3], u_light_shape[3]);
}
