"""A federation on this machine: its directory, its settings, its processes."""
