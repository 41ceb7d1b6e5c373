"""What servicers are given of the storage: rows as they are shown; no table, no statement."""

from __future__ import annotations

from tanqiao.db.streams import ClientRequest
from tanqiao_region.storage.accounts import KIND_PERSON, AccountRow
from tanqiao_region.storage.holdings import HoldingRow
from tanqiao_region.storage.journal import JournalRow
from tanqiao_region.storage.packing import unpack_blocks
from tanqiao_region.storage.reading import STATE_NAMES, IncomingView, OutgoingView, RetirementView

__all__ = [
    "KIND_PERSON",
    "STATE_NAMES",
    "AccountRow",
    "ClientRequest",
    "HoldingRow",
    "IncomingView",
    "JournalRow",
    "OutgoingView",
    "RetirementView",
    "unpack_blocks",
]
