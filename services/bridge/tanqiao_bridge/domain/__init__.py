"""Pure parts of the bridge."""
