"""Alembic revisions of the bridge's schema, one set for both databases."""
