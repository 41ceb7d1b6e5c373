"""Calls to others: the gateways of outside registries."""
