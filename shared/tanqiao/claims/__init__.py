"""The conflict model: one reduction, one claim (CLAIMS). Pure: standard library and kernel only."""

from __future__ import annotations

from tanqiao.claims.engine import judge
from tanqiao.claims.keys import asset_key, asset_ref, lock_keys, subject_key
from tanqiao.claims.model import Claim, ClaimFacts, Verdict, VerdictKind

__all__ = [
    "Claim",
    "ClaimFacts",
    "Verdict",
    "VerdictKind",
    "asset_key",
    "asset_ref",
    "judge",
    "lock_keys",
    "subject_key",
]
