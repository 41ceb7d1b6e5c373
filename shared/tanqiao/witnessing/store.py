"""The durable side of a witness: replayed leaves and their consequences, one transaction for each stretch.

Check-and-persist is atomic: a stretch is written only if the tree is still the one that it was checked
against, and a tree is promised only if the promise before is still the one that was compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import log_pb2
from tanqiao.db.bulk import delete_by_key, insert_rows, rows_by_key
from tanqiao.db.engine import Database
from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.locations import LocationBook, LocationRow
from tanqiao.protocol.types import TransferKey
from tanqiao.signing.directory import KeyDirectory, KeyEntry, KeyRole
from tanqiao.signing.federation import WitnessGroup
from tanqiao.signing.witness_groups import GroupChange
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.merkle import HASH_SIZE_BYTES, CompactRange
from tanqiao.tlog.sealing import Tree
from tanqiao.tlog.witness import WitnessState
from tanqiao.witnessing import tables
from tanqiao.witnessing.location_roots import WitnessMap
from tanqiao.witnessing.replay import Known, Place, SeenLeaf, Touched

LEAVES_PER_READ_MAX: Final = 1_000
SHOWN: Final = "shown"
COSIGNED: Final = "cosigned"
"""Kinds of checkpoints that a mirror keeps."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """The tree that was replayed, to be grown."""

    range: CompactRange

    @property
    def tree(self) -> Tree:
        """Its size and root."""
        return Tree(self.range.size, self.range.root())


@dataclass(frozen=True, slots=True)
class MirrorCheckpoint:
    """A checkpoint of the log, and how large the mirrored tree was that it was held against.

    Args:
        size: leaves of the mirrored tree; of a cosigned checkpoint its own size.
        note: the signed note.
        proof: that its tree extends the mirrored one (RFC 6962); empty where they are of one size.
    """

    size: int
    note: bytes
    proof: tuple[bytes, ...] = ()


class ReplayStore:
    """What one witness keeps of one log.

    Args:
        database: of the witness.
        log: origin of the log.
    """

    def __init__(self, database: Database, log: str) -> None:
        self._database = database
        self._log = log
        self._map = WitnessMap(database)

    # -- replay ----------------------------------------------------------------------------------------------

    def replayed(self) -> Replayed:
        """Give the tree that was replayed; `LOG_ROLLED_BACK` if its hashes do not lead to its root."""
        with self._database.reading() as connection:
            row = connection.execute(sa.select(tables.tree).where(tables.tree.c.log == self._log)).first()
        if row is None:
            return Replayed(CompactRange())
        edge = bytes(row.edge)
        hashes = [edge[at : at + HASH_SIZE_BYTES] for at in range(0, len(edge), HASH_SIZE_BYTES)]
        known = CompactRange(row.size, hashes)
        if known.root() != bytes(row.root):
            raise TlogError("LOG_ROLLED_BACK", "the witness's own tree is damaged")
        return Replayed(known)

    def directory(self) -> KeyDirectory:
        """Give the keys as the replayed leaves state them."""
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(tables.key)).all()
        return KeyDirectory.of(
            KeyEntry(
                row.owner,
                KeyRole(row.role),
                row.suite,
                bytes(row.public_key),
                row.key_epoch,
                row.valid_from_index,
                row.valid_to_index or None,
                bool(row.revoked),
                row.holder,
            )
            for row in rows
        )

    def group_changes(self) -> tuple[GroupChange, ...]:
        """Give the changes of the group of witnesses as the replayed leaves state them."""
        with self._database.reading() as connection:
            return tuple(_changes(connection))

    def handovers(self) -> dict[int, bytes]:
        """Give the checkpoints in which a group cosigned its own replacement, by that leaf's index."""
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(tables.handover).order_by(tables.handover.c.log_index)).all()
        return {row.log_index: bytes(row.note) for row in rows}

    def keep_handover(self, log_index: int, note: bytes) -> None:
        """Keep such a checkpoint, which fits the replayed tree."""
        with self._database.writing() as connection:
            connection.execute(sa.insert(tables.handover).values(log_index=log_index, note=note))
            connection.commit()

    def known(self, touched: Touched, directory: KeyDirectory) -> Known:
        """Give what is known of that which some leaves touch."""
        with self._database.reading() as connection:
            decided = _keys(connection, tables.decided, ("source", "transfer_id"), touched.transfers)
            issued = _keys(connection, tables.issued, ("region", "issue_id"), touched.issues)
            claimed = rows_by_key(
                connection,
                tables.claimed,
                ("receipt_hash",),
                [(value,) for value in sorted(touched.receipts)],
                ("receipt_hash", "claim_id"),
            )
            rows = _touched_rows(connection, touched.blocks)
            changes = _changes(connection)
        known_claims = {bytes(row[0]): row[1] for row in claimed}
        return Known(
            directory,
            LocationBook(rows),
            decided,
            issued,
            known_claims,
            changes=changes,
            is_map_root=self._map.is_root,
        )

    def persist(
        self,
        before: Replayed,
        after: CompactRange,
        leaves: Sequence[SeenLeaf],
        known: Known,
        shown: MirrorCheckpoint | None = None,
    ) -> None:
        """Write a stretch of leaves with what follows from them, if the tree is still the one before.

        Args:
            before: the tree that the stretch was checked against.
            after: the tree with it.
            leaves: the stretch.
            known: what is known after it.
            shown: the checkpoint that the tree after it was shown to belong to.

        Raises:
            TlogError: `LOG_FENCED` when another process has replayed on.
        """
        with self._database.writing() as connection:
            self._advance(connection, before.tree, after)
            if shown is not None:
                self._keep_checkpoint(connection, SHOWN, shown)
            self._write_keys(connection, known.directory)
            difference = known.book.difference()
            delete_by_key(
                connection,
                tables.location,
                ("series_id", "start_serial"),
                [(row.series_id, row.start) for row in difference.deleted],
            )
            insert_rows(
                connection,
                tables.location,
                [(row.series_id, row.start, row.end, *row.place) for row in difference.inserted],
            )
            for table, fresh in ((tables.decided, known.fresh_decided), (tables.issued, known.fresh_issued)):
                insert_rows(connection, table, [(one.source, one.transfer_id, index) for one, index in fresh])
            insert_rows(connection, tables.claimed, known.fresh_claimed)
            insert_rows(
                connection,
                tables.group_change,
                [
                    (one.log_index, "\n".join(one.group.witnesses), one.group.quorum, one.by_roots)
                    for one in known.fresh_changes
                ],
            )
            insert_rows(
                connection,
                tables.mirrored_leaf,
                [
                    (
                        leaf.log_index,
                        leaf.data,
                        log_pb2.LogLeaf(
                            log_index=leaf.log_index,
                            envelopes=leaf.envelopes,
                            sealed_record=leaf.sealed_record,
                        ).SerializeToString(),
                    )
                    for leaf in leaves
                ],
            )
            connection.commit()
        self._map.note((*difference.deleted, *difference.inserted))

    def _advance(self, connection: sa.Connection, before: Tree, after: CompactRange) -> None:
        values = {"size": after.size, "root": after.root(), "edge": b"".join(after.hashes)}
        columns = tables.tree.c
        if before.size == 0:
            if (
                connection.execute(sa.select(columns.size).where(columns.log == self._log)).first()
                is not None
            ):
                raise TlogError("LOG_FENCED", "another process replays this log")
            connection.execute(sa.insert(tables.tree).values(log=self._log, **values))
            return
        changed = connection.execute(
            sa.update(tables.tree)
            .where(columns.log == self._log, columns.size == before.size, columns.root == before.root)
            .values(**values)
        ).rowcount
        if changed != 1:
            raise TlogError("LOG_FENCED", "another process replays this log")

    @staticmethod
    def _write_keys(connection: sa.Connection, directory: KeyDirectory) -> None:
        stored = {
            bytes(row.key_id): (row.valid_to_index, bool(row.revoked))
            for row in connection.execute(
                sa.select(tables.key.c.key_id, tables.key.c.valid_to_index, tables.key.c.revoked)
            )
        }
        changed = [
            entry
            for entry in directory
            if stored.get(entry.key_id) != (entry.valid_to_index or 0, entry.revoked)
        ]
        delete_by_key(connection, tables.key, ("key_id",), [(entry.key_id,) for entry in changed])
        insert_rows(
            connection,
            tables.key,
            [
                (
                    entry.key_id,
                    entry.owner,
                    int(entry.role),
                    entry.suite,
                    entry.public_key,
                    entry.epoch,
                    entry.valid_from_index,
                    entry.valid_to_index or 0,
                    entry.revoked,
                    entry.holder,
                )
                for entry in changed
            ],
        )

    # -- what the mirror is worth ----------------------------------------------------------------------------

    def keep_cosigned(self, note: bytes, size: int) -> None:
        """Keep a checkpoint with a quorum that fits the replayed tree, if it is larger than the last."""
        with self._database.writing() as connection:
            self._keep_checkpoint(connection, COSIGNED, MirrorCheckpoint(size, note))
            connection.commit()

    def mirror_checkpoint(self, kind: str) -> MirrorCheckpoint | None:
        """Give the checkpoint of a kind, None before the first."""
        columns = tables.mirror_checkpoint.c
        with self._database.reading() as connection:
            row = connection.execute(
                sa.select(columns.size, columns.note, columns.proof).where(
                    columns.log == self._log, columns.kind == kind
                )
            ).first()
        if row is None:
            return None
        proof = bytes(row.proof)
        hashes = [proof[at : at + HASH_SIZE_BYTES] for at in range(0, len(proof), HASH_SIZE_BYTES)]
        return MirrorCheckpoint(row.size, bytes(row.note), tuple(hashes))

    def _keep_checkpoint(self, connection: sa.Connection, kind: str, found: MirrorCheckpoint) -> None:
        columns = tables.mirror_checkpoint.c
        mine = sa.and_(columns.log == self._log, columns.kind == kind)
        values = {"size": found.size, "note": found.note, "proof": b"".join(found.proof)}
        known = connection.execute(sa.select(columns.size).where(mine)).scalar()
        if known is None:
            row = {"log": self._log, "kind": kind, **values}
            connection.execute(sa.insert(tables.mirror_checkpoint).values(**row))
        elif known < found.size:
            connection.execute(sa.update(tables.mirror_checkpoint).where(mine).values(**values))

    # -- promises: the port of `tanqiao.tlog.witness` --------------------------------------------------------

    def known_state(self, origin: str) -> WitnessState | None:
        """Give the largest tree that was cosigned."""
        with self._database.reading() as connection:
            row = connection.execute(sa.select(tables.promise).where(tables.promise.c.log == origin)).first()
        if row is None:
            return None
        return WitnessState(Tree(row.size, bytes(row.root)), bytes(row.note), row.time_seconds)

    def advance_state(self, origin: str, before: WitnessState | None, after: WitnessState) -> bool:
        """Promise a larger tree if the promise before is still the one compared."""
        columns = tables.promise.c
        values = {
            "size": after.tree.size,
            "root": after.tree.root,
            "note": after.note,
            "time_seconds": after.time_seconds,
        }
        with self._database.writing() as connection:
            if before is None:
                if (
                    connection.execute(sa.select(columns.size).where(columns.log == origin)).first()
                    is not None
                ):
                    return False
                connection.execute(sa.insert(tables.promise).values(log=origin, **values))
            else:
                changed = connection.execute(
                    sa.update(tables.promise)
                    .where(
                        columns.log == origin,
                        columns.size == before.tree.size,
                        columns.root == before.tree.root,
                    )
                    .values(**values)
                ).rowcount
                if changed != 1:
                    return False
            connection.commit()
        return True

    # -- evidence and the mirror -----------------------------------------------------------------------------

    def keep_evidence(self, kind: str, detail: str, first: bytes, second: bytes, *, recorded_at: int) -> None:
        """Keep what made the witness stop, once."""
        columns = tables.evidence.c
        with self._database.writing() as connection:
            known = connection.execute(
                sa.select(columns.evidence_id).where(
                    columns.kind == kind, columns.first_note == first, columns.second_note == second
                )
            ).first()
            if known is None:
                row = {"kind": kind, "detail": detail, "first_note": first, "second_note": second}
                connection.execute(sa.insert(tables.evidence).values(recorded_at=recorded_at, **row))
                connection.commit()

    def decision_leaf(self, key: TransferKey) -> SeenLeaf | None:
        """Give the leaf that decided a transfer, None before it was replayed."""
        columns = tables.decided.c
        with self._database.reading() as connection:
            index = connection.execute(
                sa.select(columns.log_index).where(
                    columns.source == key.source, columns.transfer_id == key.transfer_id
                )
            ).scalar()
        return None if index is None else self.mirrored(index, 1)[0]

    def mirrored(self, from_index: int, limit: int = LEAVES_PER_READ_MAX) -> list[SeenLeaf]:
        """Give leaves of the mirror in order, with the messages beside them."""
        columns = tables.mirrored_leaf.c
        with self._database.reading() as connection:
            rows = connection.execute(
                sa.select(tables.mirrored_leaf)
                .where(columns.log_index >= from_index)
                .order_by(columns.log_index)
                .limit(min(limit, LEAVES_PER_READ_MAX))
            ).all()
        return [_mirrored(row.log_index, bytes(row.leaf), bytes(row.records)) for row in rows]


