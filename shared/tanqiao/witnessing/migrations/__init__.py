"""Migrations of a witness's database."""
