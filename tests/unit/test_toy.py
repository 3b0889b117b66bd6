"""A new effect is two files: what happens to a copy of the program that gets them, and nothing else."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.needs import ROOT, need

EFFECT = '''"""Toy: what faces upwards keeps its brightness, what faces down gets darker."""

from __future__ import annotations

from torch import Tensor

from studio.core.effects.effect import Effect
from studio.core.gbuffer import Frame
from studio.core.params import Param, ParamSet


def apply(frame: Frame, params: ParamSet) -> dict[str, Tensor]:
    strength = frame.value(params, "strength")
    upwards = 0.5 + 0.5 * frame["normal"][..., 1:2]
    return {"color": frame["color"] * (1 + strength * (upwards - 1))}


EFFECT = Effect(
    name="toy",
    stage="screen",
    reads=("color", "normal"),
    writes=("color",),
    params=(Param("strength", 0.5, low=0.0, high=1.0, help="How much", differentiable=True),),
    apply=apply,
    help="Darkens what faces down",
    citations=("Nobody 2000, A Toy",),
    enabled=False,
)
'''
SHADER = """#include "common/frame.glsl"

layout(location = WRITE_COLOR) out vec4 f_color;

uniform float u_strength;

void main() {
    vec4 color = texelFetch(u_color, pixel(), 0);
    float upwards = 0.5 + 0.5 * texelFetch(u_gbuffer_normal, pixel(), 0).y;
    f_color = vec4(color.rgb * mix(1.0, upwards, u_strength), color.a);
}
"""
COMMANDS = """
import json, sys
from studio.cli import _run
from studio.core.io.images import load_image

def mean(renderer, *args):
    rest = ["--size", "32x24", "--renderer", renderer, "--out", "a.exr"]
    assert _run(["render", "cornell", *rest, *args]) == 0
    return float(load_image("a.exr").mean())

found = {}
for renderer in sys.argv[1:]:
    found[renderer] = [
        mean(renderer, "--effects", "pbr"),
        *(mean(renderer, "--effects", "toy,pbr", "--toy-strength", s) for s in ("0", "1")),
    ]
assert _run(["effects"]) == 0
assert _run(["effects", "toy"]) == 0
print("FOUND", json.dumps(found))
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program with the toy's two files."""
    folder: Path = tmp_path_factory.mktemp("toy")
    skip = shutil.ignore_patterns("__pycache__")
    for name in ("studio", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=skip)
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "assets").symlink_to(ROOT / "assets")
    (folder / "studio" / "core" / "effects" / "toy.py").write_text(EFFECT, "utf-8")
    (folder / "studio" / "shaders" / "toy.frag").write_text(SHADER, "utf-8")
    return folder


def in_copy(folder: Path, *args: str) -> str:
    """Run Python there; its output."""
    done = subprocess.run(
        [sys.executable, *args], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("renderer", ["diff", pytest.param("gl", marks=pytest.mark.slow)])
def test_commands_know_the_toy(copy: Path, renderer: str) -> None:
    if renderer == "gl":
        need("gl")
    output = in_copy(copy, "-c", COMMANDS, renderer)
    plain, none, full = json.loads(output.partition("FOUND ")[2])[renderer]
    assert none == pytest.approx(plain, rel=1e-5)
    assert full < 0.8 * plain
    assert "toy (screen): Darkens what faces down" in output
    assert "--toy-strength  How much" in output
    assert "| `--toy-strength` | 0.5 | 0 … 1 | yes | How much |" in output
    assert "Nobody 2000" in output


@pytest.mark.slow
def test_the_tests_of_all_effects_take_the_toy(copy: Path) -> None:
    need("gl")
    where = ("tests/parity/test_parity.py", "tests/grad/test_effects.py", "tests/unit/test_pages.py")
    output = in_copy(copy, "-m", "pytest", "-k", "toy", "-p", "no:cacheprovider", *where)
    passed = re.search(r"(\d+) passed", output)
    assert passed
    assert int(passed[1]) >= 10
    assert "failed" not in output
