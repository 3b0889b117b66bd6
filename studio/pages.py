"""A page of documentation for every effect, made from its description.

Everything on a page follows from the effect's module and its `EFFECT`; what stands between the
markers is written by hand and stays.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from studio.core.channels import CHANNELS
from studio.core.effects import registry
from studio.core.effects.effect import Effect, Pass
from studio.core.params import Param

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "effects"
BEGIN, END = "<!-- written by hand -->", "<!-- end of what is written by hand -->"

_PARAM_HEAD = ("flag", "default", "range", "gradient", "meaning")
_STAGES = {
    "light": "says how light arrives, before shading",
    "shade": "makes colour from the G-buffer",
    "screen": "works on colour and G-buffer, before antialiasing",
    "post": "works on the antialiased picture",
}


def page(effect: Effect, notes: str = "") -> str:
    """Markdown about one effect.

    Args:
        notes: what is written by hand, without the markers.
    """
    formulation = (sys.modules[effect.apply.__module__].__doc__ or "").strip()
    parts = [
        f"# {effect.name}",
        f"{effect.help}. Stage `{effect.stage}`: {_STAGES[effect.stage]}; "
        f"{'on' if effect.enabled else 'off'} unless asked otherwise.",
        f"    python main.py render demo --effects {_with(effect)} --out {effect.name}.png",
        f"{BEGIN}\n{notes.strip()}\n{END}",
        "## Formulation",
        formulation,
        "## Parameters",
        _table(_PARAM_HEAD, [_param_row(effect, p) for p in effect.params]) if effect.params else "None.",
        "## Channels",
        _table(("channel", "", "components", "what it is"), _channel_rows(effect)),
        "## Passes in OpenGL",
        "\n".join(f"{i + 1}. {_pass_line(p)}" for i, p in enumerate(effect.passes)),
    ]
    if effect.citations:
        parts += ["## Sources", "\n".join(f"- {citation}" for citation in effect.citations)]
    return "\n\n".join(parts) + "\n"


def notes_of(text: str) -> str:
    """What is written by hand in the text of a page."""
    _, _, rest = text.partition(BEGIN)
    return rest.partition(END)[0].strip()


def index(notes: str = "") -> str:
    """Markdown with a line for every effect, in the order in which they run; see `page`."""
    rows = [
        (f"[{effect.name}]({effect.name}.md)", effect.stage, "on" if effect.enabled else "off", effect.help)
        for effect in registry().values()
    ]
    head = "# Effects\n\nIn the order in which they run. Made by `python main.py effects --docs`.\n\n"
    table = _table(("effect", "stage", "default", ""), rows)
    return f"{head}{table}\n\n{BEGIN}\n{notes.strip()}\n{END}\n"


def pages(folder: Path = FOLDER) -> dict[Path, str]:
    """What every file of the folder should hold, with the notes that are there now."""
    made: dict[str, Callable[[str], str]] = {"README": index}
    made |= {name: partial(page, effect) for name, effect in registry().items()}
    out = {}
    for name, text in made.items():
        path = folder / f"{name}.md"
        out[path] = text(notes_of(path.read_text("utf-8")) if path.exists() else "")
    return out


def write_pages(folder: Path = FOLDER) -> list[Path]:
    """Write the pages that are not as they should be; returns these."""
    folder.mkdir(parents=True, exist_ok=True)
    changed = []
    for path, text in pages(folder).items():
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
            changed.append(path)
    return changed


def _with(effect: Effect) -> str:
    """The effect with those that it needs, as the option takes them."""
    names = [effect.name]
    for other in registry().values():
        needed = any(name in effect.reads for name in (*other.writes, *other.offers))
        if other.name != effect.name and other.stage in ("light", "shade") and needed:
            names.insert(0, other.name)
    if effect.stage == "light":
        names.append("pbr")
    return ",".join(names)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _param_row(effect: Effect, param: Param) -> tuple[str, ...]:
    flag = f"`--{effect.name}-{param.name}`".replace("_", "-")
    default = ", ".join(map(str, param.default)) if isinstance(param.default, tuple) else str(param.default)
    unit = f" {param.unit}" if param.unit else ""
    span = ", ".join(param.choices) if param.kind == "choice" else f"{param.low:g} … {param.high:g}{unit}"
    gradient = "yes" if param.differentiable else ""
    if param.discontinuous:
        gradient += ", but for jumps"
    return flag, default, "" if param.kind == "bool" else span, gradient, param.help


def _channel_rows(effect: Effect) -> list[tuple[str, ...]]:
    kinds = {
        "read": effect.reads,
        "read if there": effect.takes,
        "written": effect.writes,
        "written if wanted": effect.offers,
    }
    return [
        (f"`{name}`", kind, str(CHANNELS[name].size), CHANNELS[name].title)
        for kind, names in kinds.items()
        for name in names
    ]


def _pass_line(p: Pass) -> str:
    words = [f"`{p.name}`"]
    if p.shrink or p.half:
        size = f"1/{2**p.shrink} of the size" if p.shrink else "full size"
        words.append(size + (", half of that with `half_resolution`" if p.half else ""))
    if p.empty:
        words.append("where nothing is")
    if p.when:
        words.append(f"only with `{p.when}`")
    if p.writes:
        words.append("writes " + ", ".join(f"`{name}`" for name in p.writes))
    return ": ".join([words[0], "; ".join(words[1:])]) if words[1:] else words[0]
