"""Shared fixtures. Every skip goes through `need`, which counts and explains."""

from __future__ import annotations

import pytest

from tests.needs import SKIPS, need

__all__ = ["need"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if SKIPS:
        terminalreporter.write_line("skipped for what this machine lacks: " + ", ".join(sorted(set(SKIPS))))
