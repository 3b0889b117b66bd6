"""When an action is possible or switched on: questions to the state, for the table of actions."""

from __future__ import annotations

from collections.abc import Callable

from studio.ui.state import AppState


def always(state: AppState) -> bool:
    return True


def ready(state: AppState) -> bool:
    return state.ready


def can_revert(state: AppState) -> bool:
    return state.document.path is not None and state.history.changed


def can_start(state: AppState) -> bool:
    return state.ready and state.photos is not None


def has_mesh(state: AppState) -> bool:
    return state.ready and state.has_mesh


def can_tip(state: AppState) -> bool:
    """Not beside photos: their cameras would not turn with the meshes."""
    return bool(state.scene.meshes) and state.photos is None


def has_scene(state: AppState) -> bool:
    return state.ready and (state.has_mesh or any(it is not None for it in state.visible_radiance()))


def has_volume(state: AppState) -> bool:
    return state.ready and state.scene.volume is not None


def has_radiance(state: AppState) -> bool:
    return state.ready and (state.scene.volume is not None or state.scene.points is not None)


def has_photos(state: AppState) -> bool:
    return state.photos is not None


def can_report(state: AppState) -> bool:
    return has_scene(state) and state.photos is not None


def can_compare(state: AppState) -> bool:
    return state.right is not None


def has_other(state: AppState) -> bool:
    return state.document.other is not None


def under_way(state: AppState) -> bool:
    return state.run.active


def has_run(state: AppState) -> bool:
    return state.run.status.phase not in ("idle", "preparing")


def has_timeline(state: AppState) -> bool:
    return len(state.run.timeline) > 1


def in_mode(value: str) -> Callable[[AppState], bool]:
    return lambda state: state.view.mode == value


def has_tool(name: str) -> Callable[[AppState], bool]:
    return lambda state: state.view.tool == name


def shows_error(name: str) -> Callable[[AppState], bool]:
    return lambda state: state.view.mode == "difference" and state.view.error == name


def flag(name: str) -> Callable[[AppState], bool]:
    return lambda state: bool(getattr(state.view, name))


def shows_kind(kind: str) -> Callable[[AppState], bool]:
    return lambda state: bool(state.document.looks[kind]["shown"])


def there(kind: str) -> Callable[[AppState], bool]:
    return lambda state: state.ready and getattr(state.scene, kind) is not None


def is_light(state: AppState) -> bool:
    return bool(state.preferences["theme"] == "light")
