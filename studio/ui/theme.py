"""Colours by role, fonts, spacing: the look of the window is decided here and nowhere else.

Sizes are written in pixels of a 15-pixel font and scaled by `px`, so that every constant
follows the display's DPI.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from imgui_bundle import ImVec2, ImVec4, hello_imgui, icons_fontawesome_6, imgui, implot

FONT_SIZE = 15.0
ICON_SIZE = 13.0
FRAME_PADDING = (8, 4)
LABEL_COLUMN = 108.0
"""Width of the label column, 7.2 em: the longest label of the panels fits."""


@dataclass(frozen=True)
class Roles:
    """sRGB hex colours, each named after what it is for."""

    window: int
    panel: int
    control: int
    hover: int
    active: int
    border: int
    text: int
    muted: int
    accent: int
    on_accent: int
    warn: int
    fail: int
    good: int


DARK = Roles(
    window=0x15171A,
    panel=0x1C1F23,
    control=0x282C32,
    hover=0x333841,
    active=0x3C424D,
    border=0x0F1113,
    text=0xE4E6EA,
    muted=0x8F96A3,
    accent=0x5AA9FF,
    on_accent=0x0D1722,
    warn=0xFFB454,
    fail=0xFF6B6B,
    good=0x6BD68A,
)
LIGHT = Roles(
    window=0xD9DCE1,
    panel=0xF2F3F5,
    control=0xE1E4E9,
    hover=0xD3D8DF,
    active=0xC4CBD5,
    border=0xC0C5CD,
    text=0x1B1E23,
    muted=0x565D69,
    accent=0x0B62C4,
    on_accent=0xFFFFFF,
    warn=0x8A5200,
    fail=0xB3261E,
    good=0x1B6E35,
)

THEMES = {"dark": DARK, "light": LIGHT}
ACCENTS = {
    "blue": (0x5AA9FF, 0x0B62C4),
    "teal": (0x3CC9BE, 0x00696B),
    "green": (0x7CCB6B, 0x2A6B1F),
    "amber": (0xF0B04A, 0x855200),
    "rose": (0xFF8FA3, 0xB02A4C),
    "violet": (0xB79CFF, 0x6A40C8),
}
"""Accents by name, for the dark and for the light theme; each is legible on its panels."""

# Okabe and Ito 2008, colour-blind safe; the same quantity always has the same colour.
LOSS_COLOR = 0x56B4E9
PSNR_COLOR = 0x2FBF8F
VIEW_COLOR = 0xE69F00
AXIS_COLORS = (0xF26D6D, 0x6BC77E, 0x62A4F2)

_roles = DARK
_fonts: dict[str, imgui.ImFont] = {}


def roles() -> Roles:
    """The colours of the theme in use."""
    return _roles


def use(theme: str = "dark", accent_name: str = "blue") -> None:
    """Switch to one of THEMES with one of ACCENTS; takes effect from the next frame on."""
    global _roles
    _roles = made_of(theme, accent_name)
    apply_style()


def made_of(theme: str, accent_name: str) -> Roles:
    """The colours of a theme with an accent."""
    color = ACCENTS[accent_name][theme == "light"]
    on_accent = max((DARK.on_accent, LIGHT.on_accent), key=lambda text: contrast(text, color))
    return replace(THEMES[theme], accent=color, on_accent=on_accent)


def accent(name: str) -> int:
    """One of ACCENTS as the theme in use shows it."""
    return ACCENTS[name][_roles.window == LIGHT.window]


def contrast(a: int, b: int) -> float:
    """Contrast ratio of two hex colours, 1 to 21 (WCAG 2.1)."""
    high, low = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _luminance(color: int) -> float:
    parts = [(color >> shift & 255) / 255 for shift in (16, 8, 0)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def vec(color: int, alpha: float = 1.0) -> ImVec4:
    """Colour of a hex value for ImGui's style."""
    return ImVec4((color >> 16 & 255) / 255, (color >> 8 & 255) / 255, (color & 255) / 255, alpha)


def u32(color: int, alpha: float = 1.0) -> int:
    """Colour of a hex value for draw lists."""
    swapped = (color & 255) << 16 | (color & 0xFF00) | (color >> 16 & 255)
    return swapped | round(alpha * imgui.get_style().alpha * 255) << 24


