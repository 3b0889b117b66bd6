"""The contact sheet in the docs is what the effects draw now."""

from __future__ import annotations

import numpy as np
import pytest

from studio.contact import SHEET, contact_sheet, pictures
from studio.core.color import linear_to_srgb
from studio.core.effects import registry
from studio.core.io.images import load_image


def test_contact_sheet_in_the_docs_is_current() -> None:
    """If this fails after a change that is meant to be seen: main.py effects --sheet, and look at it."""
    made = contact_sheet()
    kept = linear_to_srgb(load_image(SHEET)[..., :3])
    assert made.shape == kept.shape
    error = np.abs(made - kept)
    # Eight bits in the file; a pixel of an outline or of a ray's hit may fall the other way.
    assert np.quantile(error, 0.995) < 0.02
    assert error.mean() < 1e-3


@pytest.mark.parametrize("name", list(registry()))
def test_every_effect_changes_its_picture(name: str) -> None:
    off, on = pictures(name, 96)
    assert np.abs(on - off).max() > 0.02
