"""Tables and queries of a gateway."""
