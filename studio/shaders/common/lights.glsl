// The scene's lights, in the space of u_world_to_light. See LightTensors in studio/core/gbuffer.py.
const int MAX_LIGHTS = 4;

uniform int u_light_count;
uniform int u_light_kind[MAX_LIGHTS];       // 0 directional, 1 point, 2 spot, 3 area
uniform vec3 u_light_vector[MAX_LIGHTS];    // direction towards it, or position
uniform vec3 u_light_radiance[MAX_LIGHTS];  // colour times intensity
uniform vec3 u_light_axis[MAX_LIGHTS];      // spot and area shine along -axis
uniform vec3 u_light_right[MAX_LIGHTS];     // horizontal side of an area light
uniform vec4 u_light_shape[MAX_LIGHTS];     // cos outer, cos inner (spot); half width, half height (area)
uniform float u_light_size[MAX_LIGHTS];     // radius, or tangent of the angular radius (directional)
uniform int u_light_casts[MAX_LIGHTS];      // whether it throws shadows
