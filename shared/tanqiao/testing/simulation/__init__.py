"""Seeded simulation of the transfer protocol: the real machines, made-up shells, every fault at every edge.

One schedule is one seed: regions, the bridge and a network that drops, repeats, delays, reorders and cuts,
clocks that run apart, and processes that die at the edges of their transactions. An auditor that shares no
code with the machines says what may happen. ``python -m tanqiao.testing.simulation SEED SCHEDULES``.
"""
