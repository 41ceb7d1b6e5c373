"""Oblivious pseudorandom functions after RFC 9497, suite ristretto255-SHA512, modes OPRF and VOPRF.

A client blinds its input, a server that holds a key evaluates the blinded element, the client unblinds: the
server learns nothing of the input, the client nothing of the key. In mode VOPRF one proof for a whole batch
shows that the server used the key whose public half is known. `group` is the arithmetic, `functions` the
steps of both sides, `proofs` the proof. Randomness comes in as arguments; nothing here stores or logs.
"""
