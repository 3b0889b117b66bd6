// Tone curves on linear light. The same formulas stand in studio/core/effects/tonemap.py.

// Narkowicz 2015, "ACES Filmic Tone Mapping Curve", not clamped.
vec3 aces(vec3 x) {
    x = max(x, 0.0);
    return (x * (2.51 * x + 0.03)) / (x * (2.43 * x + 0.59) + 0.14);
}
