"""Servicers and the line to the regions: they translate and nothing else."""
