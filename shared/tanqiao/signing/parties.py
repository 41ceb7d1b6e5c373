"""Names of parties, and patterns over them.

A party is a path of one to four parts: ``bridge`` stands alone, the others are ``region/310000``,
``gateway/ccer``, ``authority/310000``, ``operator/310000/sh.centre`` (a body's office),
``holder/310000/sh.holder/acme`` (one holder of accounts), ``reader/national``. A pattern has the same parts,
where ``*`` stands for one whole part and a last ``**`` for one or more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from tanqiao.kernel.errors import DomainError

PARTY_LENGTH_MAX: Final = 128
PARTY_PARTS_MAX: Final = 4
PATTERN_CACHE_MAX: Final = 4096

BRIDGE: Final = "bridge"
KINDS: Final = frozenset(
    {BRIDGE, "region", "gateway", "authority", "operator", "holder", "reader", "witness", "portal"}
)

_PART: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII | re.IGNORECASE)
_PARTS: Final = {BRIDGE: 1, "operator": 3, "holder": 4}
_PLAIN_PARTS: Final = 2


@dataclass(frozen=True, slots=True)
class Party:
    """One party of the federation.

    Args:
        path: the whole name, as in ``Header.sender`` and in a certificate.
        kind: first part: ``region``, ``bridge``, ``gateway``, ``authority``, ``operator``, ``holder``,
            ``reader``.
        code: second part: region code or name of the registry; empty for the bridge.
        role: third part, the role of the rule pack; empty unless the party is an operator or a holder.
        name: fourth part, what the office calls the holder; empty unless the party is a holder.
    """

    path: str
    kind: str
    code: str = ""
    role: str = ""
    name: str = ""

    @property
    def region_code(self) -> str:
        """GB/T 2260 code of the region that the party belongs to; empty where it belongs to none."""
        belongs = self.kind in ("region", "authority", "operator", "holder")
        return self.code if belongs and self.code != BRIDGE else ""


@lru_cache(maxsize=PATTERN_CACHE_MAX)
def parse_party(path: str, *, field: str = "party") -> Party:
    """Read a party's name.

    Raises:
        DomainError: FIELD_INVALID with the field.
    """
    parts = path.split("/", PARTY_PARTS_MAX)
    well_formed = len(path) <= PARTY_LENGTH_MAX and all(_PART.fullmatch(part) for part in parts)
    if not well_formed or parts[0] not in KINDS or len(parts) != _PARTS.get(parts[0], _PLAIN_PARTS):
        raise DomainError("FIELD_INVALID", field=field, detail="not the name of a party")
    return Party(path, parts[0], *parts[1:])


@lru_cache(maxsize=PATTERN_CACHE_MAX)
def party_matches(pattern: str, path: str) -> bool:
    """Whether the party's name fits the pattern: ``*`` one part, a last ``**`` one or more parts."""
    wanted, given = pattern.split("/"), path.split("/")
    if wanted[-1] == "**":
        wanted = wanted[:-1]
        if len(given) <= len(wanted):
            return False
        given = given[: len(wanted)]
    return len(wanted) == len(given) and all(
        want in ("*", part) for want, part in zip(wanted, given, strict=True)
    )
