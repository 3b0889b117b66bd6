"""The history: what counts as saved, jumping, bounded memory; autosaves that fail, and what is found."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from studio.core.errors import WorkError
from studio.core.project import Project, load_project
from studio.core.scene import Mesh, Scene
from studio.ui.commands import History, Set, arrays_in
from studio.ui.recovery import Autosave, find_recoveries


@dataclass
class _Document:
    scene: Scene = field(default_factory=Scene)
    name: str = "one"


def _history(limit: int = 10**9) -> tuple[_Document, History]:
    document = _Document()
    return document, History(document, lambda path: None, limit)


def _mesh(values: int) -> Scene:
    vertices = np.zeros((values, 3), np.float32)
    return Scene([Mesh(vertices, np.zeros((1, 3), np.int32))])


def test_unsaved_is_what_differs_from_what_was_saved() -> None:
    _, history = _history()
    assert not history.changed
    history.apply(Set(("name",), "two", "Rename"), gesture=1)
    assert history.changed
    history.mark_saved()
    assert not history.changed
    history.apply(Set(("name",), "three", "Rename"), gesture=1)
    assert history.changed, "a drag that goes on after saving is a change, though of one entry"
    history.undo()
    assert history.changed
    history.forget()
    assert not history.changed
    history.apply(Set(("name",), "four", "Rename"))
    serial = history.serial
    history.apply(Set(("name",), "five", "Rename"))
    history.mark_saved(serial)
    assert history.changed, "an edit made while the file was written is not in it"
    history.undo()
    assert not history.changed
    history.redo()
    assert history.changed
    history.mark_unsaved()
    history.go_to(0)
    assert history.changed


def test_any_entry_can_be_gone_to() -> None:
    document, history = _history()
    for name in "abcd":
        history.apply(Set(("name",), name, f"Call it {name}"))
    history.go_to(1)
    assert document.name == "a"
    assert history.labels == [f"Call it {name}" for name in "abcd"]
    assert history.position == 1
    history.go_to(3)
    assert document.name == "c"
    history.go_to(0)
    assert document.name == "one"
    history.go_to(99)
    assert document.name == "d"


def test_memory_is_bounded_in_bytes_and_shared_arrays_count_once() -> None:
    document, history = _history(limit=100_000)
    scene = _mesh(1000)  # 12 kB
    history.apply(Set(("scene",), scene, "First"))
    once = history.bytes
    assert once == sum(arrays_in(scene).values()) + sum(arrays_in(Scene()).values())
    shared = Scene(scene.meshes, lighting=scene.lighting)
    history.apply(Set(("scene",), shared, "Shares it"))
    assert history.bytes == once
    for i in range(30):
        history.apply(Set(("scene",), _mesh(1000), f"Run {i}"))
        assert history.bytes <= 100_000
    assert 5 <= history.position <= 8
    assert history.depth == 32
    newest = document.scene
    history.undo()
    history.redo()
    assert document.scene is newest
    history.apply(Set(("scene",), _mesh(100_000), "One that is larger than the limit"))
    assert history.undo_label == "One that is larger than the limit", "the newest can always be undone"
    assert history.position == 1


def test_dropped_entries_do_not_make_a_document_look_saved() -> None:
    _, history = _history(limit=1)
    for i in range(3):
        history.apply(Set(("scene",), _mesh(10), f"Run {i}"))
    history.undo()
    assert history.position == 0
    assert history.changed


def _wait(autosave: Autosave, state: object) -> None:
    end = time.monotonic() + 20
    autosave.update(state, True, None)
    while autosave.writing:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_an_autosave_that_fails_is_told_once_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    autosave = Autosave(tmp_path, lambda: (Project("p", Scene()), None), said.append, every=0.0)
    folder = next((tmp_path / "recovery").iterdir())

    def full(*_: object) -> None:
        raise WorkError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("studio.core.project.save_project", full)
        for state in (1, 2, 3):
            _wait(autosave, state)
        assert said == ["Autosave failed: the disk is full"]
    _wait(autosave, 3)
    assert load_project(folder / "autosave.studio").name == "p"
    assert find_recoveries(tmp_path) == [], "it belongs to a session that lives"
    autosave.update(3, False, None)
    assert not (folder / "autosave.studio").exists(), "what is saved needs no recovery"
    autosave.close()
    assert not folder.exists()


def test_what_a_dead_session_left_is_found_and_rubbish_is_swept_up(tmp_path: Path) -> None:
    from studio.core.project import save_project

    lost, empty, broken = (tmp_path / "recovery" / name for name in ("lost", "empty", "broken"))
    for folder in (lost, empty, broken):
        folder.mkdir(parents=True)
    save_project(Project("vase", Scene()), lost / "autosave.studio")
    (lost / "session.json").write_text('{"path": "/home/someone/vase.studio"}')
    (broken / "autosave.studio").write_bytes(b"PK")
    found = find_recoveries(tmp_path)
    assert [(r.summary.name, r.path) for r in found] == [("vase", Path("/home/someone/vase.studio"))]
    assert not empty.exists()
    assert find_recoveries(tmp_path) == [], "another window that starts now does not offer the same"
    found[0].discard()
    assert not lost.exists()
