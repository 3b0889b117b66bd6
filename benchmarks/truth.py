"""Fits to photos of objects whose shape, colours and roughness are known.

    python main.py bench truth [--objects spot,bob,helmet] [--photos mitsuba,own] [--size PX]
        [--views N] [--samples N] [--keep FOLDER] [--set SETTING=VALUE]... [--preset NAME]
        [--resume] [--sheet FILE.png] [--docs]

Photos are taken in a museum (`museum.exr`); every 9th is held out, which leaves 32 of 36. `mitsuba`
traces paths: bounces, shadows and another diffuse lobe are in the photos that no fit knows. `own` is
the renderer that fits use, past occlusion baked for an even sky, which the fit then assumes as well.
They are kept in `--keep` for the next time.

A fit takes under three minutes of processor time, its photos up to three the first time. Each pair of an
object and a photographer stands alone: `--objects` and `--photos` choose some, `--resume` leaves out
those that this commit has measured in the same way, and `--docs` puts the newest figures of every
pair into one table.

Measured, in the order of the table:

    distance       from the truth's visible surface to the fit, exact, in % of the box's diagonal
    back           from the fit's visible surface to the truth, the same way
    normals        mean angle at the closest points; shaded: of the pixels, textured normals included
    base colour    PSNR in sRGB, after one scale per channel, which light may keep
    roughness      mean error; and that of metallic
    relit          PSNR under another sky (`envmap2.exr`), both by our renderer, scaled as above
    held out       PSNR of the photos that were not fitted

Materials are compared in the pixels of the held-out photos. The models are those of the development
data (see benchmarks/_models.py).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import _docs, _history
from benchmarks._truth_compare import Figures, compare, pictures
from benchmarks._truth_kept import CASE, Kept, newest, pairs, row, table
from benchmarks._truth_scene import HELD_OUT, MAKERS, OBJECTS, Shots, photograph, truth_scene
from studio.core.errors import InputError
from studio.core.io.images import save_png
from studio.core.optim.fit import Fit, FitProblem
from studio.core.optim.settings import FitSettings, load_preset
from studio.core.optim.sheet import sheet
from studio.core.scene import Scene

KEEP = Path(__file__).resolve().parent.parent / "out" / "truth"
SHEET = _docs.FOLDER / "images" / "truth.jpg"


def settings_of(arguments: argparse.Namespace, maker: str) -> FitSettings:
    """The preset at the photos' size, and what --set changes."""
    settings = load_preset(arguments.preset)
    changes: dict[str, Any] = {"resolution": arguments.size, "holdout": HELD_OUT, "light_fixed_to": "world"}
    changes["directed_occlusion"] = maker != "own"
    for entry in arguments.set:
        name, _, value = entry.partition("=")
        changes[name] = value
    for name, value in changes.items():
        settings.set(name, value)
    return settings


def run(name: str, shots: Shots, settings: FitSettings, keep: Path) -> tuple[Figures, Scene, Scene]:
    """One fit: its figures, the truth, and what was found."""
    truth = truth_scene(name)
    photos = photograph(truth, shots, keep)
    began = time.process_time()
    fit = Fit(FitProblem(photos), settings, "auto")
    fit.prepare()
    while fit.steps_done < fit.steps:
        fit.step()
    seconds = time.process_time() - began
    found = fit.result()
    figures = compare(truth, found, [p.camera for p in fit.training], [p.camera for p in fit.holdout])
    figures.held_out_psnr = fit.evaluate(fit.holdout).mean("psnr") or float("nan")
    figures.processor_seconds = seconds
    return figures, truth, found


def save_page(path: Path, shown: dict[tuple[str, str], list[np.ndarray]]) -> None:
    """The sheet of truth beside fit, a row for each object and photographer, as PNG or JPEG."""
    titles = [f"{side}{what}" for what in ("surface", "base colour", "roughness", "relit")
              for side in ("true ", "found ")]  # fmt: skip
    image = sheet(list(shown.values()), titles, ["\n".join(pair) for pair in shown])
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        save_png(path, image, color=False)
        return
    from PIL import Image

    Image.fromarray((np.clip(image[::-1], 0, 1) * 255 + 0.5).astype(np.uint8)).save(path, quality=88)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", default=",".join(OBJECTS))
    parser.add_argument("--photos", default=",".join(MAKERS))
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--views", type=int, default=36)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--keep", type=Path, default=KEEP)
    parser.add_argument("--set", action="append", default=[], metavar="SETTING=VALUE")
    parser.add_argument("--preset", default="standard")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--docs", action="store_true")
    arguments = parser.parse_args(argv)
    wanted = pairs(_listed(arguments.objects, OBJECTS), _listed(arguments.photos, MAKERS))
    how = {name: getattr(arguments, name) for name in ("size", "views", "samples", "preset", "set")}
    kept = Kept(arguments.keep, how | {"commit": _history.commit()})
    shown: dict[tuple[str, str], list[np.ndarray]] = {}
    print(table([]), flush=True)
    for pair in wanted:
        known = kept.load(*pair) if arguments.resume else None
        figures, shown[pair] = known or measure(*pair, arguments, kept)
        print(row(*pair, figures), flush=True)
        if arguments.sheet:  # after each, so that a long run leaves something
            save_page(arguments.sheet, shown)
        if arguments.docs:
            if known is None:
                _history.record(
                    f"{CASE} {pair[0]} {pair[1]}", [figures["processor_seconds"]], 0, "s of processor",
                    **how, **figures,
                )  # fmt: skip
            publish(kept)


def measure(
    name: str, maker: str, arguments: argparse.Namespace, kept: Kept
) -> tuple[dict[str, Any], list[np.ndarray]]:
    """(figures, pictures) of one fit, which are kept."""
    shots = Shots(maker, arguments.views, arguments.size, arguments.samples)
    figures, truth, found = run(name, shots, settings_of(arguments, maker), arguments.keep)
    tiles = pictures(truth, found, arguments.size)
    kept.save(name, maker, figures, tiles)
    return figures.as_dict(), tiles


def publish(kept: Kept) -> None:
    """Table and picture of the documentation, of all that was ever measured this way."""
    found = newest(kept.how)
    tiles = {pair: kept.tiles(*pair) for pair in found}
    save_page(SHEET, {pair: t for pair, t in tiles.items() if t})
    rows = [row(*pair, figures) for pair, figures in found.items()]
    _docs.put("truth", f"![Truth beside fit](images/truth.jpg)\n\n{table(rows)}")


def _listed(text: str, known: Any) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise InputError(f"truth: no {name!r}; there are {', '.join(known)}")
    return names


if __name__ == "__main__":
    main()
