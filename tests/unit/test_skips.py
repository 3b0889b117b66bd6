"""Tests skip for what a machine lacks, and only for that; the number cannot grow unnoticed."""

from __future__ import annotations

import re

from tests.needs import ROOT

# How many test functions ask for what some machines lack. Raise it only with a reason:
# each one is a check that somebody does not get.
MOST_NEEDS = {"cuda": 12, "gl": 60, "display": 30, "data": 40}


def sources() -> dict[str, str]:
    return {str(p.relative_to(ROOT)): p.read_text("utf-8") for p in (ROOT / "tests").rglob("*.py")}


def test_every_skip_goes_through_need() -> None:
    allowed = ("tests/needs.py", "tests/unit/test_skips.py")
    pattern = re.compile(r"pytest\.skip|mark\.skip|importorskip|mark\.xfail|pytest\.xfail")
    offenders = [name for name, text in sources().items() if name not in allowed and pattern.search(text)]
    assert not offenders


def test_skips_do_not_grow() -> None:
    for what, most in MOST_NEEDS.items():
        pattern = re.compile(rf"need\(['\"]{what}['\"]\)" + (r"|\bdata\(" if what == "data" else ""))
        count = sum(
            len(pattern.findall(text)) for name, text in sources().items() if name.startswith("tests/")
        )
        assert count <= most, f"{count} tests need {what}, the limit is {most}"
