"""The conformance kit (PROTOCOL section 10.8): plays the bridge, and a region dials in and proves itself.

It knows the wire contract and nothing of how a region is made. What it demands is a list of requirements,
each a check with the article of the protocol.
"""
