"""From G-buffer to linear colour: the shaders of the effects, in the order of their stages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import moderngl

from studio.core.channels import CHANNELS
from studio.core.effects import get
from studio.core.effects.effect import Prepared
from studio.core.params import ParamSet
from studio.core.plan import Plan, plan
from studio.gl.graph import DEPTHS, EMISSION, draws
from studio.gl.images import PreparedImages
from studio.gl.passes import Run, Shot
from studio.gl.program import ProgramCache
from studio.gl.resources import Resources
from studio.gl.targets import Targets


class EffectChain:
    """Runs the enabled effects' shaders over a set of targets.

    Attributes:
        lacks: surface channels that say nothing in the scene; effects do not take them, and those
            that change the colour by one are left out.
        waiting: an enabled effect was not ready for the last frame and was left out.
    """

    def __init__(self, programs: ProgramCache, resources: Resources):
        self._programs = programs
        self._images = PreparedImages(resources)
        self._effects: dict[str, ParamSet] = {}
        self._plans: dict[tuple[Any, ...], Plan] = {}
        self.lacks: frozenset[str] = frozenset()
        self.waiting = False

    def set_effects(self, effects: Mapping[str, ParamSet]) -> bool:
        """Take the enabled effects and their parameters; True if anything is different now.

        They run in the order of the registry, whatever the order of `effects`; one that needs
        what a disabled effect makes is left out.

        Raises:
            InputError: an unknown effect.
        """
        if effects:
            plan(effects)
        before = {name: params.as_dict() for name, params in self._effects.items()}
        after = {name: params.as_dict() for name, params in effects.items()}
        if before == after:
            return False
        self._effects = {name: params.copy() for name, params in effects.items()}
        self._plans.clear()
        return True

    def plan(
        self, asked: tuple[str, ...] = (), without: frozenset[str] = frozenset(), draft: bool = False
    ) -> Plan:
        """The effects that run when these channels are wanted.

        Raises:
            InputError: a channel whose effect is off.
        """
        key = (asked, without, self.lacks, draft)
        if key not in self._plans:
            left_out = without | self.pointless.keys()
            effects = {name: params for name, params in self._effects.items() if name not in left_out}
            if draft:
                drafts = {name: get(name).drafted(params) for name, params in effects.items()}
                effects = {name: params for name, params in drafts.items() if params is not None}
            known = bool(effects) or any(CHANNELS[name].effect for name in asked)
            # Without effects nothing needs the registry, which takes seconds to load.
            made = plan(effects, asked, self.lacks) if known else Plan(surface=frozenset(asked))
            self._plans[key] = made
        return self._plans[key]

    @property
    def pointless(self) -> dict[str, str]:
        """Enabled effects that change colour only by a channel that says nothing in the scene, and why."""
        out = {}
        for name in self._effects:
            effect = get(name)
            missing = self.lacks.intersection(effect.reads)
            if missing and effect.writes == ("color",):
                out[name] = f"no material has {min(missing)}"
        return out

    def makes(self, name: str) -> bool:
        """Whether a channel can be asked for: the surface has it, or an effect that runs makes it."""
        if not CHANNELS[name].effect:
            return True
        return any(name in (*step.writes, *step.effect.offers) for step in self.plan().steps)

    @property
    def paints_background(self) -> bool:
        """Whether an effect that runs has something to show where nothing is."""
        return any("background" in draw.writes for draw in draws(self.plan(), "light"))

    def wants_emission(self, asked: tuple[str, ...] = ()) -> bool:
        """Whether the geometry pass has to fill the fifth image."""
        return bool(self.plan(asked).surface & EMISSION)

    def _ready(self, shot: Shot, asked: tuple[str, ...]) -> tuple[Plan, dict[str, Prepared]]:
        """The plan without the effects that are not ready, and what the others prepared."""
        todo = self.plan(asked, draft=shot.draft)
        prepared: dict[str, Prepared] = {}
        late = set()
        for step in todo.steps:
            if step.effect.prepare is not None:
                made = step.effect.prepare(shot.surroundings, step.params)
                if made is None:
                    late.add(step.effect.name)
                else:
                    prepared[step.effect.name] = made
        self.waiting = bool(late)
        if late:
            makes = {n for s in todo.steps if s.effect.name in late for n in (*s.writes, *s.effect.offers)}
            left = tuple(name for name in asked if name not in makes)
            todo = self.plan(left, frozenset(late), shot.draft)
        return todo, prepared

    def shade(self, shot: Shot, asked: tuple[str, ...] = ()) -> moderngl.Texture:
        """Linear colour from the G-buffer: the "light", "shade" and "screen" stages.

        Without a shade effect the colour is the albedo. Returns the texture it is in; the
        channels asked for are in `texture`.
        """
        todo, prepared = self._ready(shot, asked)
        # Screen effects find 0 where nothing is, as in the differentiable renderer.
        late = bool(todo.stage("screen"))
        run = Run(self._programs, self._images, shot, prepared, frozenset(asked))
        run.empty_color = (0.0, 0.0, 0.0) if late else shot.background
        if todo.surface & DEPTHS:
            run.depth()
        light = draws(todo, "light")
        # Nobody needs the background by itself unless it is asked for.
        scenery = [draw for draw in light if draw.writes == ("background",) and "background" not in asked]
        for draw in light:
            if draw not in scenery:
                run.draw(draw)
        shades = draws(todo, "shade")
        if not shades:
            run.unshaded()
        for draw in (*shades, *draws(todo, "screen")):
            run.draw(draw)
        made = "background" in run.made
        if shot.scenery and scenery:
            for draw in scenery:
                run.paint(draw)
        elif (shot.scenery and made) or (late and any(shot.background)):
            run.background(shot.scenery and made)
        return run.finish()

    def post(self, shot: Shot, source: moderngl.Texture) -> moderngl.Texture:
        """The "post" stage on antialiased linear colour. Returns the texture it ends in."""
        todo, prepared = self._ready(shot, ())
        run = Run(self._programs, self._images, shot, prepared, color=source)
        for draw in draws(todo, "post"):
            run.draw(draw)
        return run.finish()

    def texture(self, targets: Targets, name: str) -> moderngl.Texture:
        """An effect's channel after `shade` with it among the asked ones, for aov.frag and reading back."""
        size = CHANNELS[name].size
        return targets.image(name, 4 if size == 3 else size)
