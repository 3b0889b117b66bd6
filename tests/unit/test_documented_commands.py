"""Every command line that the README and the docs show is one that the program takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from studio.cli import commands
from tests.needs import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHOWN = re.compile(
    r"^(?:\$ )?(?:python )?main\.py ([a-z].*)$|`(?:python )?main\.py ([a-z][^`]*)`", re.MULTILINE
)
"""A line of its own, or within a text."""


def documented() -> list[tuple[str, str]]:
    """(page, command line) of every one that is shown whole: no ellipsis, no brackets, no NAME."""
    found = []
    for page in PAGES:
        for alone, within in SHOWN.findall(page.read_text("utf-8").replace("\\\n", " ")):
            line = alone or " ".join(within.split())
            if not re.search(r"…|\[|\bNAME\b", line.partition("#")[0]):
                found.append((page.name, line))
    return found


def parse(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the words as the program would, whether the files are there or not."""
    words, group = shlex.split(line, comments=True), commands
    context = click.Context(group)
    while True:
        name, command, words = group.resolve_command(context, words)
        assert command is not None
        if not isinstance(command, click.Group):
            break
        group, context = command, click.Context(command, info_name=name)
    for parameter in command.get_params(context):
        if isinstance(parameter.type, click.Path):
            monkeypatch.setattr(parameter.type, "exists", False)
    given = command.make_context(name, words).params
    if name == "bench" and not (ROOT / "benchmarks" / f"{given['case']}.py").is_file():
        raise click.UsageError(f"no benchmark {given['case']}")


def test_documented_commands_are_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    lines = documented()
    assert len(lines) > 25
    wrong = []
    for page, line in lines:
        try:
            parse(line, monkeypatch)
        except click.ClickException as error:
            wrong.append(f"{page}: {line}: {error.format_message()}")
    assert not wrong
    with pytest.raises(click.UsageError, match="no-such-flag"):
        parse("render teaset --no-such-flag 1", monkeypatch)
