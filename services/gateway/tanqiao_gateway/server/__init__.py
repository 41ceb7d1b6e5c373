"""Servicer of a gateway: it translates and nothing else."""
