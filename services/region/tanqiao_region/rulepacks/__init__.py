"""The rule packs shipped with the node; each is a directory that the loader reads as it stands."""
