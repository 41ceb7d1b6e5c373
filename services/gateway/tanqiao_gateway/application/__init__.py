"""Commands of a gateway."""
