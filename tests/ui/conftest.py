"""A display for the window's tests: the one there is, else an Xvfb of their own."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
from collections.abc import Iterator

import pytest

_ATTEMPTS = 5
"""Two servers that begin at the same time may want the same number; one of them then ends."""
_PATIENCE_S = 60.0
"""How long a server may take to begin: two seconds were seen on two busy cores."""


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
    for _ in range(_ATTEMPTS):
        server, number = _start()
        if number:
            break
        server.kill()
        server.wait()
    else:
        raise RuntimeError(f"Xvfb found no free display in {_ATTEMPTS} attempts")
    os.environ["DISPLAY"] = f":{number}"
    yield
    os.environ.pop("DISPLAY", None)
    server.terminate()
    server.wait(_PATIENCE_S)


def _start() -> tuple[subprocess.Popen[bytes], str]:
    """(server, its display's number); the number is empty where the server ended or said nothing."""
    reader, writer = os.pipe()
    command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1600x1000x24", "-noreset"]
    server = subprocess.Popen(
        [*command, "-nolisten", "tcp"],
        pass_fds=(writer,),
        preexec_fn=_die_with_parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(writer)
    with os.fdopen(reader) as answer:
        spoke = select.select([answer], [], [], _PATIENCE_S)[0]
        return server, answer.readline().strip() if spoke else ""
