"""FinalityBundles (PROTOCOL row 6): the leaf of a decision under a checkpoint that a quorum cosigned.

A bundle promises nothing and proves itself; it is made when it is asked for. Source and destination ask for
those of their own transfers until they have them, so that nothing has to be offered or remembered here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
import structlog

from tanqiao.api.bridge.v1 import log_pb2, messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.bulk import rows_by_key
from tanqiao.db.engine import Database
from tanqiao.db.sealed_logs import StoredCheckpoint, TilesOf
from tanqiao.kernel.errors import DomainError
from tanqiao.protocol.types import TransferKey
from tanqiao.signing.parties import BRIDGE
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.leaf import decode_leaf
from tanqiao.tlog.proof import make_proof
from tanqiao_bridge.storage.beside import envelopes_beside
from tanqiao_bridge.storage.region_logs import leaves_of
from tanqiao_bridge.storage.tables import decision, log_leaf, message, sealed_logs

BUNDLES_PER_CALL_MAX: Final = 500

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Found:
    key: TransferKey
    destination: str
    log_index: int
    leaf: bytes
    lock_hash: bytes


class Bundles:
    """Makes bundles from one bridge's database; `quorum` says how many witnesses make a leaf final now."""

    def __init__(self, database: Database, quorum: Callable[[], int]) -> None:
        self._database = database
        self._quorum = quorum

    def of(self, keys: Sequence[TransferKey], caller: str, *, whole: bool) -> list[log_pb2.FinalityBundle]:
        """Give the bundles of those transfers that are final.

        Args:
            keys: transfers and uses.
            caller: party that asks; openings go to source and destination alone.
            whole: with the signed messages, and of any transfer; else only of those that name the caller.
        """
        with self._database.reading() as connection:
            checkpoint = sealed_logs.cosigned_checkpoint(connection, BRIDGE)
            if checkpoint is None:
                return []
            found = [
                one
                for one in _find(connection, keys)
                if one.log_index < checkpoint.size and (whole or caller in (one.key.source, one.destination))
            ]
            return _make(connection, checkpoint, found, caller, whole=whole)

    def one(self, key: TransferKey, caller: str) -> log_pb2.FinalityBundle:
        """Give one bundle with its messages.

        Raises:
            DomainError: NOT_FOUND for a transfer without a decision, QUORUM_NOT_REACHED below quorum.
        """
        made = self.of([key], caller, whole=True)
        if made:
            return made[0]
        with self._database.reading() as connection:
            decided = _find(connection, [key])
            newest = sealed_logs.checkpoint(connection, BRIDGE)
            have = 0 if newest is None else len(sealed_logs.cosignatures_of(connection, BRIDGE, newest.size))
        if not decided:
            raise DomainError("NOT_FOUND", what="decision", id=key.transfer_id.hex())
        raise DomainError("QUORUM_NOT_REACHED", needed=self._quorum(), have=have)


def _find(connection: sa.Connection, keys: Sequence[TransferKey]) -> list[_Found]:
    rows = rows_by_key(
        connection,
        decision,
        ("source", "transfer_id"),
        [(key.source, key.transfer_id) for key in dict.fromkeys(keys)],
        ("source", "transfer_id", "destination", "log_index", "lock_hash"),
    )
    leaves = dict(
        rows_by_key(connection, log_leaf, ("log_index",), [(row[3],) for row in rows], ("log_index", "leaf"))
    )
    return [
        _Found(TransferKey(row[0], bytes(row[1])), row[2], row[3], bytes(leaves[row[3]]), bytes(row[4]))
        for row in sorted(rows, key=lambda row: row[3])
    ]


def _make(
    connection: sa.Connection,
    checkpoint: StoredCheckpoint,
    found: Sequence[_Found],
    caller: str,
    *,
    whole: bool,
) -> list[log_pb2.FinalityBundle]:
    tiles = TilesOf(sealed_logs, connection, BRIDGE, checkpoint.size, leaves_of(BRIDGE))
    beside: list[list[envelope_pb2.Envelope]] = [[] for _ in found]
    if whole:
        beside = envelopes_beside(connection, [decode_leaf(one.leaf) for one in found])
    named = [one for one in found if caller in (one.key.source, one.destination)]
    openings = _openings(connection, [one.lock_hash for one in named])
    made = []
    for one, envelopes in zip(found, beside, strict=True):
        try:
            proof = make_proof(one.log_index, checkpoint.size, tiles, checkpoint.note)
        except TlogError as error:  # a tile that is damaged: who asked for others gets those
            if whole:
                raise
            _log.error("bundle_not_made", log_index=one.log_index, reason=error.reason)
            continue
        made.append(
            log_pb2.FinalityBundle(
                source=one.key.source,
                transfer_id=one.key.transfer_id,
                log_index=one.log_index,
                leaf=one.leaf,
                proof=proof.encode(),
                envelopes=envelopes,
                openings=openings.get(one.lock_hash) if one in named else None,
            )
        )
    return made


def _openings(connection: sa.Connection, lock_hashes: Sequence[bytes]) -> dict[bytes, messages_pb2.Openings]:
    rows = rows_by_key(
        connection,
        message,
        ("message_hash",),
        [(value,) for value in dict.fromkeys(lock_hashes)],
        ("message_hash", "companion"),
    )
    return {
        bytes(row[0]): messages_pb2.Openings.FromString(bytes(row[1])) for row in rows if row[1] is not None
    }
