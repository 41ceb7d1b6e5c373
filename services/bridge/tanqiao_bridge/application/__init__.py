"""Commands of the bridge: one handler, one transaction; hot ones work on lists."""
