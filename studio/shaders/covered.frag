// Marks the covered pixels of a picture of smaller size.
#include "common/frame.glsl"

void main() {
    if (!covered(pixel())) discard;
}
