"""`check`: what is wrong with a set of photos, in words."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from studio.core.io.masking import MaskSource
from studio.options import MASKS, Progress


@click.command("check")
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--masks", type=MASKS, default="auto", show_default=True, help="Where masks come from.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Keep cameras that are found in its colmap/ for `fit`."
)
def check(source: Path, masks: MaskSource, out: Path | None) -> None:
    """Say what is wrong with the photos of SOURCE, and what to do.

    SOURCE is what `fit` takes. Photos that disagree with the others, look away, are blurred, much
    brighter, there twice, or cut off by the frame; too few of them; masks that are missing.
    """
    from studio.core.io.photos import load_photos

    with Progress() as progress, tempfile.TemporaryDirectory() as folder:
        cameras = Path(folder) if out is None else out / "colmap"
        photos = load_photos(source, 800, masks, progress=progress.report, cameras=cameras)
    for note in photos.notes:
        click.echo(f"note: {note}")
    for finding in photos.findings:
        click.echo(f"check: {finding}")
    count = len(photos.photos)
    click.echo(f"{count} photos, {len(photos.findings) or 'no'} finding{'s' * (len(photos.findings) != 1)}")
