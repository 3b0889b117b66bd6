"""What gpu_check writes down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

on_row: list[Callable[[Section], None]] = []
"""Told of every row, the last of them: who is stopped in the middle has left what there was."""


def table(columns: list[str], rows: list[list[str]]) -> str:
    """Markdown."""
    return "\n".join("| " + " | ".join(row) + " |" for row in (columns, ["---"] * len(columns), *rows))


@dataclass
class Section:
    """A part of the report.

    Attributes:
        lines: paragraphs.
        columns, rows: a table, if there are columns.
        wrong: what is not as it must be.
        missed: targets that were not reached; they do not make the run fail.
        targets: (name, found, wanted, whether it is met).
        values: numbers for programs.
        unfinished: rows are still to come.
        part, seconds: name of the part of gpu_check that made it, and how long that took.
    """

    title: str
    lines: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    targets: list[list[str]] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    unfinished: bool = False
    part: str = ""
    seconds: float = 0.0

    def add(self, *row: str) -> None:
        """A row of the table; the report is written with what there is so far."""
        self.rows.append(list(row))
        if on_row:
            on_row[-1](self)

    def target(self, name: str, found: float, least: float | None = None, most: float | None = None) -> None:
        """Note a number, and whether it reaches its target."""
        self.values[name] = found
        met = (least is None or found >= least) and (most is None or found <= most)
        wanted = f"at least {least:g}" if least is not None else f"at most {most:g}"
        self.targets.append([name, f"{found:.3g}", wanted, "yes" if met else "no"])
        if least is not None and found < least:
            self.missed.append(f"{name}: {found:.3g}, target at least {least:g}")
        if most is not None and found > most:
            self.missed.append(f"{name}: {found:.3g}, target at most {most:g}")

    def markdown(self) -> str:
        out = [f"## {self.title}", *self.lines]
        if self.columns:
            out.append(table(self.columns, self.rows))
        if self.unfinished:
            out.append("Not through yet.")
        out += [f"**Wrong:** {line}" for line in self.wrong]
        out += [f"Target missed: {line}" for line in self.missed]
        return "\n\n".join(out)
