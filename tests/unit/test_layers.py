"""Imports point down the layers, and only ui knows imgui, only gl knows moderngl."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.needs import ROOT

# Lower number = lower layer. A module may import its own layer or a lower one.
LAYERS = {
    "studio.core.errors": 0,
    "studio.core.memory": 0,
    "studio.core.device": 0,
    "studio.core.arrival": 0,
    "studio.core.channels": 1,
    "studio.core.params": 1,
    "studio.core.color": 1,
    "studio.core.scene": 2,
    "studio.core.kernels": 3,
    "studio.core.ops": 4,
    "studio.core.gbuffer": 4,
    "studio.core.tensors": 4,
    "studio.core.effects": 5,
    "studio.core.rasterizer": 5,
    "studio.core.geometry": 5,
    "studio.core.plan": 6,
    "studio.core.pipeline": 6,
    "studio.core.io": 6,
    "studio.core.optim": 7,
    "studio.core": 8,  # project-level modules: project, demo
    "studio.reference": 8,
    "studio.experiments": 9,
    "studio.gl": 9,
    "studio.compare": 10,
    "studio.contact": 11,
    "studio.pages": 10,
    "studio.render": 10,
    "studio.check": 11,
    "studio.turntable": 10,
    "studio.doctor": 10,
    "studio.gradients": 11,
    "studio.options": 10,
    "studio.fit_inputs": 11,
    "studio.export": 11,
    "studio.ui": 10,
    "studio.fit": 12,
    "studio.cli": 13,
}
OWNERS = {
    "imgui_bundle": "studio.ui",
    "glfw": "studio.ui",
    "moderngl": "studio.gl",
    "mitsuba": "studio.reference",
}


def layer(module: str) -> int | None:
    parts = module.split(".")
    while parts:
        name = ".".join(parts)
        if name in LAYERS:
            return LAYERS[name]
        parts.pop()
    return None


def imports(source: str) -> list[str]:
    """Every module named by an import statement, also those inside functions."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def violations(module: str, source: str) -> list[str]:
    """One line per forbidden import of `module`."""
    out = []
    own = layer(module)
    for name in imports(source):
        owner = OWNERS.get(name.split(".")[0])
        if owner and not module.startswith(owner):
            out.append(f"{module} imports {name}: only {owner} may")
        other = layer(name) if name.startswith("studio.") else None
        if own is not None and other is not None and other > own:
            out.append(f"{module} imports {name}: points up")
        effects = "studio.core.effects."
        foreign = name.startswith(effects) and not f"{name}.".startswith(effects + "effect.")
        if module.startswith(effects) and foreign:
            out.append(f"{module} imports {name}: effects never import one another")
    return out


def modules() -> list[tuple[str, Path]]:
    files = sorted((ROOT / "studio").rglob("*.py"))
    return [(".".join(f.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), f) for f in files]


def test_every_module_has_a_layer() -> None:
    unplaced = [name for name, _ in modules() if name != "studio" and layer(name) is None]
    assert not unplaced


def test_imports_point_down() -> None:
    broken = [line for name, path in modules() for line in violations(name, path.read_text("utf-8"))]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("studio.core.ops.rasterize", "from studio.core.pipeline import render"),
        ("studio.core.io.meshes", "def f():\n    import studio.gl.viewport"),
        ("studio.core.pipeline", "from studio.core import optim"),
        ("studio.gl.viewport", "from imgui_bundle import imgui"),
        ("studio.core.optim.fit", "import moderngl"),
        ("studio.core.effects.pbr", "from studio.core.effects.tonemap import EFFECT"),
        ("studio.ui.app", "from studio.cli import main"),
    ],
)
def test_an_upward_import_is_caught(module: str, source: str) -> None:
    assert violations(module, source)
