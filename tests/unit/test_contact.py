"""The contact sheet: every effect shows something."""

from __future__ import annotations

import numpy as np
import pytest

from studio.contact import pictures
from studio.core.effects import registry


@pytest.mark.parametrize("name", list(registry()))
def test_every_effect_changes_its_picture(name: str) -> None:
    off, on = pictures(name, 96)
    assert np.abs(on - off).max() > 0.02
