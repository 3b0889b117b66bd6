"""The actions of the menus Optimize and Compare; `studio.ui.actions` puts them with the others."""

from __future__ import annotations

from imgui_bundle import imgui

from studio.ui import when
from studio.ui.action import SHIFT, Action, key_of
from studio.ui.theme import Icon

_K = imgui.Key

OPTIMIZE = (
    Action("toggle_run", "Start or pause", Icon.play, "Space", (key_of(_K.space),), possible=when.can_start),
    Action("step", "Single step", Icon.step, ".", (key_of(_K.period),), possible=when.can_start, repeat=True),
    Action("stop", "Stop", Icon.stop, possible=when.under_way),
    Action("reset", "Reset", Icon.reset, possible=when.has_run),
    *(
        Action("step_snapshot", title, "", shown, (key_of(key),), (by,), when.has_timeline, repeat=True)
        for title, shown, key, by in (
            ("Earlier snapshot", "Left", _K.left_arrow, -1),
            ("Later snapshot", "Right", _K.right_arrow, 1),
        )
    ),
    Action("derive", "Derive the view", Icon.chart, possible=when.has_mesh),
    Action("save_checkpoint", "Save checkpoint…", Icon.export, possible=when.has_run),
    Action("resume", "Resume from checkpoint…", Icon.folder, possible=when.can_start),
    Action(
        "copy_command",
        "Copy fit as command",
        Icon.terminal,
        args=("fit",),
        possible=when.has_photos,
        divided=True,
    ),
)
COMPARE = (
    Action("mode", "Left alone", "", args=("render",), checked=when.in_mode("render")),
    Action(
        "mode", "Right alone", "", "T", (key_of(_K.t),), ("target",), when.can_compare, when.in_mode("target")
    ),
    Action("mode", "Wipe", "", "W", (key_of(_K.w),), ("wipe",), when.can_compare, when.in_mode("wipe")),
    Action("mode", "Split", "", "S", (key_of(_K.s),), ("split",), when.can_compare, when.in_mode("split")),
    Action(
        "mode", "Side by side", "", "Y", (key_of(_K.y),), ("side",), when.can_compare, when.in_mode("side")
    ),
    Action(
        "mode",
        "Difference",
        "",
        "O",
        (key_of(_K.o),),
        ("difference",),
        when.can_compare,
        when.in_mode("difference"),
    ),
    Action(
        "mode", "Flicker", "", args=("flicker",), possible=when.can_compare, checked=when.in_mode("flicker")
    ),
)
MEASURES = tuple(
    Action(
        "error",
        f"Error: {title}",
        "",
        args=(name,),
        possible=when.can_compare,
        checked=when.shows_error(name),
    )
    for name, title in (
        *(("absolute", "absolute"), ("squared", "squared"), ("relative", "relative")),
        *(("flip", "FLIP, as perceived"), ("ssim", "structure, 1 − SSIM")),
    )
)
KEPT = (
    Action("keep", "Keep as A", Icon.copy, "K", (key_of(_K.k),), ("a",), when.has_scene),
    Action("keep", "Keep as B", Icon.copy, "Shift+K", (key_of(_K.k, SHIFT),), ("b",), when.has_scene),
    Action("restore", "Go back to A", Icon.undo, args=("a",), possible=lambda state: "a" in state.kept),
    Action("restore", "Go back to B", Icon.undo, args=("b",), possible=lambda state: "b" in state.kept),
)
REFERENCE = (
    Action("path_trace", "Path-trace this view", Icon.eye, possible=when.has_mesh),
    Action(
        "drop_reference",
        "Remove the path-traced view",
        Icon.close,
        possible=lambda s: s.reference is not None,
    ),
)
SETS = (
    Action("toggle_other", "Effects A or B", Icon.effects, "B", (key_of(_K.b),), possible=when.ready),
    Action("swap_sets", "Swap sets A and B", Icon.swap, possible=when.has_other),
    Action("drop_other", "Remove set B", Icon.close, possible=when.has_other),
)
PHOTOS = (
    Action(
        "toggle",
        "Photo over render",
        Icon.compare,
        "G",
        (key_of(_K.g),),
        ("truth",),
        when.has_photos,
        when.flag("truth"),
    ),
    Action(
        "step_photo",
        "Previous photo",
        "",
        "[",
        (key_of(_K.left_bracket),),
        (-1,),
        when.has_photos,
        repeat=True,
    ),
    Action(
        "step_photo", "Next photo", "", "]", (key_of(_K.right_bracket),), (1,), when.has_photos, repeat=True
    ),
    Action(
        "leave_photo",
        "Leave photo",
        "",
        "Esc",
        (key_of(_K.escape),),
        possible=lambda state: state.view.photo is not None,
    ),
)
COPY_COMPARE = (
    Action(
        "copy_command",
        "Copy comparison as command",
        Icon.terminal,
        args=("compare",),
        possible=when.can_compare,
    ),
)
