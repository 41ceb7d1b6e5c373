"""Finality of what was decided (PROTOCOL R10): pending until a quorum of witnesses has cosigned its leaf.

Units that a decision credits are pending: they are in the account and count as held, but cannot be moved or
used. Where units are, they are marked by the transfer that brought them; when its FinalityBundle has been
verified here, the mark goes. On a network without witnesses nothing is pending and COMMIT is final.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tanqiao.api.bridge.v1 import log_pb2
from tanqiao.kernel.invariants import require
from tanqiao.kernel.units import UnitBlock, subtract_blocks
from tanqiao.protocol.types import TransferKey
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.leaf import decode_leaf
from tanqiao.tlog.policy import Policy
from tanqiao.tlog.proof import verify_proof
from tanqiao.witnessing.groups import KnownGroups
from tanqiao_region.application import journal
from tanqiao_region.application.group import Group, Needs
from tanqiao_region.application.holdings import held_by
from tanqiao_region.application.orders import Orders
from tanqiao_region.application.pending import Pending
from tanqiao_region.storage import finality as store
from tanqiao_region.storage.finality import PendingRow
from tanqiao_region.storage.holdings import HELD
from tanqiao_region.storage.node import WITNESS_QUORUM, store_value


def check_bundle(bundle: log_pb2.FinalityBundle, row: PendingRow, policy: Policy) -> bool:
    """Check that a bundle makes the decision of a row final.

    Returns:
        False when the log names another decision for the transfer than this node was sent: two decisions.

    Raises:
        TlogError: the proof does not hold, or it proves another leaf.
    """
    verify_proof(bundle.proof, bundle.leaf, policy)
    leaf = decode_leaf(bundle.leaf)
    about = (leaf.get("source"), leaf.get("transfer_id"))
    if leaf.kind != "decision" or about != (row.key.source.encode(), row.key.transfer_id):
        raise TlogError("INCLUSION_NOT_PROVEN", "another leaf than the decision's")
    hashes = leaf.message_hashes
    # Its index may be another than the decision says: a restored bridge adopts old decisions (section 6).
    return bool(hashes) and hashes[-1] == row.decision_hash


def make_final(group: Group, bundles: Sequence[tuple[PendingRow, bytes]]) -> list[int]:
    """Make checked bundles' decisions final in the books; the log indexes of those that were pending.

    Args:
        group: of the writer.
        bundles: rows with the serialised bundle that was checked for each.
    """
    open_rows = store.load_pending(group.connection, [row.key for row, _ in bundles])
    fresh = [(row, data) for row, data in bundles if row.key in open_rows]
    group.load(Needs(touched=[block for row, _ in fresh for block in row.blocks]))
    return _end_waiting(group, fresh)


def settle(group: Group, key: TransferKey, blocks: Sequence[UnitBlock]) -> None:
    """Let what a correction settles wait no more: two approvers of each authority say where its units are.

    Args:
        group: of the writer, with the blocks' holdings loaded.
        key: the transfer that the correction names; without an id, none.
        blocks: those of the correction; a transfer of which it names a part only waits on.
    """
    row = store.load_pending(group.connection, [key]).get(key) if key.transfer_id else None
    if row is not None and not subtract_blocks(row.blocks, blocks):
        _end_waiting(group, [(row, b"")])


def _end_waiting(group: Group, fresh: Sequence[tuple[PendingRow, bytes]]) -> list[int]:
    for row, _ in fresh:
        if row.blocks:
            place = (row.account_id, HELD, row.key.transfer_id)
            # What a correction has taken out meanwhile (row 14) is no longer here to become final.
            gone = group.holdings.elsewhere(row.blocks, place)
            failing = group.holdings.move(subtract_blocks(row.blocks, gone), place, held_by(row.account_id))
            require(not failing, f"pending units are not where they were credited: {failing}")
            group.journal.append(
                journal.UNITS_FINAL,
                row.key.transfer_id.hex(),
                (journal.Effect(row.account_id),),
                message_hash=row.decision_hash,
                details={"log_index": str(row.log_index)},
                shared={"source": row.key.source},
            )
    store.set_final(
        group.connection,
        [(row.key, data) for row, data in fresh],
        final_at_ms=int(group.context.now().timestamp() * 1000),
    )
    indexes = [row.log_index for row, _ in fresh]
    group.aftermath.final_indexes.extend(indexes)
    return indexes


def renew_groups(known: KnownGroups, index: int, orders: Orders, pending: Pending) -> None:
    """Learn of changes of the group of witnesses up to a log index; what is decided then awaits the newest.

    Raises:
        TlogError: as `KnownGroups.renew`; the changes before the one that does not hold count all the same.
        DomainError: as there, and the writer's: a quorum that could not be stored is stored at the next call.
    """
    try:
        if index > known.groups.newest_index:
            known.renew()
    finally:
        _keep_quorum(known, orders, pending)


def _keep_quorum(known: KnownGroups, orders: Orders, pending: Pending) -> None:
    quorum = known.groups.newest.quorum
    # While no change is known here, what an earlier start has stored stands: a bridge may hide its changes.
    if known.groups.changes and quorum != pending.quorum:
        orders.run(lambda group: store_value(group.connection, WITNESS_QUORUM, quorum))
        pending.quorum = quorum


def keys_of(rows: Iterable[PendingRow]) -> list[TransferKey]:
    """Give the transfers of rows."""
    return [row.key for row in rows]
