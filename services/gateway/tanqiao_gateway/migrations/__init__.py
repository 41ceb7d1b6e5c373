"""Alembic revisions of a gateway's schema, one set for both databases."""
