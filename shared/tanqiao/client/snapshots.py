"""Takes the snapshots that the check of conservation compares: every region first, then the bridge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from tanqiao.api.bridge.v1 import directory_pb2, messages_pb2
from tanqiao.api.region.v1 import journal_pb2
from tanqiao.client.conservation import (
    Act,
    BridgeSnapshot,
    Conservation,
    LocationPage,
    Movement,
    RegionSnapshot,
    UnitState,
    check_conservation,
)
from tanqiao.client.servers import BridgeClient, Federation, RegionClient
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.units import UnitBlock
from tanqiao.rpc.protocol_facts import block_of
from tanqiao.tlog.leaf import Leaf, decode_leaf

PAGE_SIZE: Final = 1000
BLOCKS_IN_LEAF_MAX: Final = 300
"""A leaf that names this many blocks may have left some out; its message names all."""
_LOCATION_STATES: Final = {
    directory_pb2.LOCATION_STATE_HELD: UnitState.HELD,
    directory_pb2.LOCATION_STATE_USED: UnitState.USED,
    directory_pb2.LOCATION_STATE_CANCELLED: UnitState.CANCELLED,
}


class LogMovements:
    """What the leaves of the bridge's log moved. Kept from look to look, only what was appended is read.

    A log that is not the one that was read (a bridge was restored from an old backup) is read anew.
    """

    def __init__(self) -> None:
        self.movements: list[Movement] = []
        self.size = 0
        self._last_leaf = b""

    def read(self, client: BridgeClient) -> None:
        """Read to the end of the log."""
        if self.size:
            request = directory_pb2.ListLogEntriesRequest(from_index=self.size - 1, page_size=1)
            entries = client.decisions.ListLogEntries(request).entries
            if not entries or entries[0].leaf != self._last_leaf:
                self.movements, self.size = [], 0
        while True:
            answer = client.decisions.ListLogEntries(
                directory_pb2.ListLogEntriesRequest(from_index=self.size, page_size=PAGE_SIZE)
            )
            for entry in answer.entries:
                movement = _movement(client, entry.log_index, decode_leaf(entry.leaf))
                if movement is not None:
                    self.movements.append(movement)
                self.size, self._last_leaf = entry.log_index + 1, entry.leaf
            if not answer.entries or self.size >= answer.log_size:
                return


def check_federation(
    federation: Federation, region_codes: Sequence[str], log: LogMovements | None = None
) -> Conservation:
    """Check conservation over the regions and the bridge, while they work.

    Args:
        federation: the servers.
        region_codes: every region of it.
        log: what an earlier check has read; it is brought up to date.

    Raises:
        DomainError: what the servers refuse; BATCH_TOO_LARGE for a region whose books are too large.
    """
    regions = [region_snapshot(federation.region(code)) for code in region_codes]
    return check_conservation(bridge_snapshot(federation.bridge, log or LogMovements()), regions)


def region_snapshot(client: RegionClient) -> RegionSnapshot:
    """Read what a region has, at one index of its journal.

    Raises:
        DomainError: BATCH_TOO_LARGE if its books are too large for one snapshot.
    """
    answer = client.node.ListSeriesTotals(journal_pb2.ListSeriesTotalsRequest())
    if answer.next_page_token:
        raise DomainError("BATCH_TOO_LARGE", field="held_blocks", limit=len(answer.held_blocks))
    return RegionSnapshot(
        client.party,
        answer.applied_log_index,
        tuple((block_of(held.block), UnitState[held.state]) for held in answer.held_blocks),
    )


def bridge_snapshot(client: BridgeClient, log: LogMovements) -> BridgeSnapshot:
    """Read the locations, page by page while the bridge works, and then the log."""
    locations = tuple(_locations(client))
    log.read(client)
    return BridgeSnapshot(log.size, tuple(log.movements), locations)


def _locations(client: BridgeClient) -> Iterator[LocationPage]:
    token = ""
    while True:
        answer = client.locations.ListLocations(
            directory_pb2.ListLocationsRequest(page_size=PAGE_SIZE, page_token=token)
        )
        pieces = tuple(
            (block_of(entry.block), entry.region, _LOCATION_STATES[entry.state]) for entry in answer.locations
        )
        token = answer.next_page_token
        last = pieces[-1][0] if token else None
        yield LocationPage(answer.as_of_index, None if last is None else (last.series_id, last.end), pieces)
        if not token:
            return


def _movement(client: BridgeClient, log_index: int, leaf: Leaf) -> Movement | None:
    if leaf.kind == "issue":
        return Movement(
            log_index,
            Act.ISSUE,
            leaf.value("region").decode(),
            "",
            leaf.value("issue_id"),
            (UnitBlock.parse(leaf.value("block").decode()),),
            leaf.value("accepted") == b"1",
        )
    if leaf.kind not in ("decision", "correction"):
        return None
    is_correction = leaf.kind == "correction"
    act = Act.CORRECT if is_correction else Act[leaf.value("kind").decode()]
    blocks = tuple(UnitBlock.parse(line) for line in leaf.value("blocks").decode().split("\n") if line)
    if len(blocks) >= BLOCKS_IN_LEAF_MAX:
        blocks = _blocks_of_message(client, log_index, act)
    if is_correction:
        return Movement(
            log_index,
            act,
            leaf.value("from_region").decode(),
            leaf.value("to_region").decode(),
            leaf.value("correction_id"),
            blocks,
            committed=True,
        )
    return Movement(
        log_index,
        act,
        leaf.value("source").decode(),
        leaf.value("destination").decode() if act is Act.TRANSFER else "",
        leaf.value("transfer_id"),
        blocks,
        leaf.value("outcome") == b"COMMIT",
    )


def _blocks_of_message(client: BridgeClient, log_index: int, act: Act) -> tuple[UnitBlock, ...]:
    answer = client.decisions.ListLogEntries(
        directory_pb2.ListLogEntriesRequest(from_index=log_index, page_size=1, with_envelopes=True)
    )
    payload = answer.entries[0].envelopes[0].payload
    if act is Act.CORRECT:
        return tuple(block_of(block) for block in messages_pb2.Correction.FromString(payload).blocks)
    message = messages_pb2.LockAssertion if act is Act.TRANSFER else messages_pb2.Use
    return tuple(block_of(block) for block in message.FromString(payload).blocks)
