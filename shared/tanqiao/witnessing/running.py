"""Puts a witness together: its database, its key, the federation, and the line to the bridge."""

from __future__ import annotations

from pathlib import Path

from tanqiao.db.engine import Database
from tanqiao.db.migrations import open_migrated
from tanqiao.db.node_state import claim_database
from tanqiao.db.unit_of_work import UnitOfWork, run_in_transaction
from tanqiao.signing.federation import Federation
from tanqiao.signing.logs import log_name
from tanqiao.signing.parties import BRIDGE
from tanqiao.witnessing import tables
from tanqiao.witnessing.follower import Follower, Signers, Suspicions
from tanqiao.witnessing.remote import RemoteLog
from tanqiao.witnessing.store import ReplayStore


def open_witness_database(url: str, owner_url: str = "") -> Database:
    """Open a witness's database as its one writer, migrated.

    Raises:
        DomainError: WRITER_ALREADY_RUNNING, DIRECTORY_MISSING, MIGRATION_PENDING, …
    """
    return open_migrated(url, owner_url, tables.SCHEMA)


def build_follower(
    federation: Federation,
    party: str,
    signers: Signers,
    database: Database,
    remote: RemoteLog,
    *,
    evidence: Path | None = None,
    suspicions: Suspicions = lambda: (),
) -> Follower:
    """Give the witness of a party, whose database is its own from then on.

    It need not be of the group yet, nor need there be one: who is to become a witness follows first.

    Args:
        federation: trust anchors, first keys, the group of witnesses.
        party: whose witness it is.
        signers: gives its witness keys that count at a log index.
        database: of the witness.
        remote: the bridge's log.
        evidence: folder of evidence files.
        suspicions: contradictory messages that the party's own node has met.

    Raises:
        DomainError: SETTING_INVALID if the database is another's.
    """

    def claim(unit: UnitOfWork) -> None:
        claim_database(unit.connection, tables.node_state, network_id=federation.network_id, party=party)
        unit.commit()

    run_in_transaction(database, claim)
    store = ReplayStore(database, log_name(federation.network_id, BRIDGE))
    return Follower(federation, signers, store, remote, evidence=evidence, suspicions=suspicions)
