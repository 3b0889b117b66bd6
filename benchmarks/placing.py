"""Photos whose cameras are thrown away and found again, beside the true ones.

    python main.py bench placing SOURCE...

SOURCE is a capture with known cameras. The photos, with the masks that the studio finds for
them unless --no-masks is given, go through the same door as a plain folder of photos.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from studio.core.io.images import save_png
from studio.core.io.photos import load_photos, read_frames
from studio.core.io.poses import compare_poses


def measure(source: Path, masks: bool) -> str:
    """One row of the table."""
    truth = {frame.image.name: frame.pose for frame in read_frames(source).frames}
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        (folder / "images").mkdir()
        for frame in read_frames(source).frames:
            shutil.copyfile(frame.image, folder / "images" / frame.image.name)
        if masks:
            for photo in load_photos(source).photos:
                if photo.mask is not None:
                    save_png(folder / "masks" / f"{photo.name}.png", photo.mask[..., None], color=False)
        start = time.perf_counter()
        found = read_frames(folder, use_masks=masks).frames
        seconds = time.perf_counter() - start
    errors = compare_poses([f.pose for f in found], [truth[f.image.name] for f in found])
    pixels = np.mean([f.reprojection for f in found if f.reprojection is not None])
    return (
        f"| {source.name} | {'yes' if masks else 'no'} | {len(found)} of {len(truth)} "
        f"| {errors.degrees.mean():.3f} / {errors.degrees.max():.3f} "
        f"| {100 * errors.shares.mean():.3f} / {100 * errors.shares.max():.3f} "
        f"| {pixels:.2f} | {seconds:.0f} |"
    )


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench placing", description="Cameras found again.")
    parser.add_argument("source", nargs="+", type=Path)
    parser.add_argument("--no-masks", action="store_true", help="features on the background too")
    options = parser.parse_args(arguments)
    print("| photos | masks | placed | degrees, mean / max | % of distance, mean / max | px | s |")
    print("|---|---|---|---|---|---|---|")
    for source in options.source:
        print(measure(source, not options.no_masks), flush=True)


if __name__ == "__main__":
    main()
