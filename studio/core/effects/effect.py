"""What an effect is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from studio.core.params import Param, ParamSet
from studio.core.scene.light import KINDS, MAX_LIGHTS

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from studio.core.gbuffer import Frame
    from studio.core.scene import Lighting
    from studio.core.tensors import SceneTensors

Stage = Literal["light", "shade", "screen", "post"]


@dataclass(frozen=True)
class Pass:
    """One run of an effect's shader, with PASS_<NAME> defined.

    It runs over covered pixels, or those of its `mask`; in the others its outputs keep
    Channel.empty (0 in buffers), and color stays what it was.

    Attributes:
        name: identifier within the effect.
        writes: what it writes: () stands for the effect's writes and wanted offers; other
            names are channels of those, or buffers of its own, which later passes read as
            u_<name>.
        size: components of its own buffers.
        half: half size while the effect's Param `half_resolution` is on.
        shrink: further halvings; it has ceil(full / 2^(shrink + half)) pixels each way, and its
            pixel (i, j) stands for the full one at (i, j) * 2^(shrink + half). Such a pass runs
            over all pixels, as passes of the post stage do.
        marks: it writes no image: the pixels that its shader does not discard, of all, are
            those over which later passes run that name it as their `mask`.
        mask: the pass of the same size that marked this one's pixels. Where few pixels need much
            work this saves it even on processors that execute all branches.
        adds: its color is added to that of the step before, of which it sees none; not in the
            post stage.
        empty: over the pixels where nothing is, instead.
        when: a bool Param, or "param=choice"; the pass is left out while that is not so.
    """

    name: str = "main"
    writes: tuple[str, ...] = ()
    size: int = 4
    half: bool = False
    shrink: int = 0
    marks: bool = False
    mask: str = ""
    adds: bool = False
    empty: bool = False
    when: str = ""

    def runs(self, params: ParamSet) -> bool:
        """Whether `when` is so."""
        name, _, choice = self.when.partition("=")
        return not name or bool(params[name] == choice if choice else params[name])

    def halvings(self, params: ParamSet) -> int:
        """How often the picture is halved for this pass."""
        return self.shrink + int(self.half and bool(params["half_resolution"]))


@dataclass(frozen=True, eq=False)
class Image:
    """A texture that shaders read with texelFetch.

    Attributes:
        levels: float32 [h, w, C] with C 1, 2 or 4, the finest first; sides halve exactly.
    """

    levels: tuple[np.ndarray, ...]


@dataclass(frozen=True, eq=False)
class Prepared:
    """What a shader needs besides Params and channels.

    Attributes:
        uniforms: u_<name>: a number, [c] vector, [n, c] array, or [4, 4] or [n, 4, 4] matrices
            that act on column vectors.
        images: sampler2D u_<name>; uploaded again only when it is another Image object.
        defines: lines for `#define`: what of the shader is needed. A program is compiled for every
            different set, so nothing belongs here that changes while somebody looks.
    """

    uniforms: Mapping[str, Any] = field(default_factory=dict)
    images: Mapping[str, Image] = field(default_factory=dict)
    defines: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What the OpenGL renderer can tell an effect about its frame.

    Attributes:
        lighting: of the scene.
        bounds: (low, high) corners of all meshes, [3] world.
        version: another number whenever geometry or materials changed.
        world_to_view, view_to_clip: [4, 4] of the camera.
        size: (width, height) in pixels.
        surfaces: the scene as tensors on the CPU, made when first called.
    """

    lighting: Lighting
    bounds: tuple[np.ndarray, np.ndarray]
    version: int
    world_to_view: np.ndarray
    view_to_clip: np.ndarray
    size: tuple[int, int]
    surfaces: Callable[[], SceneTensors]

    @property
    def light_defines(self) -> tuple[str, ...]:
        """LIGHT_<i> <kind> of every light: as constants, or all kinds would be computed for each."""
        lights = self.lighting.lights[:MAX_LIGHTS]
        return tuple(f"LIGHT_{i} {KINDS.index(light.kind)}" for i, light in enumerate(lights))


@dataclass(frozen=True)
class Effect:
    """One rendering effect, the same in both renderers.

    Attributes:
        name: identifier; its shader is studio/shaders/<name>.frag.
        stage: "light" says how light arrives, "shade" makes linear colour from that and the
            G-buffer, "screen" works on colour and G-buffer before antialiasing, "post" on
            antialiased colour (tone map and later).
        reads, writes: named channels of the frame (see studio.core.channels).
        params: its parameters, in the order of the panel.
        apply: the differentiable implementation; returns the channels it writes.
        help: one line.
        citations: "Author Year, Title".
        order: place among the effects of its stage.
        enabled: whether it is on unless the user says otherwise.
        takes: channels it reads if somebody makes them: HAS_<CHANNEL> is defined in its shader,
            `frame.has` is true in `apply`.
        offers: channels it writes if somebody wants them: WRITE_<CHANNEL> is defined,
            `frame.wants` is true.
        passes: the runs of its shader, in their order.
        prepare: uniforms and images for the shader, called before every frame, so it keeps what
            it made; None back leaves the effect out of this frame (kernels still load).
        idle: whether these values change nothing, so that shaders need not run.
        draft: values for a moving camera where drawing is slow: numbers are lowered to these,
            choices to this one's place, switches set; None leaves the effect out.
    """

    name: str
    stage: Stage
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    params: tuple[Param, ...]
    apply: Callable[[Frame, ParamSet], dict[str, Tensor]]
    help: str = ""
    citations: tuple[str, ...] = ()
    order: int = 0
    enabled: bool = True
    takes: tuple[str, ...] = ()
    offers: tuple[str, ...] = ()
    passes: tuple[Pass, ...] = (Pass(),)
    prepare: Callable[[Surroundings, ParamSet], Prepared | None] | None = None
    idle: Callable[[ParamSet], bool] | None = None
    draft: Mapping[str, Any] | None = field(default_factory=dict)

    def drafted(self, params: ParamSet) -> ParamSet | None:
        """The parameters with the values of `draft`; None where the effect is left out."""
        if self.draft is None:
            return None
        out = params.copy()
        for param in self.params:
            if param.name not in self.draft:
                continue
            value, cheap = out[param.name], self.draft[param.name]
            if param.kind == "choice":
                cheap = min(value, cheap, key=param.choices.index)
            elif param.kind != "bool":
                cheap = min(value, cheap)
            out.set(param.name, cheap)
        return out
