// What lines and thumbnails in the scene share: fading with distance, hiding behind surfaces.

uniform sampler2D u_position;  // w: depth of the surface, 0 where there is none
uniform vec2 u_size;           // pixels
uniform vec2 u_fade;           // depths at which fading begins and ends

// Opacity at the fragment's own depth; nearer to the eye than `closest`, things dissolve.
float overlay_opacity(float closest) {
    float depth = 1.0 / gl_FragCoord.w;
    float surface = texture(u_position, gl_FragCoord.xy / u_size).w;
    float hidden = surface > 0.0 && depth > surface ? 0.0 : 1.0;
    float far = 1.0 - 0.65 * smoothstep(u_fade.x, u_fade.y, depth);
    return hidden * far * smoothstep(0.3, 1.0, depth / closest);
}