def mix(a: int, b: int, t: float) -> int:
    """Hex colour between a (t = 0) and b (t = 1)."""
    parts = [round((a >> s & 255) * (1 - t) + (b >> s & 255) * t) for s in (16, 8, 0)]
    return parts[0] << 16 | parts[1] << 8 | parts[2]


def px(pixels: float) -> float:
    """Pixels of the design (15-pixel font) at the display's scale."""
    return pixels * scale()


def scale() -> float:
    """Screen pixels of one pixel of the design: the display's DPI times what the user prefers."""
    style = imgui.get_style()
    return float(style.font_scale_dpi * style.font_scale_main)


def bold(size: float = 0.0) -> None:
    """Push the heading font; pop with imgui.pop_font()."""
    imgui.push_font(_fonts.get("bold"), size)


def load_fonts() -> None:
    """Roboto, and the icons merged into it."""
    _fonts["text"] = hello_imgui.load_font("fonts/Roboto/Roboto-Regular.ttf", FONT_SIZE)
    _merge_icons()
    _fonts["bold"] = hello_imgui.load_font("fonts/Roboto/Roboto-Bold.ttf", FONT_SIZE)
    _merge_icons()


def _merge_icons() -> None:
    # The stock icons come out large and high; 13 px, one down, in a fixed advance line up with text.
    params = hello_imgui.FontLoadingParams()
    params.merge_to_last_font = True
    params.font_config.glyph_offset = ImVec2(0, 1)
    params.font_config.glyph_min_advance_x = FONT_SIZE
    hello_imgui.load_font("fonts/Font_Awesome_6_Free-Solid-900.otf", ICON_SIZE, params)


def apply_style() -> None:
    """Write roles and spacing into ImGui's and ImPlot's styles."""
    style = imgui.get_style()
    _apply_spacing(style)
    for name, (color, alpha) in _style_colors(_roles).items():
        style.set_color_(getattr(imgui.Col_, name), vec(color, alpha))
    if implot.get_current_context() is not None:
        _apply_plot_style()


def fill_panel() -> None:
    """Paint the background of the window being drawn.

    Windows have no background of their own: ImGui would paint the dock host and what lies
    under the picture too, which on software OpenGL took 40 % of a still frame.
    """
    top = imgui.internal.get_current_window().inner_rect.min
    low, size = imgui.get_window_pos(), imgui.get_window_size()
    draw = imgui.get_window_draw_list()
    draw.push_clip_rect_full_screen()  # under the scroll bar too
    draw.add_rect_filled(top, ImVec2(low.x + size.x, low.y + size.y), u32(_roles.panel))
    draw.pop_clip_rect()


def keep_style() -> None:
    """Apply the style again if its scale is not ours; once a frame.

    hello_imgui scales the style by the DPI factor after the first frame, which is already in
    our figures, and the factor changes when the window moves to another display.
    """
    style = imgui.get_style()
    if abs(style.frame_padding.x - FRAME_PADDING[0] * scale()) > 0.01:
        apply_style()


def _apply_spacing(style: imgui.Style) -> None:
    factor = scale()
    pairs = {
        "window_padding": (10, 8),
        "frame_padding": FRAME_PADDING,
        "item_spacing": (8, 6),
        "item_inner_spacing": (6, 4),
        "cell_padding": (4, 4),
        "separator_text_padding": (0, 4),
    }
    for name, (x, y) in pairs.items():
        setattr(style, name, ImVec2(x * factor, y * factor))
    lengths = {
        "window_rounding": 4,
        "child_rounding": 4,
        "frame_rounding": 4,
        "popup_rounding": 4,
        "grab_rounding": 4,
        "tab_rounding": 4,
        "scrollbar_rounding": 4,
        "selectable_rounding": 4,
        "menu_item_rounding": 4,
        "scrollbar_size": 10,
        "grab_min_size": 8,
        "indent_spacing": 12,
        "docking_separator_size": 2,
        "tab_bar_overline_size": 2,
    }
    for name, value in lengths.items():
        setattr(style, name, value * factor)
    style.window_border_size = 0
    style.popup_border_size = 1
    style.child_border_size = 0
    style.frame_border_size = 0
    style.tab_border_size = 0
    style.tab_bar_border_size = 0
    style.window_menu_button_position = imgui.Dir.none
    style.docking_node_has_close_button = False
    style.disabled_alpha = 0.45
    style.hover_stationary_delay = 0.25


