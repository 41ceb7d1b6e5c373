"""Mappings as data (TOML)."""
