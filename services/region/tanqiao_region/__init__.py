"""The region node: one sovereign registry of a jurisdiction, under the rule pack of that jurisdiction."""
