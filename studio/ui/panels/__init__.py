"""One module per panel: draw(state) -> commands."""
