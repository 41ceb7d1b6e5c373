"""Servicers and the line to the bridge: they translate and nothing else."""
