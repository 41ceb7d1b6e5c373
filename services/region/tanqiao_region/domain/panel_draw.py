"""A draw of experts that anybody can hold again from its record (RULES section 7.4, inferred from SZ-11a).

Experts of the field against whom nothing speaks are ordered by SHA-256(seed ‖ expert id); the first are the
panel. Whoever fixes the pool before the seed is known cannot choose the panel.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    """An expert of the pool on the day of the draw, and why the expert stands aside, if that is so."""

    expert_id: str
    fields: frozenset[str]
    excluded_because: str = ""


def drawn_again(
    candidates: Iterable[Candidate], field: str, seed: bytes, wanted: int
) -> tuple[int, tuple[str, ...]]:
    """Hold the draw; gives how many experts were eligible, and the panel in the order drawn."""
    eligible = sorted(
        {one.expert_id for one in candidates if field in one.fields and not one.excluded_because},
        key=lambda expert_id: (hashlib.sha256(seed + expert_id.encode()).digest(), expert_id),
    )
    return len(eligible), tuple(eligible[: max(wanted, 0)])


def pool_digest(candidates: Iterable[Candidate]) -> str:
    """Give SHA-256 over the pool, hexadecimal; the order of candidates does not matter."""
    lines = sorted(
        f"{one.expert_id}\t{','.join(sorted(one.fields))}\t{one.excluded_because}" for one in candidates
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def record_digest(
    candidates: Iterable[Candidate], field: str, seed: bytes, wanted: int, members: Sequence[str]
) -> str:
    """Give SHA-256 over the whole record: pool, field, seed, size, panel."""
    parts = [pool_digest(candidates), field, seed.hex(), str(wanted), *members]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
