"""The append-only record of measurements: one JSON object per line in history.jsonl."""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HISTORY = Path(__file__).resolve().parent / "history.jsonl"


@dataclass
class Times:
    """Milliseconds of one call's runs.

    Attributes:
        wall: what a person waits.
        cpu: of all threads together; hardly moves when the machine is busy with other things.
    """

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def measure(calls: dict[str, Callable[[], object]], rounds: int, warm_up: int) -> dict[str, Times]:
    """Times of several calls, taken in turn so that all see the same weather on the machine."""
    times = {name: Times() for name in calls}
    for i in range(warm_up + rounds):
        for name, call in calls.items():
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            if i >= warm_up:
                times[name].wall.append(1e3 * (time.perf_counter() - wall))
                times[name].cpu.append(1e3 * (time.process_time() - cpu))
    return times


def measure_for(
    calls: dict[str, Callable[[], object]], seconds: float, least: int = 3, most: int = 15
) -> dict[str, Times]:
    """As `measure` after one warm-up round, for `seconds` or what `least` and `most` rounds take."""
    measure(calls, 0, 1)
    start = time.perf_counter()
    times = measure(calls, least, 0)
    for _ in range(most - least):
        if time.perf_counter() - start > seconds:
            break
        for name, more in measure(calls, 1, 0).items():
            times[name].wall += more.wall
            times[name].cpu += more.cpu
    return times


def spread(values: list[float]) -> float:
    """Half the distance between the quartiles."""
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4)
    return (high - low) / 2


def peak_memory_mb() -> float:
    """Largest resident size of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 if sys.platform != "darwin" else 1024 * 1024)


def machine() -> str:
    """Processor and number of cores, without the machine's name."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return f"{model}, {os.cpu_count()} cores"


def commit() -> str:
    """Short hash of the checked-out commit, or "unknown" outside a repository."""
    try:
        result = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=HISTORY.parent, capture_output=True, text=True
        )
    except OSError:
        return "unknown"
    return result.stdout.strip() or "unknown"


def record(case: str, values: list[float], warm_up: int, unit: str = "ms", **more: object) -> None:
    """Append one measurement."""
    entry = {
        "commit": commit(),
        "when": time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime()),
        "machine": machine(),
        "case": case,
        "unit": unit,
        "warm_up": warm_up,
        "runs": len(values),
        "median": round(statistics.median(values), 3),
        "spread": round(spread(values), 3),
        "best": round(min(values), 3),
        "peak_memory_mb": round(peak_memory_mb()),
        **more,
    }
    with HISTORY.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


def entries() -> list[dict[str, Any]]:
    """All measurements so far, oldest first."""
    if not HISTORY.exists():
        return []
    return [json.loads(line) for line in HISTORY.read_text("utf-8").splitlines() if line]
