"""Lookups of a prefiltered environment: around the normal, around the mirror direction, behind.

A thread walks a run of pixels. The adjoint is by hand; it looks everything up again, which costs
less than storing it. The levels of the map lie one after the other in one list of texels; of each,
`nodes` has the perceptual roughness (rising from 0 to 1), `size` the texels along its side, `base`
the number of its first texel. The last, of roughness 1, is the cosine lobe: irradiance over pi.
"""

from __future__ import annotations

import warp as wp

from studio.core.kernels.octahedral import (
    blend_scatter,
    blend_slopes,
    blended,
    octahedral,
    octahedral_adjoint,
    taps,
)

wp.set_module_options({"enable_backward": False})

EMPTY = wp.constant(1)
"""The background is made where nothing is."""
ALL = wp.constant(2)
"""It is made everywhere: soft silhouettes let it through."""


@wp.func
def level_below(roughness: float, nodes: wp.array(dtype=float)) -> int:
    """The last level but one, or one before it, whose roughness is at most `roughness`."""
    found = int(0)  # noqa: RUF046  # a variable of the loop, not a constant
    for k in range(1, nodes.shape[0] - 1):
        if roughness >= nodes[k]:
            found = k
    return found


@wp.func
def look_up(
    d: wp.vec3,
    roughness: float,
    nodes: wp.array(dtype=float),
    size: wp.array(dtype=int),
    base: wp.array(dtype=int),
    texels: wp.array(dtype=wp.vec3),
) -> wp.vec3:
    """Radiance from direction d seen by the lobe of `roughness`, between two levels."""
    place = octahedral(d)
    k = level_below(roughness, nodes)
    f = wp.clamp((roughness - nodes[k]) / (nodes[k + 1] - nodes[k]), 0.0, 1.0)
    fine = blended(texels, taps(place, size[k], base[k]))
    if f == 0.0:
        return fine
    return fine * (1.0 - f) + blended(texels, taps(place, size[k + 1], base[k + 1])) * f


@wp.func
def look_up_adjoint(
    d: wp.vec3,
    roughness: float,
    nodes: wp.array(dtype=float),
    size: wp.array(dtype=int),
    base: wp.array(dtype=int),
    texels: wp.array(dtype=wp.vec3),
    g: wp.vec3,
    with_texels: int,
    g_texels: wp.array(dtype=wp.vec3),
) -> wp.vec4:
    """Gradient of (d, roughness); adds that of the texels."""
    place = octahedral(d)
    k = level_below(roughness, nodes)
    gap = nodes[k + 1] - nodes[k]
    f = wp.clamp((roughness - nodes[k]) / gap, 0.0, 1.0)
    fine = taps(place, size[k], base[k])
    coarse = taps(place, size[k + 1], base[k + 1])
    if with_texels != 0:
        blend_scatter(g_texels, fine, g * (1.0 - f))
        if f > 0.0:
            blend_scatter(g_texels, coarse, g * f)
    slopes = blend_slopes(texels, fine, g) * ((1.0 - f) * float(size[k]))
    slopes += blend_slopes(texels, coarse, g) * (f * float(size[k + 1]))
    back = octahedral_adjoint(d, slopes)
    g_rough = float(0.0)
    if roughness >= 0.0 and roughness <= 1.0:
        g_rough = wp.dot(g, blended(texels, coarse) - blended(texels, fine)) / gap
    return wp.vec4(back[0], back[1], back[2], g_rough)


