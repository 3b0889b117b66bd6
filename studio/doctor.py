"""What this machine has, and the exact command that mends what is missing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from studio.core.errors import describe

Mark = Literal["ok", "note", "bad"]


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        mark: ok; note: works without it, slower or with less; bad: a part does not work.
        fix: the command or step that mends it, or "".
    """

    name: str
    mark: Mark
    text: str
    fix: str = ""


def has_display() -> bool:
    """Whether a window can be expected to open here."""
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True


def examine() -> list[Finding]:
    """All checks, each shielded from the others' failures."""
    checks: dict[str, Callable[[], Finding]] = {
        "system": _system,
        "packages": _packages,
        "optional": _optional,
        "kernels": _kernels,
        "OpenGL": _opengl,
        "display": _display,
        "CUDA": _cuda,
        "GL/CUDA interop": _interop,
    }
    found = []
    for name, check in checks.items():
        try:
            found.append(check())
        except Exception as error:  # a check must never take the report down
            found.append(Finding(name, "bad", describe(error)))
    return found


def _system() -> Finding:
    cores = os.cpu_count() or 1
    text = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, {cores} cores"
    return Finding("system", "ok", text)


def _packages() -> Finding:
    names = ("torch", "warp-lang", "moderngl", "glfw", "imgui-bundle", "trimesh", "cholespy")
    missing, present = [], []
    for name in names:
        try:
            present.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        fix = f"{sys.executable} -m pip install -c constraints.txt " + " ".join(missing)
        return Finding("packages", "bad", "missing: " + ", ".join(missing), fix)
    return Finding("packages", "ok", ", ".join(present))


_OPTIONAL = {
    "pycolmap": ("cameras of photos that come without", "pycolmap>=4.0"),
    "mitsuba": ("path traced references", "mitsuba>=3.5"),
    "rembg": ("masks by a trained model", "rembg[cpu]"),
    "pillow-heif": ("photos of phones (HEIC)", "pillow-heif"),
}
"""What each package that nothing else needs is for, and what pip installs it as."""


def _optional() -> Finding:
    """What is left out where these packages are missing."""
    present, lacking, commands = [], [], []
    for name, (use, requirement) in _OPTIONAL.items():
        try:
            present.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            lacking.append(f"{name}, for {use}")
            commands.append(f'"{requirement}"')
    if lacking:
        text = "; ".join([", ".join(present), f"without {'; '.join(lacking)}"]).lstrip("; ")
        return Finding("optional", "note", text, f"{sys.executable} -m pip install {' '.join(commands)}")
    return Finding("optional", "ok", ", ".join(present))


def _kernels() -> Finding:
    """Rasterizes one triangle and checks the pixel count; the first run compiles."""
    import torch

    from studio.core.device import band_count
    from studio.core.ops import rasterize

    begun = time.perf_counter()
    pos = torch.tensor([[[-1.0, -1, 0, 1], [3, -1, 0, 1], [-1, 3, 0, 1]]])
    rast, _ = rasterize(None, pos, torch.tensor([[0, 1, 2]], dtype=torch.int32), (8, 8))
    seconds = time.perf_counter() - begun
    covered = int((rast[..., 3] > 0).sum())
    if covered != 64:
        return Finding("kernels", "bad", f"a triangle over 64 pixels covered {covered}", "make clean run")
    return Finding("kernels", "ok", f"Warp on {band_count()} bands, first launch after {seconds:.1f} s")


def _opengl() -> Finding:
    from studio.gl.context import describe_context, headless_context

    with headless_context() as context:
        facts = describe_context(context)
    if facts.software:
        return Finding("OpenGL", "note", f"{facts.version}, {facts.renderer}: software, the viewport adapts")
    return Finding("OpenGL", "ok", f"{facts.version}, {facts.renderer}")


def _display() -> Finding:
    if has_display():
        where = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or "native"
        return Finding("display", "ok", f"found ({where})")
    return Finding(
        "display", "note", "none: commands work, the window does not open", "xvfb-run -a python main.py"
    )


def _cuda() -> Finding:
    import torch

    if torch.cuda.is_available():
        name = torch.cuda.get_device_name(0)
        return Finding("CUDA", "ok", f"{name}, torch built for CUDA {torch.version.cuda}")
    if os.path.exists("/proc/driver/nvidia/version") or os.path.exists("/dev/nvidiactl"):
        built = torch.version.cuda or "CPU only"
        fix = f"{sys.executable} -m pip install --force-reinstall torch"
        return Finding("CUDA", "bad", f"NVIDIA driver found, but torch is built for: {built}", fix)
    return Finding("CUDA", "note", "no NVIDIA driver: the CPU path is used")


def _interop() -> Finding:
    """Whether what CUDA computes gets into OpenGL directly: tried, where nothing speaks against it."""
    from studio.core.device import cuda_available, pick_device
    from studio.gl.context import headless_context
    from studio.gl.interop import Interop
    from studio.gl.resources import Resources

    with headless_context() as context:
        interop = Interop(Resources(context))
        if not interop.reason:
            interop.ready(pick_device("cuda"))
        text = interop.describe()
        shared = not interop.reason
        interop.release()
    if shared:
        version = importlib.metadata.version("cuda-python")
        return Finding("GL/CUDA interop", "ok", f"{text}, cuda-python {version}")
    fix = f"{sys.executable} -m pip install cuda-python" if "No module named" in text else ""
    return Finding("GL/CUDA interop", "bad" if fix and cuda_available() else "note", text, fix)
