"""Readers of lists: file formats and declarative mappings; a new list needs a mapping, no code."""
