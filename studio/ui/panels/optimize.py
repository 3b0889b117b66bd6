"""Optimize: start and pause, what moves and how fast, which losses, the schedule."""

from __future__ import annotations

from dataclasses import replace

from imgui_bundle import ImVec2, imgui

from studio.core.optim.messages import GROUPS
from studio.core.optim.settings import PRESETS, SECTIONS, TERMS, FitSettings, load_preset
from studio.ui import actions, autopanel
from studio.ui import widgets as w
from studio.ui.run import length_of, more_steps
from studio.ui.state import AppState
from studio.ui.theme import LABEL_COLUMN, Icon, px, roles

GROUP_TITLES = {
    "vertices": "Shape",
    "albedo": "Colour",
    "roughness": "Roughness",
    "metallic": "Metallic",
    "normal_map": "Normal map",
    "light": "Light",
    "background": "Background",
    "exposure": "Exposure",
    "white_balance": "Balance",
    "pose": "Poses",
}
TERM_TITLES = {
    "color": "Colour",
    "ssim": "Structure",
    "mask": "Silhouette",
    "laplacian": "Laplacian",
    "normal_consistency": "Normals",
    "edge_length": "Edges",
    "albedo_smoothness": "Colour smooth",
    "texture_smoothness": "Texture smooth",
    "material_smoothness": "Material smooth",
    "flat_normals": "Flat normals",
    "sign_changes": "Sign changes",
    "carving": "Carving",
    "light_white": "Light grey",
    "light_smoothness": "Light smooth",
}
OF_FIELD = ("sign_changes", "carving")
"""Terms that do nothing without a field stage."""
RASTERIZER = tuple(param.name for param in SECTIONS["Rasterizer"])
ALWAYS_SHOWN = ("color", "mask", "ssim")
SLIDER_TOP = {
    "color": 2.0,
    "mask": 2.0,
    "ssim": 1.0,
    "light_white": 0.1,
    "light_smoothness": 0.1,
    "flat_normals": 0.1,
}
"""Right end of a weight's bar; typing may go beyond up to the parameter's limit."""

SHARED = {
    "sdf": (
        *("volume_degree", "volume_rays", "volume_color_rate"),
        *("volume_color_smoothness", "volume_smooth_every"),
    )
}
"""Settings of volumes that other representations have, too."""

KINDS = {"volume": "Volume", "sdf": "Distances", "points": "Points", "network": "Network"}
"""Headings of what a representation alone has."""

SHORT = {
    "resolution": "Grid",
    "thickness": "Fog thickness",
    "density_smoothness": "Even densities",
    "color_smoothness": "Even colours",
    "smooth_every": "Even out every",
}
"""Labels of such settings where their names are too long, or are those of something else."""

ACTING = 110.0
"""Room for the rate in force and the motion, right of a rate's setting."""

_presets: dict[str, FitSettings] = {}


def preset(name: str) -> FitSettings:
    """A preset, read once."""
    if name not in _presets:
        _presets[name] = load_preset(name)
    return _presets[name]


def draw(state: AppState) -> None:
    """The panel's body."""
    _buttons(state)
    _go_on(state)
    if state.photos is None:
        if w.empty(Icon.photos, "Photos are what the object is fitted to.", "Open photos…", "open_photos"):
            state.act("open_photos")
        return
    settings = state.document.settings
    base = preset(settings.preset) if settings.preset in PRESETS else FitSettings()
    w.spacer(6)
    _preset(state, settings, base)
    imgui.begin_disabled(state.run.active)
    autopanel.draw(state, settings, ("settings",), ("representation",), defaults=base)
    imgui.end_disabled()
    _steps(state, settings, base)
    if settings["representation"] != "mesh":
        _radiance(state, settings, base)
        return
    if w.section("What moves"):
        _groups(state, settings, base)
    if w.section("Loss terms"):
        _terms(state, settings, base)
    names = {title: [param.name for param in params] for title, params in SECTIONS.items()}
    if w.section("Schedule"):
        run = [n for n in names["Run"] if n != "steps"]
        autopanel.draw(state, settings, ("settings",), run, defaults=base)
    if w.section("Rasterizer"):
        # SoftRas's own parameters only where they do something.
        shown = RASTERIZER if settings["rasterizer"] == "softras" else RASTERIZER[:1]
        autopanel.draw(state, settings, ("settings",), shown, defaults=base)
    if w.section("Start and shading"):
        _fixed_while_running(state)
        autopanel.draw(
            state,
            settings,
            ("settings",),
            names["Start"][:1] + names["Shading"] + names["Material"],
            defaults=base,
        )
    if w.section("Shape in detail", opened=False):
        _fixed_while_running(state)
        autopanel.draw(state, settings, ("settings",), names["Start"][1:] + names["Mesh"], defaults=base)
    w.spacer(8)


