"""Generated parts of docs/benchmarks.md, between markers."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "docs"


def put(name: str, text: str, page: Path = FOLDER / "benchmarks.md") -> None:
    """Replace what stands between <!-- name --> and <!-- /name -->.

    Raises:
        RuntimeError: the page has no such pair of markers.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    old = page.read_text("utf-8")
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if not pattern.search(old):
        raise RuntimeError(f"{page.name} has no {begin} ... {end}")
    page.write_text(pattern.sub(lambda _: f"{begin}\n{text.strip()}\n{end}", old), "utf-8")
