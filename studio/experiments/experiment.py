"""What an experiment is, how one is run, and what it leaves on disk."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from studio.core.device import configure_threads, describe_device, pick_device
from studio.core.errors import InputError
from studio.core.io.images import save_png
from studio.core.optim.fitrun import write_json
from studio.core.params import Param, ParamSet
from studio.experiments import NAMES

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Row:
    """One line of the summary: a condition, the paper's figure and ours, as text."""

    condition: str
    paper: str
    ours: str


@dataclass(frozen=True)
class Job:
    """What one run is given.

    Attributes:
        settings: values of the experiment's parameters.
        progress: called with the fraction done and what is being done.
    """

    settings: ParamSet
    seed: int
    device: torch.device
    progress: Progress

    def generator(self, stream: int = 0) -> torch.Generator:
        """Random numbers of their own for each stream, the same on every machine."""
        return torch.Generator().manual_seed(1000 * self.seed + stream)


@dataclass(frozen=True)
class Outcome:
    """What one run found.

    Attributes:
        picture: [H, W, 3] sRGB values 0..1, row 0 at the bottom.
        curve: a matplotlib Figure.
        numbers: what goes into the JSON file.
        rows: the summary.
        notes: lines below the summary: conditions that the numbers depend on.
    """

    picture: np.ndarray
    curve: Any
    numbers: dict[str, Any]
    rows: list[Row]
    notes: list[str]


@dataclass(frozen=True)
class Experiment:
    """One experiment of the paper.

    Attributes:
        help: one line for the command line.
        params: what can be chosen; the defaults are the conditions of the summary in the docs.
        run: does the work.
    """

    name: str
    help: str
    params: tuple[Param, ...]
    run: Callable[[Job], Outcome]


def load(name: str) -> Experiment:
    """The experiment of that name; InputError names those that exist."""
    if name not in NAMES:
        raise InputError(f"experiment: expected one of {', '.join(NAMES)}, got {name!r}")
    experiment: Experiment = importlib.import_module(f"studio.experiments.{name}").EXPERIMENT
    return experiment


def run_experiment(
    name: str,
    out: Path,
    values: dict[str, Any] | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Progress | None = None,
) -> Outcome:
    """Run one experiment and write <name>.png, <name>_curve.png and <name>.json.

    Args:
        name: one of NAMES.
        out: folder; made if missing.
        values: parameters that differ from their defaults.
        seed: of all random numbers of the run.
        device: auto, cpu or cuda.
        progress: called as (fraction, note).
    Returns:
        What was found, already on disk.
    Raises:
        InputError: an unknown name, parameter or device, or a folder that cannot be written.
    """
    experiment = load(name)
    settings = ParamSet(name, experiment.params, values)
    chosen = pick_device(device)
    configure_threads()
    job = Job(settings, seed, chosen, progress or (lambda fraction, note: None))
    began = time.perf_counter()
    outcome = experiment.run(job)
    outcome.numbers.update(
        seconds=round(time.perf_counter() - began, 1),
        device=describe_device(chosen),
        seed=seed,
        settings=settings.as_dict(),
        summary=[vars(row) for row in outcome.rows],
        notes=outcome.notes,
    )
    save_png(out / f"{name}.png", outcome.picture, color=False)
    outcome.curve.savefig(
        out / f"{name}_curve.png", facecolor=outcome.curve.get_facecolor(), bbox_inches="tight"
    )
    write_json(out / f"{name}.json", outcome.numbers)
    return outcome


def summary_lines(outcome: Outcome) -> list[str]:
    """The table of a run as lines of text, and its notes."""
    table = [("condition", "paper", "ours"), *((r.condition, r.paper, r.ours) for r in outcome.rows)]
    widths = [max(len(line[i]) for line in table) for i in range(3)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in table]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return [*lines, *outcome.notes, f"{outcome.numbers['seconds']:.0f} s, {outcome.numbers['device']}"]
