"""Every kernel compiles for NVIDIA GPUs, also on machines without one."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import pytest
import warp as wp

from studio.core import kernels
from studio.core.device import start_warp

# Turing, Ampere (consumer) and Hopper: the span of GPUs people have.
ARCHITECTURES = (75, 86, 90)


def python_modules() -> list[str]:
    return [info.name for info in pkgutil.iter_modules(kernels.__path__, kernels.__name__ + ".")]


def test_every_kernel_is_found() -> None:
    """Also those that one file makes for the module of another."""
    found = " ".join(key for module in kernels.warp_modules() for key in module.kernels)
    for name in python_modules():
        source = Path(importlib.import_module(name).__file__).read_text("utf-8")
        for kernel in re.findall(r"@wp\.kernel[^\n]*\n\s*def (\w+)", source):
            assert kernel in found, f"{name} defines {kernel}, which warp_modules() does not list"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_module_compiles_to_ptx(architecture, tmp_path) -> None:
    start_warp()
    modules = kernels.warp_modules()
    assert len(modules) >= 6
    for module in modules:
        folder = tmp_path / module.name
        folder.mkdir()
        written = wp.compile_aot_module(
            module, device=None, arch=architecture, module_dir=folder, use_ptx=True
        )
        ptx = [path for path in map(Path, written) if path.suffix == ".ptx"]
        assert ptx, f"{module.name} gave no PTX"
        text = ptx[0].read_text()
        assert f".target sm_{architecture}" in text
        assert text.count(".entry") >= len(module.kernels)
