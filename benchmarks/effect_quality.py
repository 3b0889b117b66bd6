"""How near the two renderers are for each effect, and its gradients to finite differences.

    python main.py bench effect_quality [--docs]

The measurements are those of tests/parity and tests/grad, over their scenes, with default and with
changed parameters; here the worst of each effect stands as a number.
"""

from __future__ import annotations

import argparse

from benchmarks import _docs
from benchmarks.effects import Rows, markdown
from studio.core.device import configure_threads
from studio.core.effects import registry
from studio.gl.context import headless_context
from studio.gl.viewport import Viewport
from tests.grad.test_effects import channel_cases, channel_error, param_cases, param_error
from tests.parity.test_parity import compared
from tests.scenes import SCENES, effects_with


def parity_rows() -> Rows:
    """Worst mean and largest difference over scenes and parameters."""
    rows: Rows = []
    with headless_context() as ctx:
        viewport = Viewport(ctx)
        for name in registry():
            found = [
                compared(viewport, make(), effects_with(name, changed))
                for make in SCENES.values()
                for changed in (False, True)
            ]
            mean, largest = max(f.mean for f in found), max(f.largest for f in found)
            rows.append((name, f"{mean:.1e}", f"{largest:.1e}", f"{max(f.band for f in found):.3f}"))
            print("  " + "  ".join(rows[-1]), flush=True)
        viewport.release()
    return rows


def gradient_rows() -> Rows:
    """Error of every gradient of an effect, in per cent."""
    errors: dict[str, list[str]] = {name: [] for name in registry()}
    worst: dict[str, float] = dict.fromkeys(registry(), 0.0)
    for cases, measure in ((channel_cases(), channel_error), (param_cases(), param_error)):
        for name, what in cases:
            error = measure(name, what)
            worst[name] = max(worst[name], error)
            # Exactly nothing: the effect does not meet it on the hills of this frame.
            errors[name].append(f"{what} {100 * error:.2g}" if error else f"({what})")
    shown = {name: f"{100 * error:.2g}" if error else "–" for name, error in worst.items()}
    rows: Rows = [(name, shown[name], " · ".join(errors[name])) for name in errors]
    for row in rows:
        print("  " + "  ".join(row), flush=True)
    return rows


def main(arguments: list[str] | None = None) -> None:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(prog="bench effect_quality", description=__doc__.split("\n")[0])
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/benchmarks.md")
    options = parser.parse_args(arguments)
    configure_threads()
    titles = ("OpenGL against differentiable", "mean", "largest", "mean along silhouettes")
    parity = markdown(titles, parity_rows())
    gradients = markdown(("gradients, per cent off", "worst", "each"), gradient_rows())
    text = parity + "\n\n" + gradients
    print("\n" + text)
    if options.docs:
        _docs.put("effect quality", text)


if __name__ == "__main__":
    main()
