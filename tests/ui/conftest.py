"""A display for the window's tests: the one there is, else an Xvfb of their own."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator

import pytest


def _die_with_parent() -> None:
    """A killed test run must not leave its server behind (Linux: PR_SET_PDEATHSIG is 1)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


@pytest.fixture(scope="package", autouse=True)
def display() -> Iterator[None]:
    """DISPLAY for these tests. Xvfb with -noreset: otherwise it resets between two windows."""
    if os.environ.get("DISPLAY") or shutil.which("Xvfb") is None:
        yield
        return
    reader, writer = os.pipe()
    command = [
        "Xvfb",
        "-displayfd",
        str(writer),
        "-screen",
        "0",
        "1600x1000x24",
        "-noreset",
        "-nolisten",
        "tcp",
    ]
    server = subprocess.Popen(
        command,
        pass_fds=(writer,),
        preexec_fn=_die_with_parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(writer)
    with os.fdopen(reader) as answer:
        number = answer.readline().strip()
    if number:
        os.environ["DISPLAY"] = f":{number}"
    yield
    os.environ.pop("DISPLAY", None)
    server.terminate()
    server.wait(10)
