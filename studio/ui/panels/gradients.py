"""Gradients: the picture's derivative by one number beside finite differences, arrows on the mesh."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from imgui_bundle import ImVec2, imgui

from studio.core.scene import Camera
from studio.ui import theme
from studio.ui import widgets as w
from studio.ui.gradients import GradientImages, Gradients, arrows
from studio.ui.panels.optimize import TERM_TITLES
from studio.ui.state import AppState
from studio.ui.theme import Icon, px, roles, u32

NEGATIVE, POSITIVE = 0x56B4E9, 0xE69F00
BLOCKS = (1, 2, 4, 8, 16)
GOOD = 0.01
"""Relative error that needs no excuse; above it, three times what differences disagree among themselves."""


def draw(
    state: AppState, gradients: Gradients, pictures: GradientImages, names: Callable[[], list[str]]
) -> None:
    """The panel's body; `names` lists what can be derived by."""
    if not state.ready or not state.has_mesh:
        if w.empty(Icon.chart, "Gradients of a picture need a mesh.", "Open mesh…", "open_mesh_gradients"):
            state.act("open_mesh")
        return
    space = imgui.get_content_region_avail()
    imgui.begin_child("controls", ImVec2(px(270), 0))
    _controls(state, gradients, names)
    imgui.end_child()
    imgui.same_line(0, px(16))
    imgui.begin_child("images", ImVec2(space.x - px(286), 0))
    _images(gradients, pictures)
    imgui.end_child()


def _controls(state: AppState, gradients: Gradients, names: Callable[[], list[str]]) -> None:
    w.label("Derive by", "A number of the scene: a motion, a light, a material, an effect's parameter")
    if imgui.begin_combo("##parameter", gradients.parameter, imgui.ComboFlags_.no_arrow_button):
        for name in names():
            if imgui.selectable(name, name == gradients.parameter)[0]:
                gradients.parameter = name
        imgui.end_combo()
    w.label("Size, block", "Long side of the picture; side of the blocks that take one reverse pass each")
    size = w.drag_int("##size", gradients.size, 16, 1024, 1.0, "%d px", width=px(74))
    gradients.size = gradients.size if size is None else size
    imgui.same_line(0, px(6))
    imgui.set_next_item_width(-1)
    titles = [f"{b} px" for b in BLOCKS]
    block = w.combo("##block", str(gradients.block), [str(b) for b in BLOCKS], titles)
    gradients.block = gradients.block if block is None else int(block)
    w.label("Arrows", "Where each vertex of a running fit would go to lower a loss")
    terms = ["", "total", *(t for t in TERM_TITLES if state.document.settings.weight(t) > 0)]
    shown = ["none", "total loss", *(TERM_TITLES[t].lower() for t in terms[2:])]
    term = w.combo("##arrows", state.view.gradients, terms, shown)
    if term is not None:
        state.act("show_gradient", term)
    w.spacer(2)
    if gradients.busy:
        if imgui.button(f"{Icon.close}  Cancel###cancel_gradients", ImVec2(-1, 0)):
            gradients.cancel()
    elif w.accent_button("Derive this view", "derive", -1, 0):
        state.act("derive")
    _verdict(gradients)


def _verdict(gradients: Gradients) -> None:
    view = gradients.view
    if view is None:
        w.muted("Reverse mode beside finite differences.")
        return
    fine = view.error <= max(GOOD, 3 * view.doubt)
    w.text(f"relative error {view.error:.2g}", roles().good if fine else roles().warn)
    imgui.same_line(0, px(8))
    w.muted(f"± {view.doubt:.1g}")
    w.tooltip(
        f"Length of the difference over that of the longer of both, over {view.passes} reverse passes. "
        f"Differences of ±{view.scalar.step:.3g} and of half of it disagree by {view.doubt:.2g}: "
        "no error below that means anything."
    )


