"""The bridge: directory, recognition, location of every block, the decision on every transfer, claims and the log."""
