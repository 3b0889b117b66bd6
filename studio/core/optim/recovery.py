"""What a fit does when a step fails: back to the last good values, and on with more care."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from studio.core.errors import StudioError, WorkError, describe

if TYPE_CHECKING:
    from studio.core.optim.variables import Variables

KEEP_EVERY = 50
"""Steps between copies of the values: a copy costs less than a tenth of a step."""

ATTEMPTS = 4
"""Times that a run is brought back before it counts as failed; rates are then a 16th."""


class Diverged(WorkError):
    """The loss, a gradient or the surface is no longer finite, or nothing is left of what was fitted."""


class OutOfMemory(WorkError):
    """A step did not fit into memory."""


@contextmanager
def explained() -> Iterator[None]:
    """Turns what torch, NumPy and Warp raise in a step into a WorkError of one line."""
    try:
        yield
    except StudioError:
        raise
    except (MemoryError, RuntimeError) as error:
        text = describe(error)
        if isinstance(error, MemoryError) or "memory" in text.lower() or "alloc" in text.lower():
            raise OutOfMemory(
                f"fit: out of memory; lower the resolution or the photos per step ({text})"
            ) from error
        raise WorkError(f"fit: {text}") from error


class Keeper:
    """Copies of the last good variables and optimizers of one topology.

    Attributes:
        caution: factor of every learning rate, halved by each divergence.
        attempts: recoveries that are left.
    """

    def __init__(self) -> None:
        self.caution = 1.0
        self.attempts = ATTEMPTS
        self._step = 0
        self._variables: Variables | None = None
        self._optimizers: dict[str, dict[str, Any]] = {}

    def keep(self, step: int, variables: Variables, optimizers: dict[str, Any]) -> None:
        """Copy the values after `step` steps."""
        self._step = step
        self._variables = variables.clone()
        self._optimizers = {name: copy.deepcopy(o.state_dict()) for name, o in optimizers.items()}

    def recover(
        self, error: WorkError, views: int, least: int = 1
    ) -> tuple[Variables, dict[str, Any], int, str]:
        """What to go on with after a failed step.

        Args:
            error: why it failed.
            views: photos per step until now.
            least: photos per step that there must be.
        Returns:
            (variables, states of the optimizers by name, photos per step, a note for the user).
        Raises:
            WorkError: `error` itself, where more care will not help.
        """
        if self._variables is None or self.attempts == 0:
            raise error
        if isinstance(error, OutOfMemory):
            if views <= least:
                raise error
            views = max(math.ceil(views / 2), least)
            change = f"{views} photo{'s' if views > 1 else ''} per step"
        elif isinstance(error, Diverged):
            self.caution *= 0.5
            change = f"learning rates times {self.caution:g}"
        else:
            raise error
        self.attempts -= 1
        reason = str(error).removeprefix("fit: ").split(";")[0]
        note = f"{reason}: back to the values of step {self._step}, on with {change}"
        return self._variables.clone(), copy.deepcopy(self._optimizers), views, note
