"""The main story, walked on a running federation: `tanqiao demo`."""
