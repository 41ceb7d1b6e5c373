"""Commands of a region node: one handler, one transaction; hot ones work on lists."""
