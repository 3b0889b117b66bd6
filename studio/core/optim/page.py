"""report.html: what a fit made, on one page to look at and to send."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from studio.core.io.files import write_bytes

_STYLE = """
body { background: #17181b; color: #c9ccd3; font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto;
       max-width: 76rem; padding: 0 1rem; }
h1, h2 { color: #fff; font-weight: 600; } h2 { margin-top: 2.5rem; font-size: 1.15rem; }
img { max-width: 100%; border-radius: 6px; } a { color: #6fb1e0; }
table { border-collapse: collapse; } td, th { padding: .2rem 1.2rem .2rem 0; text-align: left; }
th { color: #8a8f9a; font-weight: 400; } .numbers td { font-variant-numeric: tabular-nums; }
details { margin-top: 1rem; } li { margin: .2rem 0; }
"""

_NUMBERS = (
    ("psnr", "PSNR inside the object", "{:.2f} dB"),
    ("psnr_leveled", "the same, exposure of each half from the other", "{:.2f} dB"),
    ("psnr_white", "PSNR of the whole picture, on white", "{:.2f} dB"),
    ("ssim", "SSIM inside the object", "{:.3f}"),
    ("iou", "mask IoU", "{:.4f}"),
)
_FACTS = (
    ("iterations", "steps", "{:d}"),
    ("seconds", "time", "{:.1f} s"),
    ("iterations_per_second", "rate", "{:.1f} steps/s"),
    ("peak_memory_mb", "peak memory", "{:.0f} MB"),
    ("triangles", "triangles", "{:,d}"),
    ("points", "points", "{:,d}"),
    ("grid", "grid points", "{0[0]} x {0[1]} x {0[2]}"),
    ("degree", "degree of the colours' harmonics", "{:d}"),
    ("photos", "photos used", "{:d}"),
    ("photos_holdout", "photos held out", "{:d}"),
    ("resolution", "resolution", "{:d} px"),
    ("preset", "preset", "{}"),
    ("light_fixed_to", "light fixed to the", "{}"),
    ("device", "device", "{}"),
    ("seed", "seed", "{}"),
)
_PICTURES = (
    ("sheet.png", "Photos and result"),
    ("turntable.gif", "All around"),
    ("shaded.png", "The bare surface"),
    ("loss.png", "Convergence"),
)


def save_page(out: Path, name: str, metrics: dict[str, Any]) -> None:
    """Write report.html beside the files of a fit; it shows those that exist.

    Args:
        out: the fit's folder.
        name: of the photos, for the title.
        metrics: contents of metrics.json.
    """
    parts = [f"<h1>{escape(name)}</h1>", _quality(metrics), _facts(metrics)]
    notes = metrics.get("notes") or []
    if notes:
        parts.append("<h2>Notes</h2><ul>" + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>")
    if metrics.get("views"):
        ranked = sorted(metrics["views"].items(), key=lambda view: view[1])
        table = _table([(view, f"{psnr:.2f} dB") for view, psnr in ranked])
        parts.append(f"<details><summary>PSNR of each photo measured, worst first</summary>{table}</details>")
    for file, title in _PICTURES:
        if (out / file).is_file():
            parts.append(f'<h2>{title}</h2><img src="{file}" alt="{title}">')
    files = sorted(path.name for path in out.iterdir() if path.is_file() and path.name != "report.html")
    links = "".join(f'<li><a href="{escape(file)}">{escape(file)}</a></li>' for file in files)
    parts.append(f"<h2>Files</h2><ul>{links}</ul>")
    settings = _table(
        [(key.replace("_", " "), str(value)) for key, value in metrics.get("settings", {}).items()]
    )
    parts.append(f"<details><summary>All settings</summary>{settings}</details>")
    head = f"<meta charset=utf-8><title>{escape(name)}</title><style>{_STYLE}</style>"
    body = "\n".join(parts)
    write_bytes(out / "report.html", f"<!doctype html><html>{head}<body>{body}</body></html>\n".encode())


def _quality(metrics: dict[str, Any]) -> str:
    """Likeness to photos, held out and used, in two columns."""
    rows = ["<tr><th></th><th>held-out photos</th><th>photos used</th></tr>"]
    for key, label, form in _NUMBERS:
        cells = [
            "-" if metrics.get(f"{key}_{which}") is None else form.format(metrics[f"{key}_{which}"])
            for which in ("holdout", "train")
        ]
        rows.append(f"<tr><th>{label}</th>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return f'<table class="numbers">{"".join(rows)}</table>'


def _facts(metrics: dict[str, Any]) -> str:
    known = [
        (label, form.format(metrics[key]))
        for key, label, form in _FACTS
        if metrics.get(key) not in ("", None)
    ]
    return "<h2>Run</h2>" + _table(known)


def _table(rows: list[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><th>{escape(a)}</th><td>{escape(b)}</td></tr>" for a, b in rows)
    return f"<table>{cells}</table>"
