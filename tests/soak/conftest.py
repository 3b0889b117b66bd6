"""The window's display; imported here it lasts for this package, in a module for the whole session."""

from tests.ui.conftest import display

__all__ = ["display"]
