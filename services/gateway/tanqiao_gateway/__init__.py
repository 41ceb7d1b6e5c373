"""A gateway: the official list of one outside registry as imported, looked up and never judged."""