def _steps(state: AppState, settings: FitSettings, base: FitSettings) -> None:
    name = length_of(settings)
    param = next(param for param in settings.params() if param.name == name)
    autopanel.row(state, replace(param, label="Steps"), settings[name], ("settings", name), base[name])


def _radiance(state: AppState, settings: FitSettings, base: FitSettings) -> None:
    """What there is to set for a volume or for points."""
    kind = settings["representation"]
    known = {param.name: param for param in settings.params()}
    own = [name for name in known if name.startswith(f"{kind}_")] + list(SHARED.get(kind, ()))
    rates = [name for name in own if name.endswith("_rate")]
    rest = [name for name in own if name not in rates and name != length_of(settings)]
    views = ["views_per_step"] if kind == "points" else []
    for title, names in (
        (KINDS[kind], rest),
        ("Rates", rates),
        ("Photos", ["resolution", *views, "holdout", "seed"]),
        ("Hull", ["hull_resolution", "hull_misses"]),
    ):
        if w.section(title, opened=title != "Hull"):
            if title != "Rates":
                _fixed_while_running(state)
            for name in names:
                param = known[name]
                named = replace(param, label=_short(name, kind) if name in own else param.title)
                autopanel.row(state, named, settings[name], ("settings", name), base[name])
    w.spacer(8)


def _short(name: str, kind: str) -> str:
    """A setting's label below its kind's heading."""
    short = name.removesuffix("_rate").removeprefix(f"{kind}_").removeprefix("volume_")
    return SHORT.get(short, short.replace("_", " ").capitalize())


def _buttons(state: AppState) -> None:
    """Start or Pause, single step, stop, reset."""
    status = state.run.status
    running = status.phase in ("running", "preparing")
    small, gap = px(34), px(6)
    width = imgui.get_content_region_avail().x - 3 * (small + gap)
    title = f"{Icon.pause}   Pause" if running else f"{Icon.play}   {_start_title(status.phase)}"
    can = state.ready and state.photos is not None
    imgui.push_style_var(imgui.StyleVar_.item_spacing, ImVec2(gap, px(6)))
    imgui.push_style_var(imgui.StyleVar_.frame_padding, ImVec2(px(8), px(5)))
    if w.accent_button(title, "start", width, 0, can):
        state.act("toggle_run")
    w.tooltip(
        actions.find("toggle_run").shown if can else "Open photos first." if state.ready else "Still loading."
    )
    imgui.same_line()
    if w.icon_button(Icon.step, "step", actions.tip("Single step", "step"), can):
        state.act("step")
    imgui.same_line()
    if w.icon_button(Icon.stop, "stop", "Stop; the result stays", state.run.active):
        state.act("stop")
    imgui.same_line()
    if w.icon_button(Icon.reset, "reset", "Reset to the start", status.phase not in ("idle", "preparing")):
        state.act("reset")
    imgui.pop_style_var(2)


def _go_on(state: AppState) -> None:
    """After a run: more steps, or on from where it was stopped."""
    status = state.run.status
    if status.phase not in ("done", "stopped") or state.run.snapshot is None:
        return
    w.spacer(2)
    more = more_steps(status.step)
    left = status.steps - status.step
    words = f"Go on: {left} steps left" if left > 0 else f"Go on: {more} steps more"
    if imgui.button(f"{words}###extend", ImVec2(-1, 0)):
        state.act("extend", more)
    w.tooltip("The rates go on from where they are in the longer run.")


def _start_title(phase: str) -> str:
    return {"paused": "Resume", "done": "Start again", "stopped": "Start again"}.get(phase, "Start")


def _fixed_while_running(state: AppState) -> None:
    if state.run.active:
        w.muted(f"{Icon.info}  Holds from the next start.")


def _preset(state: AppState, settings: FitSettings, base: FitSettings) -> None:
    w.label("Preset", base.help)
    titles = [name.capitalize() for name in PRESETS]
    chosen = w.combo("##preset", settings.preset, PRESETS, titles)
    w.tooltip(base.help)
    if chosen is not None:
        values = preset(chosen).copy()
        values.set("representation", settings["representation"])
        state.set(("settings",), values, f"Use preset {chosen}")


