"""Tables and set-based queries of a region node."""
