"""The images a frame is drawn into: G-buffer, linear colour, channels, accumulation, display.

The G-buffer contract for effect shaders (samplers, nearest, one texel per pixel):
    u_gbuffer_albedo    rgb linear albedo, a covered (0 or 1)
    u_gbuffer_normal    xyz world normal, unit; w perceptual roughness
    u_gbuffer_position  xyz world position; w distance along the camera's -Z
    u_gbuffer_material  r metallic, g occlusion, b part id (0, 1, ...)
    u_gbuffer_emission  rgb emitted radiance, a subsurface; made only when asked for
All zero where nothing is.
"""

from __future__ import annotations

import moderngl

from studio.gl.resources import Resources

GBUFFER = ("albedo", "normal", "position", "material")


class Targets:
    """All images of one size.

    Every one is 32-bit float but the display: on software GL that is the fastest format
    (nothing is converted), and positions and ids need the bits anyway.

    Args:
        geometry: share its G-buffer and depth.

    Attributes:
        size: (width, height).
        gbuffer: the four textures by name.
        color: two linear colour images that effects write in turn.
        resolved: the accumulated image, divided by its samples.
        display: [H, W] RGBA8, sRGB encoded, alpha 1.
    """

    def __init__(self, resources: Resources, size: tuple[int, int], geometry: Targets | None = None):
        self._resources = resources
        self._geometry = geometry
        self._other: Targets | None = None
        self.size = size
        self._images: dict[tuple[str, int, int], moderngl.Texture] = {}
        self._masks: dict[tuple[str, int], moderngl.Renderbuffer] = {}
        self._framebuffers: dict[tuple[int, ...], moderngl.Framebuffer] = {}
        if geometry is None:
            self.depth = resources.depth(size)
            self.gbuffer = {name: resources.texture(size, 4, dtype="f4") for name in GBUFFER}
            self.gbuffer_fbo = resources.framebuffer([self.gbuffer[name] for name in GBUFFER], self.depth)
        else:
            self.depth, self.gbuffer = geometry.depth, geometry.gbuffer
            self.gbuffer_fbo = geometry.gbuffer_fbo
        self.color = [resources.texture(size, 4, dtype="f4") for _ in range(2)]
        self.color_fbo = [resources.framebuffer([texture], self.depth) for texture in self.color]
        for fbo in self.color_fbo:
            fbo.depth_mask = False  # passes over colour test against the geometry, none changes it
        self.sum = resources.texture(size, 4, dtype="f4")
        self.sum_fbo = resources.framebuffer([self.sum])
        self.resolved = resources.texture(size, 4, dtype="f4")
        self.resolved_fbo = resources.framebuffer([self.resolved])
        self.display = resources.texture(size, 4, nearest=False)
        self.display_fbo = resources.framebuffer([self.display])

    def geometry_fbo(self, emission: bool) -> moderngl.Framebuffer:
        """What the geometry pass draws into: the four images, or with `emission` all five."""
        if not emission:
            return self.gbuffer_fbo
        fbo = self.framebuffer((*self.gbuffer.values(), self.emission), self.depth)
        fbo.depth_mask = True
        return fbo

    @property
    def emission(self) -> moderngl.Texture:
        """u_gbuffer_emission."""
        return (self._geometry or self).image("emission", 4)

    @property
    def other(self) -> Targets:
        """Images for other effects over the same geometry; released with these."""
        if self._other is None:
            self._other = Targets(self._resources, self.size, geometry=self)
        return self._other

    def image(self, name: str, components: int, halvings: int = 0) -> moderngl.Texture:
        """A float image of an effect, made when first asked for, with what was last drawn into it.

        Args:
            name: of a channel, or "<effect>.<buffer>".
            components: 1, 2 or 4.
            halvings: it has ceil(size / 2^halvings) pixels each way.
        """
        key = (name, components, halvings)
        if key not in self._images:
            self._images[key] = self._resources.texture(self._halved(halvings), components, dtype="f4")
        return self._images[key]

    def _halved(self, halvings: int) -> tuple[int, int]:
        width, height = (-(-side >> halvings) for side in self.size)  # rounded up
        return width, height

    def mask(self, name: str, halvings: int = 0) -> moderngl.Renderbuffer:
        """Depth of 1 but in the pixels that a pass has marked.

        Args:
            name: "<effect>.<pass>" of a pass that marks, or "covered" for the geometry.
            halvings: as for images.
        """
        if name == "covered" and halvings == 0:
            return self.depth
        key = (name, halvings)
        if key not in self._masks:
            self._masks[key] = self._resources.depth(self._halved(halvings))
        return self._masks[key]

    def marking(self, name: str, halvings: int) -> moderngl.Framebuffer:
        """What a pass that marks draws into, for `mask`: no image, and a depth that it writes."""
        fbo = self.framebuffer((), self.mask(name, halvings))
        fbo.depth_mask = True
        return fbo

    @property
    def half(self) -> moderngl.Texture:
        """u_half: normal and depth of every second pixel."""
        return self.image("half", 4, 1)

    @property
    def half_fbo(self) -> moderngl.Framebuffer:
        """What draws `half`, and marks its covered pixels."""
        fbo = self.framebuffer((self.half,), self.mask("covered", 1))
        fbo.depth_mask = True
        return fbo

    def framebuffer(
        self, textures: tuple[moderngl.Texture, ...], depth: moderngl.Renderbuffer | None
    ) -> moderngl.Framebuffer:
        """The framebuffer over some images and the depth they are tested with, kept for the next time."""
        key = (depth.glo if depth is not None else 0, *(texture.glo for texture in textures))
        if key not in self._framebuffers:
            self._framebuffers[key] = self._resources.framebuffer(list(textures), depth)
            self._framebuffers[key].depth_mask = False
        return self._framebuffers[key]

    def bind_gbuffer(self, first_unit: int = 0) -> dict[str, int]:
        """Bind the four textures from `first_unit` on; returns sampler name -> unit."""
        units = {}
        for offset, name in enumerate(GBUFFER):
            self.gbuffer[name].use(first_unit + offset)
            units[f"u_gbuffer_{name}"] = first_unit + offset
        return units

    def fbo_of(self, texture: moderngl.Texture) -> moderngl.Framebuffer:
        """The framebuffer that reads or writes one of the colour images."""
        for candidate, fbo in (
            *zip(self.color, self.color_fbo, strict=True),
            (self.resolved, self.resolved_fbo),
            (self.display, self.display_fbo),
        ):
            if candidate is texture:
                return fbo
        raise KeyError("not a colour image of these targets")

    def release(self) -> None:
        if self._other is not None:
            self._other.release()
        release = self._resources.release
        release(*self._framebuffers.values(), *self._images.values(), *self._masks.values())
        release(*self.color_fbo, self.sum_fbo, self.resolved_fbo, self.display_fbo)
        release(*self.color, self.sum, self.resolved, self.display)
        if self._geometry is None:
            release(self.gbuffer_fbo, self.depth, *self.gbuffer.values())
