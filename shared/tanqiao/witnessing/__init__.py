"""Validating witnesses of the bridge's log (PROTOCOL section 8).

A witness replays every leaf with the signed messages beside it, keeps what follows from them, and cosigns
only trees in which every leaf held. Regions run one inside their process, third parties with `tanqiao
witness`.
"""
