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
ATTEMPTS_MAX: Final = 20
BLOCKS_IN_LEAF_MAX: Final = 300
"""A leaf that names this many blocks may have left some out; its message names all."""
_LOCATION_STATES: Final = {
    directory_pb2.LOCATION_STATE_HELD: UnitState.HELD,
    directory_pb2.LOCATION_STATE_USED: UnitState.USED,
    directory_pb2.LOCATION_STATE_CANCELLED: UnitState.CANCELLED,
}


def check_federation(federation: Federation, region_codes: Sequence[str]) -> Conservation:
    """Check conservation over the regions and the bridge, while they work.

    Raises:
        DomainError: CONCURRENT_CHANGE when the bridge never stood still for the length of a read.
    """
    regions = [region_snapshot(federation.region(code)) for code in region_codes]
    return check_conservation(bridge_snapshot(federation.bridge), regions)


def region_snapshot(client: RegionClient) -> RegionSnapshot:
    """Read what a region has, at one index of its journal."""
    answer = client.node.ListSeriesTotals(journal_pb2.ListSeriesTotalsRequest())
    return RegionSnapshot(
        client.party,
        answer.applied_log_index,
        tuple((block_of(held.block), UnitState[held.state]) for held in answer.held_blocks),
    )


def bridge_snapshot(client: BridgeClient) -> BridgeSnapshot:
    """Read the log and the locations at one size of the log; starts again if the log grew meanwhile."""
    known: list[Movement] = []
    read_up_to = 0
    for _ in range(ATTEMPTS_MAX):
        for movement, index in movements_from(client, read_up_to):
            if movement is not None:
                known.append(movement)
            read_up_to = index + 1
        locations = _locations(client, read_up_to)
        if locations is not None:
            return BridgeSnapshot(read_up_to, tuple(known), locations)
    raise DomainError("CONCURRENT_CHANGE", what="log", id=client.party)


def _locations(client: BridgeClient, log_size: int) -> tuple[tuple[UnitBlock, str, UnitState], ...] | None:
    """Read all pages; None if one of them stands at another size of the log."""
    rows: list[tuple[UnitBlock, str, UnitState]] = []
    token = ""
    while True:
        answer = client.locations.ListLocations(
            directory_pb2.ListLocationsRequest(page_size=PAGE_SIZE, page_token=token)
        )
        if answer.as_of_index != log_size:
            return None
        rows += [
            (block_of(entry.block), entry.region, _LOCATION_STATES[entry.state]) for entry in answer.locations
        ]
        token = answer.next_page_token
        if not token:
            return tuple(rows)


def movements_from(client: BridgeClient, from_index: int) -> Iterator[tuple[Movement | None, int]]:
    """Give each leaf's movement (None for a leaf that moves nothing) and its index, to the end of the log."""
    while True:
        answer = client.decisions.ListLogEntries(
            directory_pb2.ListLogEntriesRequest(from_index=from_index, page_size=PAGE_SIZE)
        )
        for entry in answer.entries:
            yield _movement(client, entry.log_index, decode_leaf(entry.leaf)), entry.log_index
            from_index = entry.log_index + 1
        if not answer.entries or from_index >= answer.log_size:
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