def _style_colors(r: Roles) -> dict[str, tuple[int, float]]:
    tint = mix(r.panel, r.accent, 0.22)
    return {
        "text": (r.text, 1),
        "text_disabled": (r.muted, 1),
        "window_bg": (r.panel, 0),  # panels paint themselves, see fill_panel
        "child_bg": (r.panel, 0),
        "popup_bg": (mix(r.panel, r.control, 0.5), 1),
        "border": (r.border, 1),
        "border_shadow": (r.border, 0),
        "frame_bg": (r.control, 1),
        "frame_bg_hovered": (r.hover, 1),
        "frame_bg_active": (r.active, 1),
        "title_bg": (r.window, 1),
        "title_bg_active": (r.window, 1),
        "title_bg_collapsed": (r.window, 1),
        "menu_bar_bg": (r.window, 1),
        "scrollbar_bg": (r.panel, 0),
        "scrollbar_grab": (r.hover, 1),
        "scrollbar_grab_hovered": (r.active, 1),
        "scrollbar_grab_active": (r.muted, 1),
        "check_mark": (r.on_accent, 1),
        "checkbox_selected_bg": (r.accent, 1),
        "slider_grab": (r.accent, 1),
        "slider_grab_active": (r.accent, 1),
        "button": (r.control, 1),
        "button_hovered": (r.hover, 1),
        "button_active": (r.active, 1),
        "header": (tint, 1),
        "header_hovered": (r.hover, 1),
        "header_active": (r.active, 1),
        "separator": (r.border, 1),
        "separator_hovered": (r.accent, 0.6),
        "separator_active": (r.accent, 1),
        "resize_grip": (r.hover, 0),
        "resize_grip_hovered": (r.accent, 0.6),
        "resize_grip_active": (r.accent, 1),
        "input_text_cursor": (r.text, 1),
        "tab": (r.window, 1),
        "tab_hovered": (r.hover, 1),
        "tab_selected": (r.panel, 1),
        "tab_selected_overline": (r.accent, 1),
        "tab_dimmed": (r.window, 1),
        "tab_dimmed_selected": (r.panel, 1),
        "tab_dimmed_selected_overline": (r.panel, 0),
        "docking_preview": (r.accent, 0.35),
        "docking_empty_bg": (r.window, 1),
        "text_link": (r.accent, 1),
        "text_selected_bg": (r.accent, 0.35),
        "drag_drop_target": (r.accent, 1),
        "nav_cursor": (r.accent, 0.8),
        "modal_window_dim_bg": (0x000000, 0.5),
        "table_header_bg": (r.control, 1),
        "table_border_strong": (r.border, 1),
        "table_border_light": (r.border, 0.6),
    }


def _apply_plot_style() -> None:
    style = implot.get_style()
    factor = scale()
    style.plot_border_size = 0
    style.plot_padding = ImVec2(4 * factor, 4 * factor)
    style.label_padding = ImVec2(4 * factor, 2 * factor)
    style.major_tick_len = style.minor_tick_len = ImVec2(0, 0)
    style.plot_min_size = ImVec2(60 * factor, 40 * factor)
    style.fit_padding = ImVec2(0.0, 0.08)
    style.set_color_(implot.Col_.frame_bg, vec(_roles.panel, 0))
    style.set_color_(implot.Col_.plot_bg, vec(mix(_roles.panel, _roles.window, 0.5)))
    style.set_color_(implot.Col_.plot_border, vec(_roles.border, 0))
    style.set_color_(implot.Col_.axis_text, vec(_roles.muted))
    style.set_color_(implot.Col_.axis_grid, vec(_roles.text, 0.06))
    style.set_color_(implot.Col_.inlay_text, vec(_roles.text))
    style.set_color_(implot.Col_.crosshairs, vec(_roles.muted, 0.6))


