"""Candidate search and geometry: what the pure conflict engine receives as facts. Not pure."""
