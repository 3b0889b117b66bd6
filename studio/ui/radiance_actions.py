"""Actions about volumes and points."""

from __future__ import annotations

from pathlib import Path

from studio.ui.radiance import RadianceFiles
from studio.ui.state import AppState


class RadianceActions:
    """Part of the controller: what panels and menus ask of volumes and points by `_act_<name>`."""

    state: AppState
    radiance: RadianceFiles

    def _act_open_radiance(self, path: Path | None = None) -> None:
        if path is None:
            self.radiance.ask_open()
        else:
            self.radiance.open(path)

    def _act_save_radiance(self, path: Path | None = None) -> None:
        if path is None:
            self.radiance.ask_save()
        else:
            self.radiance.save(path)

    def _act_make_mesh(self) -> None:
        self.radiance.make_mesh()

    def _act_voxelize(self) -> None:
        self.radiance.voxelize()

    def _act_remove_radiance(self, kind: str) -> None:
        self.radiance.remove(kind)

    def _act_show_kind(self, kind: str) -> None:
        shown = self.state.document.looks[kind]["shown"]
        self.state.set(("looks", kind, "shown"), not shown, f"{'Hide' if shown else 'Show'} {kind}")