class Icon:
    """The icons in use, so that one meaning has one icon."""

    play = icons_fontawesome_6.ICON_FA_PLAY
    pause = icons_fontawesome_6.ICON_FA_PAUSE
    step = icons_fontawesome_6.ICON_FA_FORWARD_STEP
    stop = icons_fontawesome_6.ICON_FA_STOP
    reset = icons_fontawesome_6.ICON_FA_ROTATE_LEFT
    undo = icons_fontawesome_6.ICON_FA_ARROW_ROTATE_LEFT
    redo = icons_fontawesome_6.ICON_FA_ARROW_ROTATE_RIGHT
    mesh = icons_fontawesome_6.ICON_FA_CUBE
    volume = icons_fontawesome_6.ICON_FA_CUBES
    points = icons_fontawesome_6.ICON_FA_BRAILLE
    material = icons_fontawesome_6.ICON_FA_PALETTE
    sun = icons_fontawesome_6.ICON_FA_SUN
    bulb = icons_fontawesome_6.ICON_FA_LIGHTBULB
    sky = icons_fontawesome_6.ICON_FA_GLOBE
    camera = icons_fontawesome_6.ICON_FA_CAMERA
    photo = icons_fontawesome_6.ICON_FA_IMAGE
    photos = icons_fontawesome_6.ICON_FA_IMAGES
    file = icons_fontawesome_6.ICON_FA_FILE
    save = icons_fontawesome_6.ICON_FA_FLOPPY_DISK
    terminal = icons_fontawesome_6.ICON_FA_TERMINAL
    brush = icons_fontawesome_6.ICON_FA_PAINTBRUSH
    edit = icons_fontawesome_6.ICON_FA_PEN
    history = icons_fontawesome_6.ICON_FA_CLOCK_ROTATE_LEFT
    folder = icons_fontawesome_6.ICON_FA_FOLDER_OPEN
    export = icons_fontawesome_6.ICON_FA_FILE_EXPORT
    quit = icons_fontawesome_6.ICON_FA_POWER_OFF
    info = icons_fontawesome_6.ICON_FA_CIRCLE_INFO
    warn = icons_fontawesome_6.ICON_FA_TRIANGLE_EXCLAMATION
    fail = icons_fontawesome_6.ICON_FA_CIRCLE_XMARK
    good = icons_fontawesome_6.ICON_FA_CIRCLE_CHECK
    close = icons_fontawesome_6.ICON_FA_XMARK
    chevron = icons_fontawesome_6.ICON_FA_CHEVRON_DOWN
    caret_down = icons_fontawesome_6.ICON_FA_CARET_DOWN
    caret_right = icons_fontawesome_6.ICON_FA_CARET_RIGHT
    plus = icons_fontawesome_6.ICON_FA_PLUS
    trash = icons_fontawesome_6.ICON_FA_TRASH
    eye = icons_fontawesome_6.ICON_FA_EYE
    keyboard = icons_fontawesome_6.ICON_FA_KEYBOARD
    frame = icons_fontawesome_6.ICON_FA_EXPAND
    home = icons_fontawesome_6.ICON_FA_ARROWS_ROTATE
    chart = icons_fontawesome_6.ICON_FA_CHART_LINE
    effects = icons_fontawesome_6.ICON_FA_WAND_MAGIC_SPARKLES
    grid = icons_fontawesome_6.ICON_FA_BORDER_ALL
    compare = icons_fontawesome_6.ICON_FA_CIRCLE_HALF_STROKE
    sort = icons_fontawesome_6.ICON_FA_ARROW_DOWN_WIDE_SHORT
    log = icons_fontawesome_6.ICON_FA_TABLE_CELLS
    swap = icons_fontawesome_6.ICON_FA_RIGHT_LEFT
    copy = icons_fontawesome_6.ICON_FA_COPY
    optimize = icons_fontawesome_6.ICON_FA_BOLT
    sliders = icons_fontawesome_6.ICON_FA_SLIDERS
    pointer = icons_fontawesome_6.ICON_FA_ARROW_POINTER
    move = icons_fontawesome_6.ICON_FA_UP_DOWN_LEFT_RIGHT
    rotate = icons_fontawesome_6.ICON_FA_ROTATE
    scale = icons_fontawesome_6.ICON_FA_UP_RIGHT_AND_DOWN_LEFT_FROM_CENTER
    wire = icons_fontawesome_6.ICON_FA_DRAW_POLYGON
    normals = icons_fontawesome_6.ICON_FA_ARROWS_UP_TO_LINE
    clipping = icons_fontawesome_6.ICON_FA_CIRCLE_EXCLAMATION
    inspect = icons_fontawesome_6.ICON_FA_EYE_DROPPER
    histogram = icons_fontawesome_6.ICON_FA_CHART_COLUMN
    pin = icons_fontawesome_6.ICON_FA_THUMBTACK
    restart = icons_fontawesome_6.ICON_FA_DELETE_LEFT
