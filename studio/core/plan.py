"""Which effects run, in which order, and what has to be made for them: the same for both renderers."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field

from studio.core.channels import CHANNELS, PICTURE, channel
from studio.core.effects import get, registry
from studio.core.effects.effect import Effect
from studio.core.errors import InputError
from studio.core.params import ParamSet

Effects = Mapping[str, ParamSet]
"""Enabled effects by name with their parameters; order does not matter."""


@dataclass(frozen=True, eq=False)
class Step:
    """One effect of a plan.

    Attributes:
        effect, params: what runs, and with which values.
        present: those of effect.takes that are there.
        writes: effect.writes and the wanted ones of effect.offers, in that order: the output
            locations of a shader.
    """

    effect: Effect
    params: ParamSet
    present: frozenset[str]
    writes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """What a frame takes.

    Attributes:
        steps: in the order in which they run.
        surface: channels that the geometry pass has to make.
        wanted: channels that a step reads or takes, and those asked for.
        skipped: effects that cannot run, and why: "needs irradiance, which pbr makes".
    """

    steps: tuple[Step, ...] = ()
    surface: frozenset[str] = frozenset()
    wanted: frozenset[str] = frozenset()
    skipped: Mapping[str, str] = field(default_factory=dict)

    def stage(self, *stages: str) -> tuple[Step, ...]:
        """The steps of these stages."""
        return tuple(step for step in self.steps if step.effect.stage in stages)


def plan(effects: Effects, asked: Iterable[str] = (), lacks: Container[str] = ()) -> Plan:
    """Order effects and find out what they need.

    Args:
        effects: those that are on.
        asked: channels that the caller wants besides, by name.
        lacks: surface channels that say nothing in this scene (see SceneTensors.lacks); effects
            do not take them.
    Raises:
        InputError: an unknown effect or channel, or a channel whose effect is off.
    """
    for name in effects:
        get(name)
    named = [channel(name).name for name in asked]
    chosen, skipped = _runnable([e for e in registry().values() if e.name in effects])
    made: set[str] = set()
    steps: list[Step] = []
    for i, effect in enumerate(chosen):
        later = {name for e in chosen[i + 1 :] for name in (*e.reads, *e.takes)}
        offers = tuple(name for name in effect.offers if name in later or name in named)
        there = [n for n in effect.takes if n in made or not (CHANNELS[n].effect or n in lacks)]
        steps.append(Step(effect, effects[effect.name], frozenset(there), (*effect.writes, *offers)))
        made |= {*effect.writes, *offers}
    for name in named:
        if CHANNELS[name].effect and name not in made:
            raise InputError(f"render: channel {name} is made by {_maker(name)}, which is off")
    wanted = frozenset(named).union(*((*step.effect.reads, *step.present) for step in steps))
    surface = frozenset(name for name in wanted - PICTURE if not CHANNELS[name].effect)
    return Plan(tuple(steps), surface, wanted, skipped)


def _runnable(chosen: list[Effect]) -> tuple[list[Effect], dict[str, str]]:
    """The effects whose reads are all made before them, and why the others cannot run."""
    made: set[str] = set()
    kept, skipped = [], {}
    for effect in chosen:
        missing = [name for name in effect.reads if CHANNELS[name].effect and name not in made]
        if missing:
            skipped[effect.name] = f"needs {missing[0]}, which {_maker(missing[0])} makes"
            continue
        kept.append(effect)
        made |= {*effect.writes, *effect.offers}
    return kept, skipped


def _maker(name: str) -> str:
    """The effect that makes a channel."""
    for effect in registry().values():
        if name in effect.writes or name in effect.offers:
            return effect.name
    return "no effect"
