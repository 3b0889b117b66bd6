"""Masks cut out by colour beside those that a capture brings.

    python main.py bench cutout SOURCE... [--size PX]

SOURCE is a capture with masks: alpha, files, or a plain background. They are thrown away, and the
object is cut out again from cameras and colours alone.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from studio.core.io.photos import load_photos


def measure(source: Path, size: int) -> str:
    """One row of the table."""
    true = [photo.mask for photo in load_photos(source, size).photos]
    start = time.process_time()
    found = [photo.mask for photo in load_photos(source, size, masks="grabcut").photos]
    seconds = time.process_time() - start
    scores = []
    for a, b in zip(found, true, strict=True):
        if a is None or b is None:
            return f"| {source.name} | {len(true)} | no masks | |"
        ours, theirs = a > 0.5, b > 0.5
        scores.append((ours & theirs).sum() / max((ours | theirs).sum(), 1))
    return f"| {source.name} | {len(true)} | {np.mean(scores):.3f} / {min(scores):.3f} | {seconds:.0f} |"


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench cutout", description="Masks cut out by colour.")
    parser.add_argument("source", nargs="+", type=Path)
    parser.add_argument("--size", type=int, default=400, help="long side of the photos")
    options = parser.parse_args(arguments)
    print("| photos | views | IoU, mean / worst | processor s, loading included |")
    print("|---|---|---|---|")
    for source in options.source:
        print(measure(source, options.size), flush=True)


if __name__ == "__main__":
    main()
