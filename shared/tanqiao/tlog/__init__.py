"""Proof without trust: Merkle logs, checkpoints, cosignatures, tiles and the files that are checked offline.

Formats: C2SP signed-note, tlog-checkpoint, tlog-cosignature, tlog-tiles, tlog-proof and tlog-policy; hashing
of RFC 6962; Ed25519 of RFC 8032. Standard library and the Ed25519 primitive of `cryptography` only: no
network, no database, no clock. Whatever bytes a verifier of this package is given, it accepts them or raises
`tanqiao.tlog.errors.TlogError`.
"""
