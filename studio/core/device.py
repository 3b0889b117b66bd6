"""Which machine the work runs on: torch device, Warp start-up, number of threads.

Importing this module starts nothing: no CUDA context, no kernel compiler.
"""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from collections.abc import Iterator

import torch
import warp as wp

from studio.core.errors import InputError
from studio.core.memory import keep_freed_memory

CHOICES = ("auto", "cpu", "cuda")
THREADS_VARIABLE = "STUDIO_THREADS"

_lock = threading.Lock()
_started = False


def cuda_available() -> bool:
    """Whether torch can use a GPU here; silent on machines that have none."""
    with warnings.catch_warnings():
        # A CUDA build of torch warns about a missing driver; here that is an answer, not a fault.
        warnings.simplefilter("ignore")
        return bool(torch.cuda.is_available())


def pick_device(choice: str = "auto") -> torch.device:
    """The torch device for `choice`, one of auto, cpu, cuda.

    Raises:
        InputError: an unknown choice, or cuda on a machine without it.
    """
    if choice not in CHOICES:
        raise InputError(f"device: expected one of {', '.join(CHOICES)}, got {choice}")
    if choice == "cpu":
        return torch.device("cpu")
    if cuda_available():
        return torch.device("cuda", torch.cuda.current_device())
    if choice == "cuda":
        raise InputError("device: cuda was asked for, but torch finds no CUDA GPU; use auto or cpu")
    return torch.device("cpu")


def describe_device(device: torch.device) -> str:
    """What the status bar shows: the GPU's name, or the number of CPU threads."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    count = band_count()
    return f"CPU, {count} thread{'s' if count > 1 else ''}"


def band_count() -> int:
    """Bands the launcher splits CPU work into: the cores we may use, or $STUDIO_THREADS."""
    text = os.environ.get(THREADS_VARIABLE, "").strip()
    if text:
        if not text.isdigit() or int(text) < 1:
            raise InputError(f"{THREADS_VARIABLE}: expected a whole number of at least 1, got {text!r}")
        return int(text)
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


def configure_threads() -> None:
    """Keep torch to one thread of its own.

    The launcher's bands use every core. OpenMP workers of torch spin for a while after each
    operation and would take those cores away (a rasterization went from 4.6 to 9.1 ms).
    """
    torch.set_num_threads(1)
    keep_freed_memory()


@contextlib.contextmanager
def _native_stderr_hidden() -> Iterator[None]:
    """Send what compiled code prints to stderr nowhere, for a moment."""
    try:
        kept = os.dup(2)
    except OSError:  # no stderr at all: a windowed application
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def start_warp() -> None:
    """Initialise Warp once, without its banner. Kernels are cached per user on disk."""
    global _started
    if _started:
        return
    with _lock:
        if _started:
            return
        if hasattr(wp.config, "log_level") and hasattr(wp, "LOG_WARNING"):
            wp.config.log_level = wp.LOG_WARNING
        else:
            wp.config.quiet = True  # type: ignore[attr-defined]  # the name of older releases
        flags = getattr(wp.config, "cpu_compiler_flags", None)
        if flags:
            # Fused multiply-add, as CUDA has it: 5 to 20 % off the rasterizing kernels. Kept as an
            # addition, since the setting replaces Warp's own flags.
            wp.config.cpu_compiler_flags = flags + " -ffp-contract=fast"
        # Without a driver Warp's compiled part prints a warning that no setting silences.
        with contextlib.nullcontext() if cuda_available() else _native_stderr_hidden():
            wp.init()
        _started = True
