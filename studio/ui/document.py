"""What the window edits, undoes and saves."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from studio.core.looks import looks
from studio.core.optim.settings import FitSettings, load_preset
from studio.core.params import ParamSet
from studio.core.scene import PhotoSet, Scene

if TYPE_CHECKING:
    from studio.core.project import RunRecord
    from studio.core.project_photos import PhotoReference


@dataclass(eq=False)
class EffectSet:
    """Values of every effect by name, and which are on."""

    effects: dict[str, ParamSet]
    enabled: dict[str, bool]

    def on(self) -> dict[str, ParamSet]:
        """The enabled effects."""
        return {name: values for name, values in self.effects.items() if self.enabled[name]}


@dataclass(eq=False)
class Document:
    """What is edited, undone and saved.

    Attributes:
        missing: photos that the project names and that were not there, or None.
        effects: values of every effect, by name.
        enabled: which effects are on.
        other: set B, to compare these effects with, or None.
        settings: of the next fit; some act on the running one at once.
        result: of the last run whose result the document holds, or None.
        looks: how meshes, volume and points are shown, see studio.core.looks.
        path: the project file, None before the first save. Not undone.
        origin: the mesh file or built-in scene that the scene came from, "" if from none.
    """

    scene: Scene
    photos: PhotoSet | None = None
    missing: PhotoReference | None = None
    settings: FitSettings = field(default_factory=load_preset)
    effects: dict[str, ParamSet] = field(default_factory=dict)
    enabled: dict[str, bool] = field(default_factory=dict)
    other: EffectSet | None = None
    name: str = "untitled"
    result: RunRecord | None = None
    looks: dict[str, ParamSet] = field(default_factory=looks)
    path: Path | None = None
    origin: str = ""

    @property
    def title(self) -> str:
        """What the title bar calls it."""
        return self.name if self.path is None else self.path.stem

    @property
    def own(self) -> EffectSet:
        """Set A."""
        return EffectSet(self.effects, self.enabled)
