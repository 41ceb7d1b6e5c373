"""Alembic revisions of a region node's schema, one set for both databases."""