def _mirrored(log_index: int, leaf: bytes, records: bytes) -> SeenLeaf:
    beside = log_pb2.LogLeaf.FromString(records)
    return SeenLeaf(log_index, leaf, tuple(beside.envelopes), beside.sealed_record)


def _changes(connection: sa.Connection) -> list[GroupChange]:
    columns = tables.group_change.c
    rows = connection.execute(sa.select(tables.group_change).order_by(columns.log_index)).all()
    return [
        GroupChange(
            row.log_index, WitnessGroup(tuple(row.witnesses.split("\n")), row.quorum), bool(row.by_roots)
        )
        for row in rows
    ]


def _keys(
    connection: sa.Connection, table: sa.Table, columns: tuple[str, str], keys: Iterable[TransferKey]
) -> set[TransferKey]:
    rows = rows_by_key(
        connection, table, columns, [(key.source, key.transfer_id) for key in sorted(keys)], columns
    )
    return {TransferKey(row[0], bytes(row[1])) for row in rows}


def _touched_rows(connection: sa.Connection, blocks: Sequence[UnitBlock]) -> list[LocationRow[Place]]:
    """Give the rows that share a serial with one of the blocks; a row of a series is found by its end."""
    columns = tables.location.c
    found: dict[tuple[str, int], LocationRow[Place]] = {}
    for series_id, start, end in _spans(blocks):
        rows = connection.execute(
            sa.select(
                columns.series_id, columns.start_serial, columns.end_serial, columns.region, columns.state
            ).where(columns.series_id == series_id, columns.end_serial >= start, columns.start_serial <= end)
        )
        for row in rows:
            found[row[0], row[1]] = LocationRow(row[0], row[1], row[2], (row[3], row[4]))
    return list(found.values())


def _spans(blocks: Sequence[UnitBlock]) -> list[tuple[str, int, int]]:
    """Join blocks that touch: one look-up for each span."""
    spans: list[tuple[str, int, int]] = []
    for block in sorted(blocks):
        if spans and spans[-1][0] == block.series_id and block.start <= spans[-1][2]:
            series_id, start, end = spans[-1]
            spans[-1] = (series_id, start, max(end, block.end))
        else:
            spans.append((block.series_id, block.start, block.end))
    return spans
