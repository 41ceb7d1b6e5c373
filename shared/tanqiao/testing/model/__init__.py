"""Explicit-state check of the transfer protocol on the machines that the services run.

Every reachable state of a small world is visited, without a cut-off: two regions, the bridge, two or three
transfers and Uses over one block, any loss, duplication and reordering of messages and any number of crashes;
then once more with each party lying in every way that its key allows. ``python -m tanqiao.testing.model``.
"""