def _images(gradients: Gradients, pictures: GradientImages) -> None:
    view = gradients.view
    if view is None:
        w.spacer(18)
        w.muted("Choose a number and derive the view: where the two pictures differ, a gradient is wrong")
        w.muted("or the picture jumps.")
        return
    height, width = view.picture.shape[:2]
    space = imgui.get_content_region_avail()
    gap, line = px(10), imgui.get_text_line_height_with_spacing()
    each = min((space.x - 3 * gap) / 4, (space.y - 2 * line - px(18)) * width / height)
    size = ImVec2(each, each * height / width)
    titles = ("picture", f"d / d {view.scalar.name}", f"difference quotient ±{view.scalar.step:.2g}", "error")
    draw_list = imgui.get_window_draw_list()
    for number, (title, texture) in enumerate(zip(titles, pictures.get(view))):
        if number:
            imgui.same_line(0, gap)
        imgui.begin_group()
        w.muted(w.elide(title, each))
        low = imgui.get_cursor_screen_pos()
        high = ImVec2(low.x + size.x, low.y + size.y)
        reach_x = reach_y = 1.0
        if number:  # blocks at the border reach beyond the picture
            reach_x = width / (view.adjoint.shape[1] * view.block)
            reach_y = height / (view.adjoint.shape[0] * view.block)
        top, bottom = ImVec2(0, reach_y), ImVec2(reach_x, 0)
        draw_list.add_image(imgui.ImTextureRef(texture), low, high, top, bottom)
        imgui.dummy(size)
        imgui.end_group()
    _legend(view.limit, view.scalar.unit, 3 * each + 2 * gap, each + gap)


def _legend(limit: float, unit: str, width: float, left: float) -> None:
    """One scale for the three derivatives."""
    imgui.set_cursor_pos_x(imgui.get_cursor_pos_x() + left)
    start = imgui.get_cursor_screen_pos()
    imgui.dummy(ImVec2(width, px(5) + imgui.get_text_line_height()))
    draw_list = imgui.get_window_draw_list()
    steps = 48
    for i in range(steps):
        share = 2 * (i + 0.5) / steps - 1
        color = theme.mix(roles().window, NEGATIVE if share < 0 else POSITIVE, abs(share) ** 0.5)
        x = start.x + width * i / steps
        draw_list.add_rect_filled(
            ImVec2(x, start.y), ImVec2(x + width / steps + 1, start.y + px(4)), u32(color)
        )
    words = (f"{-limit:.3g}", "0", f"{limit:.3g}" + (f" per {unit}" if unit else ""))
    for share, word in zip((0.0, 0.5, 1.0), words):
        x = start.x + (width - imgui.calc_text_size(word).x) * share
        draw_list.add_text(ImVec2(x, start.y + px(5)), u32(roles().muted), word)


def draw_arrows(state: AppState, camera: Camera, low: ImVec2, size: ImVec2) -> None:
    """Over the picture: where the vertices of the run would go."""
    snapshot = state.run.visible
    if not state.view.gradients or snapshot is None or snapshot.gradient is None or snapshot.mesh is None:
        return
    mesh = snapshot.mesh
    starts, ends = arrows(mesh.vertices, mesh.vertex_normals(), snapshot.gradient, camera.position)
    points = np.concatenate([starts, ends])
    clip = points @ camera.world_to_clip[:, :3].T + camera.world_to_clip[:, 3]
    there = clip[:, 3] > 1e-6
    ndc = clip[:, :2] / np.where(there, clip[:, 3], 1.0)[:, None]
    xy = np.stack([low.x + (ndc[:, 0] + 1) / 2 * size.x, low.y + (1 - ndc[:, 1]) / 2 * size.y], axis=1)
    draw_list = imgui.get_window_draw_list()
    draw_list.push_clip_rect(low, ImVec2(low.x + size.x, low.y + size.y), True)
    color, head = u32(theme.DARK.warn, 0.9), px(3.5)  # the picture is dark in both themes
    count = len(starts)
    for i in np.flatnonzero(there[:count] & there[count:]):
        (ax, ay), (bx, by) = xy[i], xy[count + i]
        draw_list.add_line(ImVec2(ax, ay), ImVec2(bx, by), color, px(1.2))
        dx, dy = bx - ax, by - ay
        length = float(np.hypot(dx, dy))
        if length > head:
            ux, uy = dx / length * head, dy / length * head
            draw_list.add_triangle_filled(
                ImVec2(bx, by),
                ImVec2(bx - ux - 0.5 * uy, by - uy + 0.5 * ux),
                ImVec2(bx - ux + 0.5 * uy, by - uy - 0.5 * ux),
                color,
            )
    draw_list.pop_clip_rect()
