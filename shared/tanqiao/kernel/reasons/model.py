"""Shape of a reason: a row of the published catalogue (PROTOCOL section 9)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

from tanqiao.kernel.invariants import require

Severity = Literal["info", "warning", "error", "critical"]

FAMILY_SIZE: Final = 1000
FAMILY_NAMES: Final[dict[int, str]] = {
    1: "envelope, version, authentication",
    2: "message shape",
    3: "sequence, replay, equivocation",
    4: "region, account, freeze, caps",
    5: "unit, location, quantity",
    6: "recognition and rules",
    7: "duplicate claims",
    8: "reconciliation",
    9: "system",
}
GRPC_STATUS_NAMES: Final = frozenset(
    {
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    }
)

_SYMBOL: Final = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
_PLACEHOLDER_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")


class Retry(Enum):
    """When it makes sense to send again."""

    NEVER = "never"
    SAME_BYTES = "same-bytes"
    AFTER_FIX = "after-fix"
    WAIT = "wait"

    @property
    def transient(self) -> bool:
        """Whether the same request can succeed later without a change by its sender."""
        return self in (Retry.SAME_BYTES, Retry.WAIT)


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason: its number is family * 1000 + nnn and, like its symbol, is never used again."""

    number: int
    symbol: str
    retry: Retry
    grpc_status: str
    zh: str
    en: str
    severity: Severity = "error"
    article: str | None = None

    def __post_init__(self) -> None:
        """Refuse a row that the published catalogue could not carry."""
        require(self.family in FAMILY_NAMES, f"{self.symbol}: no family for {self.number}")
        require(self.number % FAMILY_SIZE > 0, f"{self.symbol}: numbers of a family start at 1")
        require(_SYMBOL.fullmatch(self.symbol) is not None, f"{self.symbol!r} is not a symbol")
        require(self.grpc_status in GRPC_STATUS_NAMES, f"{self.symbol}: no status {self.grpc_status}")
        require(bool(self.zh.strip()) and bool(self.en.strip()), f"{self.symbol}: a sentence is empty")
        names = placeholders_of(self.zh)
        require(names == placeholders_of(self.en), f"{self.symbol}: the placeholders of zh and en differ")
        require(
            all(_PLACEHOLDER_NAME.fullmatch(name) for name in names),
            f"{self.symbol}: a placeholder is not a name",
        )

    @property
    def family(self) -> int:
        """Family of PROTOCOL section 9, 1 to 9."""
        return self.number // FAMILY_SIZE

    def as_row(self) -> dict[str, str | int]:
        """Give the row of the published catalogue."""
        return {
            "number": self.number,
            "symbol": self.symbol,
            "severity": self.severity,
            "retry": self.retry.value,
            "grpc_status": self.grpc_status,
            "zh": self.zh,
            "en": self.en,
            "article": self.article or "",
        }

    @property
    def placeholders(self) -> frozenset[str]:
        """Names of the metadata that the sentences show."""
        return placeholders_of(self.en)


def placeholders_of(sentence: str) -> frozenset[str]:
    """Names between braces in a catalogue sentence."""
    return frozenset(_PLACEHOLDER.findall(sentence))
