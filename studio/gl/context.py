"""OpenGL contexts: one without a window, and facts about whichever is there."""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import moderngl

from studio.core.errors import WorkError, describe

REQUIRED = 410
"""OpenGL 4.1 core, the newest that macOS offers; nothing here needs more."""

SOFTWARE_MARKS = ("llvmpipe", "softpipe", "swrast", "software", "swiftshader", "gdi generic")


@dataclass(frozen=True)
class ContextFacts:
    """What `doctor` and the status bar say about an OpenGL context.

    Attributes:
        renderer, vendor, version: the driver's own words.
        software: the processor draws, so frames must be spared.
    """

    renderer: str
    vendor: str
    version: str
    software: bool

    @property
    def short(self) -> str:
        """The renderer's name without its parenthesis, for a status bar."""
        return self.renderer.split("(")[0].strip()


def describe_context(ctx: moderngl.Context) -> ContextFacts:
    """Renderer, vendor and version of a context, and whether the processor does the drawing."""
    info = ctx.info
    renderer = str(info.get("GL_RENDERER", "unknown"))
    return ContextFacts(
        renderer=renderer,
        vendor=str(info.get("GL_VENDOR", "unknown")),
        version=str(info.get("GL_VERSION", "unknown")),
        software=any(mark in renderer.lower() for mark in SOFTWARE_MARKS),
    )


@contextmanager
def headless_context() -> Iterator[moderngl.Context]:
    """An OpenGL 4.1 context without any window or display, through EGL, for one `with` block.

    It is current on the calling thread, and only that thread may use it. Afterwards the thread
    may open a window.

    Raises:
        WorkError: names the package that brings EGL where none is found.
    """
    try:
        options: dict[str, Any] = {"backend": "egl"}
        ctx = moderngl.create_context(require=REQUIRED, standalone=True, **options)
    except Exception as error:
        raise WorkError(
            f"no OpenGL 4.1 without a display ({describe(error)}); "
            "install EGL and a driver, on Debian: apt-get install libegl1 libgl1-mesa-dri"
        ) from error
    try:
        yield ctx
    finally:
        ctx.release()
        # A destroyed EGL context stays current, and while it is, GLX refuses windows here.
        library = ctypes.util.find_library("EGL")
        if library is not None:
            ctypes.CDLL(library).eglReleaseThread()


def adopt_context() -> moderngl.Context:
    """The context that the window toolkit has made current on this thread.

    Raises:
        WorkError: there is none, or it is older than OpenGL 4.1.
    """
    try:
        return moderngl.create_context(require=REQUIRED)
    except Exception as error:
        raise WorkError(f"the window's OpenGL is older than 4.1 or missing ({describe(error)})") from error