def _groups(state: AppState, settings: FitSettings, base: FitSettings) -> None:
    known = {param.name: param for param in settings.params()}
    for group in GROUPS:
        imgui.push_id(group)
        name, rate_name = f"{group}_enabled", f"{group}_rate"
        start = imgui.get_cursor_pos()
        title = GROUP_TITLES[group]
        imgui.dummy(ImVec2(0, imgui.get_frame_height()))
        imgui.same_line(0, 0)
        enabled = settings.enabled(group)
        if (on := w.checkbox(f"{title}###enabled", enabled)) is not None:
            state.set(("settings", name), on, f"{'Move' if on else 'Hold'} {title.lower()}")
        w.tooltip(known[name].help)
        imgui.set_cursor_pos(ImVec2(start.x + px(LABEL_COLUMN), start.y))
        imgui.begin_disabled(not enabled)
        acting = state.run.active and state.run.snapshot is not None
        if not acting:
            imgui.align_text_to_frame_padding()
            w.text("rate", roles().muted if settings[rate_name] == base[rate_name] else roles().accent)
            if imgui.is_item_hovered() and imgui.is_mouse_double_clicked(0):
                state.set(("settings", rate_name), base[rate_name], f"Reset rate of {title.lower()}")
            imgui.same_line(start.x + px(LABEL_COLUMN + 36))
        imgui.set_next_item_width(-px(ACTING) if acting else -1)
        value = autopanel.control(known[rate_name], settings[rate_name])
        if value is not None:
            state.set(("settings", rate_name), value, f"Change rate of {title.lower()}")
        if acting:
            _acting(state, group)
        imgui.end_disabled()
        imgui.pop_id()


def _acting(state: AppState, group: str) -> None:
    """The rate in force after decay, and by how much the group moved in each of the last steps."""
    snapshot = state.run.snapshot
    assert snapshot is not None
    imgui.same_line(0, px(6))
    imgui.align_text_to_frame_padding()
    left = imgui.get_cursor_pos_x()
    rate, motion = snapshot.rates.get(group), snapshot.motion.get(group)
    if rate is None:
        w.muted("–")
        w.tooltip("The fit has none of it in this stage.")
        return
    moves = bool(motion) and rate > 0
    if rate > 0:
        w.muted(short(rate))
        imgui.same_line(left + px(48))
    if rate == 0:
        w.muted("held")
    elif moves:
        w.text(f"Δ {short(motion or 0.0)}", roles().good)
    else:
        w.muted("Δ –")
    w.tooltip(
        f"Acts now: a rate of {rate:.3g}, which is the setting after decay.\n"
        f"Δ is how far the values moved in a step, as a root mean square: {motion or 0.0:.3g}."
    )


def short(value: float) -> str:
    """0.00123 as "1.2e-3": two digits in little room."""
    if value == 0 or 0.01 <= value < 1000:
        return f"{value:.2g}"
    digits, exponent = f"{value:.1e}".split("e")
    return f"{digits}e{int(exponent)}"


def _terms(state: AppState, settings: FitSettings, base: FitSettings) -> None:
    known = {param.name: param for param in settings.params()}
    usable = [t for t in TERMS if t not in OF_FIELD or settings["field_steps"] > 0]
    hidden = [t for t in usable if t not in ALWAYS_SHOWN and settings.weight(t) == 0.0]
    for term in usable:
        if term in hidden:
            continue
        name = f"{term}_weight"
        value, title = settings[name], TERM_TITLES[term]
        imgui.push_id(term)
        if w.label(title, known[name].help, value != base[name]):
            state.set(("settings", name), base[name], f"Reset weight of {title.lower()}")
        width = imgui.get_content_region_avail().x - px(22)
        top = max(SLIDER_TOP.get(term, 1.0), value)
        weight = w.slider(f"##{name}", value, 0.0, top, "%.3f" if top < 1 else "%.2f", width=width)
        w.tooltip(known[name].help)
        if weight is not None and weight != value:
            state.set(("settings", name), weight, f"Change weight of {title.lower()}")
        imgui.same_line(0, px(2))
        if term not in ALWAYS_SHOWN and w.quiet_button(Icon.close, "remove", f"Leave out {title.lower()}"):
            state.set(("settings", name), 0.0, f"Leave out {title.lower()}")
        elif term in ALWAYS_SHOWN:
            imgui.new_line()
        imgui.pop_id()
    if hidden:
        w.label("")
        titles = [TERM_TITLES[t] for t in hidden]
        chosen = w.combo("##add_term", f"{Icon.plus}  Add a term", hidden, titles)
        if chosen is not None:
            state.set(("settings", f"{chosen}_weight"), 0.1, f"Add {TERM_TITLES[chosen].lower()}")


def message_for(name: str, settings: FitSettings) -> tuple[str, str, float | str] | None:
    """(kind, target, value) of the live message that a changed setting calls for, or None."""
    if name == length_of(settings):
        return "steps", "", float(settings[name])
    if name in RASTERIZER:
        return "rasterizer", name, settings[name]
    if name.endswith("_enabled"):
        return "group", name.removesuffix("_enabled"), float(settings[name])
    if name.endswith("_rate"):
        return "rate", name.removesuffix("_rate"), settings[name]
    if name.endswith("_weight"):
        return "weight", name.removesuffix("_weight"), settings[name]
    return None
