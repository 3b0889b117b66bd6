"""A fit's state as a tree of plain values, and a fit that goes on from one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from studio.core.errors import InputError
from studio.core.optim.checkpoint import fingerprint, load_checkpoint, packed, unpacked
from studio.core.optim.fit import Fit
from studio.core.optim.preparing import settle
from studio.core.optim.readings import Readings
from studio.core.optim.settings import FitSettings

_PLAIN = ("steps_done", "_stage", "_topology", "_view_errors", "_fixed_to", "_thickness", "_mesh")
"""Attributes of a Fit that are saved as they are."""


def state_of(fit: Fit) -> dict[str, Any]:
    """Everything that `restore` needs to go on from here, bit for bit on the CPU.

    It refers to the tensors that move: write it before the next step.

    Raises:
        InputError: the fit was not prepared.
    """
    if fit._start is None:
        raise InputError("fit: prepare it before saving its state")
    return {
        "photos": fingerprint(fit.problem.photos.photos),
        "settings": fit.settings.as_dict(),
        "preset": fit.settings.preset,
        "queue": list(fit._queue),
        "random": fit._random.bit_generator.state,
        "generator": fit._generator.get_state().numpy(),
        "notes": list(fit.notes),
        "caution": fit._keeper.caution,
        "start": fit._start,
        "variables": fit.variables,
        "rest_shape": fit._rest_shape,
        "optimizers": {name: o.state_dict()["state"] for name, o in fit._optimizers.items()},
        "plain": {name: getattr(fit, name) for name in _PLAIN},
    }


def restore(fit: Fit, state: dict[str, Any]) -> None:
    """Bring a new fit to a state, instead of `prepare`; the fit's settings hold, not those saved.

    Raises:
        InputError: it is the state of a fit to other photos.
    """
    if (kind := state.get("kind", "mesh")) != "mesh":
        raise InputError(f"checkpoint: it is of a fit of {kind}, expected one of a mesh")
    if state["photos"] != fingerprint(fit.problem.photos.photos):
        raise InputError(
            "checkpoint: it belongs to other photos, or to other sizes of them; "
            "expected the photos and the resolution that the run began with"
        )
    fit.prepare_machine()
    for name in _PLAIN:
        setattr(fit, name, state["plain"][name])
    fit.notes = list(state["notes"])
    if fit.settings["start"] == "auto":
        settle(fit.settings, state["settings"])
    fit._start = state["start"]
    fit._queue = list(state["queue"])
    fit._random = np.random.default_rng()
    fit._random.bit_generator.state = state["random"]
    fit._generator = torch.Generator(fit.device)
    fit._generator.set_state(torch.from_numpy(state["generator"]))
    fit._readings = Readings()
    fit._keeper.caution = state["caution"]
    fit.adopt(state["variables"], state["rest_shape"], state["optimizers"])


def prepare_together(fit: Fit) -> None:
    """Prepare a fit that processes share: the first does it with all cores, the others begin as it does.

    So they start from one shape, also where it depends on the number of threads, as a volume's does.

    Raises:
        InputError, WorkError: as `Fit.prepare`.
    """
    if fit.ranks.count == 1:
        fit.prepare()
        return

    def prepared() -> tuple[Any, dict[str, torch.Tensor]]:
        fit.prepare()
        return packed(state_of(fit))

    tree, tensors = fit.ranks.from_first(prepared)
    if fit.ranks.rank > 0:
        fit.settings.set("start", "auto")  # what the first decided holds here too
        restore(fit, unpacked(tree, tensors, fit.device))


def saved_settings(path: Path | str) -> FitSettings:
    """The settings of the run that left a checkpoint; raises as `load_checkpoint`."""
    state = load_checkpoint(path)
    return FitSettings(state["settings"], state["preset"])


def saved_step(path: Path | str) -> int:
    """The steps that were done when a checkpoint was written; raises as `load_checkpoint`."""
    state = load_checkpoint(path)
    return int(state.get("plain", state)["steps_done"])
