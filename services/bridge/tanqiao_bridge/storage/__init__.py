"""Tables and set-based queries of the bridge."""
