"""What the benchmark `truth` has measured: kept as it goes, so that parts add up to one table."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import _history
from benchmarks._truth_compare import Figures
from benchmarks._truth_scene import MAKERS, OBJECTS

CASE = "truth"

COLUMNS = ("object", "photos", "distance %", "p99 %", "back %", "p99 %", "normals °", "shaded °",
           "base colour", "roughness", "metallic", "relit", "held out", "processor s")  # fmt: skip


@dataclass(frozen=True)
class Kept:
    """Results of one way to measure, in a folder: a file of figures and one of pictures for each fit.

    Attributes:
        folder: made when something is kept.
        how: all that decides what a fit finds, the commit included; results of another are not ours.
    """

    folder: Path
    how: dict[str, Any]

    def _file(self, name: str, maker: str, suffix: str) -> Path:
        return self.folder / f"found_{name}_{maker}{suffix}"

    def save(self, name: str, maker: str, figures: Figures, tiles: list[np.ndarray]) -> None:
        """Pictures first: figures are what says that a result is whole."""
        self.folder.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(self._file(name, maker, ".npz"), *tiles)
        kept = {"how": self.how, "figures": figures.as_dict()}
        self._file(name, maker, ".json").write_text(json.dumps(kept, indent=1) + "\n", "utf-8")

    def load(self, name: str, maker: str) -> tuple[dict[str, Any], list[np.ndarray]] | None:
        """(figures, pictures) of a fit that was measured this way; None if there is none."""
        path = self._file(name, maker, ".json")
        if not path.exists():
            return None
        kept = json.loads(path.read_text("utf-8"))
        return (kept["figures"], self.tiles(name, maker)) if kept["how"] == self.how else None

    def tiles(self, name: str, maker: str) -> list[np.ndarray]:
        """The last pictures of a fit, however it was measured; none if there are none."""
        path = self._file(name, maker, ".npz")
        if not path.exists():
            return []
        with np.load(path) as file:
            return [file[f"arr_{i}"] for i in range(len(file.files))]


def row(name: str, maker: str, figures: dict[str, Any]) -> str:
    """A line of the table, of Figures.as_dict()."""
    f, shape = figures, figures["distances"]
    cells = (
        name, maker,
        f"{shape['mean_percent']:.3f}", f"{shape['p99_percent']:.2f}",
        f"{shape['back_mean_percent']:.3f}", f"{shape['back_p99_percent']:.2f}",
        f"{shape['normals_degrees']:.1f}", f"{f['shading_degrees']:.1f}",
        f"{f['base_color_psnr']:.1f}", f"{f['roughness_error']:.3f}", f"{f['metallic_error']:.3f}",
        f"{f['relit_psnr']:.1f}", f"{f['held_out_psnr']:.1f}", f"{f['processor_seconds']:.0f}",
    )  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def table(rows: list[str]) -> str:
    head = "| " + " | ".join(COLUMNS) + " |"
    return "\n".join([head, "|---|---|" + "---:|" * (len(COLUMNS) - 2), *rows])


def pairs(objects: list[str], makers: list[str]) -> list[tuple[str, str]]:
    return [(name, maker) for name in objects for maker in makers]


def newest(how: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """The last figures of each pair in the history that were measured this way, at whatever commit."""
    like = {key: value for key, value in how.items() if key != "commit"}
    last = {e["case"]: e for e in _history.entries() if all(e.get(k) == v for k, v in like.items())}
    cases = {pair: f"{CASE} {pair[0]} {pair[1]}" for pair in pairs(list(OBJECTS), list(MAKERS))}
    return {pair: last[case] for pair, case in cases.items() if case in last}