@wp.func
def ray(rays: wp.mat33, pixel: int, width: int, height: int) -> wp.vec3:
    """(x, y, 1) of a pixel's centre in normalized device coordinates, through `rays`."""
    x = 2.0 * (float(pixel % width) + 0.5) / float(width) - 1.0
    y = 2.0 * (float(pixel // width) + 0.5) / float(height) - 1.0
    return rays * wp.vec3(x, y, 1.0)


@wp.kernel
def environment_forward(
    begin: int,
    run: int,
    width: int,
    height: int,
    rast: wp.array(dtype=wp.vec4),
    normal: wp.array(dtype=wp.vec3),
    position: wp.array(dtype=wp.vec3),
    roughness: wp.array(dtype=float),
    camera: wp.array(dtype=wp.vec3),
    rotation: wp.array(dtype=wp.mat33),
    rays: wp.array(dtype=wp.mat33),
    texels: wp.array(dtype=wp.vec3),
    nodes: wp.array(dtype=float),
    size: wp.array(dtype=int),
    base: wp.array(dtype=int),
    blur: float,
    behind: int,
    diffuse: wp.array(dtype=wp.vec3),
    specular: wp.array(dtype=wp.vec3),
    background: wp.array(dtype=wp.vec3),
):
    first = (begin + wp.tid()) * run
    pixels = width * height
    last = nodes.shape[0] - 1
    for i in range(first, wp.min(first + run, rast.shape[0])):
        view = i // pixels
        if rast[i][3] > 0.0:
            n = rotation[view] * normal[i]
            v = rotation[view] * wp.normalize(camera[view] - position[i])
            diffuse[i] = blended(texels, taps(octahedral(n), size[last], base[last]))
            r = 2.0 * wp.dot(n, v) * n - v
            specular[i] = look_up(r, roughness[i], nodes, size, base, texels)
        if behind == ALL or (behind == EMPTY and rast[i][3] <= 0.0):
            d = ray(rays[view], i - view * pixels, width, height)
            background[i] = look_up(d, blur, nodes, size, base, texels)


@wp.kernel
def environment_backward(
    begin: int,
    run: int,
    width: int,
    height: int,
    rast: wp.array(dtype=wp.vec4),
    normal: wp.array(dtype=wp.vec3),
    position: wp.array(dtype=wp.vec3),
    roughness: wp.array(dtype=float),
    camera: wp.array(dtype=wp.vec3),
    rotation: wp.array(dtype=wp.mat33),
    rays: wp.array(dtype=wp.mat33),
    texels: wp.array(dtype=wp.vec3),
    nodes: wp.array(dtype=float),
    size: wp.array(dtype=int),
    base: wp.array(dtype=int),
    blur: float,
    behind: int,
    with_texels: int,
    g_diffuse: wp.array(dtype=wp.vec3),
    g_specular: wp.array(dtype=wp.vec3),
    g_background: wp.array(dtype=wp.vec3),
    g_normal: wp.array(dtype=wp.vec3),
    g_position: wp.array(dtype=wp.vec3),
    g_roughness: wp.array(dtype=float),
    g_rotation: wp.array(dtype=wp.mat33),
    g_rays: wp.array(dtype=wp.mat33),
    g_texels: wp.array(dtype=wp.vec3),
):
    first = (begin + wp.tid()) * run
    pixels = width * height
    last = nodes.shape[0] - 1
    end = wp.min(first + run, rast.shape[0])
    view = first // pixels
    of_rotation = wp.mat33()
    of_rays = wp.mat33()
    for i in range(first, end):
        if i // pixels != view:  # a run of a CUDA thread may go on in the next picture
            wp.atomic_add(g_rotation, view, of_rotation)
            wp.atomic_add(g_rays, view, of_rays)
            of_rotation = wp.mat33()
            of_rays = wp.mat33()
            view = i // pixels
        if rast[i][3] > 0.0:
            to = camera[view] - position[i]
            distance = wp.max(wp.length(to), 1.0e-12)
            n0 = normal[i]
            v0 = to / distance
            n = rotation[view] * n0
            v = rotation[view] * v0
            g_d = g_diffuse[i]
            t = taps(octahedral(n), size[last], base[last])
            if with_texels != 0:
                blend_scatter(g_texels, t, g_d)
            g_n = octahedral_adjoint(n, blend_slopes(texels, t, g_d) * float(size[last]))
            nov = wp.dot(n, v)
            r = 2.0 * nov * n - v
            back = look_up_adjoint(
                r, roughness[i], nodes, size, base, texels, g_specular[i], with_texels, g_texels
            )
            g_roughness[i] = back[3]
            g_r = wp.vec3(back[0], back[1], back[2])
            along = 2.0 * wp.dot(n, g_r)
            g_n += 2.0 * nov * g_r + along * v
            g_v = along * n - g_r
            of_rotation += wp.outer(g_n, n0) + wp.outer(g_v, v0)
            inverse = wp.transpose(rotation[view])
            g_normal[i] = inverse * g_n
            g_to = inverse * g_v
            g_position[i] = (wp.dot(v0, g_to) * v0 - g_to) / distance
        if behind == ALL or (behind == EMPTY and rast[i][3] <= 0.0):
            pixel = i - view * pixels
            d = ray(rays[view], pixel, width, height)
            back = look_up_adjoint(d, blur, nodes, size, base, texels, g_background[i], with_texels, g_texels)
            x = 2.0 * (float(pixel % width) + 0.5) / float(width) - 1.0
            y = 2.0 * (float(pixel // width) + 0.5) / float(height) - 1.0
            of_rays += wp.outer(wp.vec3(back[0], back[1], back[2]), wp.vec3(x, y, 1.0))
    wp.atomic_add(g_rotation, view, of_rotation)
    wp.atomic_add(g_rays, view, of_rays)
