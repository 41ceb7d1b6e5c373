"""A gateway: the official list of one outside registry as imported, and look-ups in it. It decides nothing."""
