"""What gpu_check writes down."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Section:
    """A part of the report.

    Attributes:
        lines: paragraphs.
        columns, rows: a table, if there are columns.
        wrong: what is not as it must be.
        missed: targets that were not reached; they do not make the run fail.
        values: numbers for programs.
        part, seconds: name of the part of gpu_check that made it, and how long that took.
    """

    title: str
    lines: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    part: str = ""
    seconds: float = 0.0

    def target(self, name: str, found: float, least: float | None = None, most: float | None = None) -> None:
        """Note a number, and whether it reaches its target."""
        self.values[name] = found
        if least is not None and found < least:
            self.missed.append(f"{name}: {found:.3g}, target at least {least:g}")
        if most is not None and found > most:
            self.missed.append(f"{name}: {found:.3g}, target at most {most:g}")

    def markdown(self) -> str:
        out = [f"## {self.title}", *self.lines]
        if self.columns:
            table = [self.columns, ["---"] * len(self.columns), *self.rows]
            out.append("\n".join("| " + " | ".join(row) + " |" for row in table))
        out += [f"**Wrong:** {line}" for line in self.wrong]
        out += [f"Target missed: {line}" for line in self.missed]
        return "\n\n".join(out)
