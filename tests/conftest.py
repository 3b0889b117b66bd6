"""Counts the skips: every one goes through `tests.needs.need`, and there are no more than known."""

from __future__ import annotations

import os
import re
import shutil

import hypothesis
import pytest

from studio.core.device import band_count, configure_threads
from studio.core.kernels import launcher

# The same examples every time where a failure blocks others; new ones at a developer's desk.
hypothesis.settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")

# As the programs do: torch's own threads would take the kernels' cores away.
configure_threads()

# In bands even where the work is too little to pay for them: what is scattered into must be right.
launcher.use_threads(max(2, band_count()), least_work=0)

# How many tests skip where a machine lacks something. Each is a check that somebody does not
# get, so raise a number only for a test that truly cannot run there.
MOST_SKIPS = {
    "cuda": 40,
    "gl": 90,
    "display": 0 if shutil.which("Xvfb") else 40,
    "data": 40,
    "unprivileged": 2,
    "mitsuba": 20,
    "pycolmap": 30,
    "heif": 2,
}

_skipped: dict[str, list[str]] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        found = re.search(r"needs (\w+), which this machine does not have", reason)
        _skipped.setdefault(found[1] if found else "other", []).append(report.nodeid)


def excess() -> list[str]:
    """One line per kind of skip that is more than allowed."""
    return [
        f"{len(tests)} tests skipped for {what}, at most {MOST_SKIPS.get(what, 0)} allowed: {tests[-1]}"
        for what, tests in _skipped.items()
        if len(tests) > MOST_SKIPS.get(what, 0)
    ]


def pytest_sessionfinish(session: pytest.Session) -> None:
    if excess() and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for what, tests in sorted(_skipped.items()):
        terminalreporter.write_line(f"{len(tests)} tests skipped: this machine lacks {what}")
    for line in excess():
        terminalreporter.write_line(f"TOO MANY SKIPS: {line}", red=True)
