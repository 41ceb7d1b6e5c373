"""Witnesses of a real bridge, and sources that lie to them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import grpc

from tanqiao.db.engine import Database, open_engine
from tanqiao.db.migrations import migrate
from tanqiao.db.node_state import claim_database
from tanqiao.db.unit_of_work import UnitOfWork, run_in_transaction
from tanqiao.signing.directory import KeyRole
from tanqiao.signing.keyring import Keyring
from tanqiao.signing.logs import log_name, note_signer
from tanqiao.signing.note_keys import RingKeys
from tanqiao.testing.databases import DatabaseMaker
from tanqiao.testing.network import BRIDGE
from tanqiao.tlog.keys import NoteSigner
from tanqiao.tlog.tiles import Tile
from tanqiao.witnessing.follower import Follower, Offered, Signers
from tanqiao.witnessing.remote import RemoteLog
from tanqiao.witnessing.replay import SeenLeaf
from tanqiao.witnessing.store import ReplayStore
from tanqiao.witnessing.tables import SCHEMA, node_state
from tests.contract.bridge.harness import PlayedRegion, Running, issue_units


def migrated_witness(url: str) -> None:
    """Bring a database to the schema of a witness."""
    with open_engine(url, role="writer") as database:
        migrate(database, SCHEMA)


def wait_for(what: Callable[[], bool]) -> None:
    """Wait for a condition, with a generous limit."""
    end = time.monotonic() + 100
    while not what():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.05)


def trade(running: Running, shanghai: PlayedRegion, count: int = 20) -> list[bytes]:
    """Issue units and decide some transfers and a use; the ids of the transfers."""
    running.recognise()
    assert issue_units(running, shanghai).accepted
    ids = shanghai.offer_locks([shanghai.lock(at, at + 10) for at in range(0, count * 10, 10)])
    shanghai.wait(lambda: all(transfer_id in shanghai.decisions for transfer_id in ids))
    return ids


def seals_by_hand(running: Running) -> Callable[[], int]:
    """Let the log be sealed when the test says, and only then; the size."""
    bridge = running.bridge
    sealing_thread = bridge.logs.sealing
    assert sealing_thread is not None
    sealing_thread.stop()

    def seal() -> int:
        sealing_thread.seal()
        newest = bridge.logs.keeper.checkpoints(BRIDGE).newest
        assert newest is not None
        return newest.size

    return seal


@dataclass
class WitnessMaker:
    """Makes witnesses; closes what it opened."""

    running: Running
    kind: str
    maker: DatabaseMaker
    opened: list[Database] = field(default_factory=list)
    _made: list[Any] = field(default_factory=list)
    _channels: list[Any] = field(default_factory=list)

    def signer(self, party: str) -> NoteSigner:
        """Give the witness key of a party."""
        network = self.running.network
        keyring = Keyring.open(network.network.node(party) / "keys")
        signer = note_signer(network.network_id, keyring, KeyRole.WITNESS)
        assert signer is not None
        return signer

    def signers(self, party: str) -> Signers:
        """Give the witness keys of a party as its process reads them, ring and all."""
        network = self.running.network
        return RingKeys(network.network_id, network.network.node(party) / "keys", KeyRole.WITNESS).at

    def remote(self, party: str) -> RemoteLog:
        """Give the bridge's log as the party reads it."""
        channel = self.running.channel(party)
        self._channels.append(channel)
        grpc.channel_ready_future(channel).result(60)  # on a loaded machine a fresh line takes its time
        return RemoteLog(channel, self.running.address)

    def database(self) -> Database:
        """Make a witness's database."""
        made = self.maker.make(self.kind, migrated_witness, "witness")
        self._made.append(made)
        database = made.open()
        self.opened.append(database)
        return database

    def claimed_database(self, party: str) -> Database:
        """Make a witness's database that says whose it is, as its process does when it starts."""
        database = self.database()

        def claim(unit: UnitOfWork) -> None:
            network_id = self.running.network.network_id
            claim_database(unit.connection, node_state, network_id=network_id, party=party)
            unit.commit()

        run_in_transaction(database, claim)
        return database

    def store(self, database: Database) -> ReplayStore:
        """Give the durable side on a database."""
        return ReplayStore(database, log_name(self.running.network.network_id, BRIDGE))

    def make(
        self, party: str, source: Any = None, database: Database | None = None, **options: Any
    ) -> Follower:
        """Make a witness."""
        return Follower(
            self.running.network.network.federation,
            self.signers(party),
            self.store(database or self.database()),
            source or self.remote(party),
            **options,
        )

    def sealed(self) -> int:
        """Wait until everything durable is sealed; the size."""
        keeper = self.running.bridge.logs.keeper
        size = keeper.leaves(BRIDGE, 0, 1, with_envelopes=False)[1]

        def is_sealed() -> bool:
            newest = keeper.checkpoints(BRIDGE).newest
            return newest is not None and newest.size >= size

        wait_for(is_sealed)
        return size

    def close(self) -> None:
        """Close all."""
        for channel in self._channels:
            channel.close()
        for database in self.opened:
            database.close()
        for made in self._made:
            self.maker.drop(made)


@dataclass
class LyingSource:
    """A bridge's log in which a test may change what is given."""

    honest: Any
    change_leaf: Callable[[SeenLeaf], SeenLeaf] = lambda leaf: leaf
    note: bytes | None = None
    taken: list[tuple[int, str]] = field(default_factory=list)

    def checkpoint(self, after_size: int) -> Offered:
        offered: Offered = self.honest.checkpoint(after_size)
        return offered if self.note is None else replace(offered, note=self.note)

    def leaves(self, from_index: int, limit: int) -> Sequence[SeenLeaf]:
        return [self.change_leaf(leaf) for leaf in self.honest.leaves(from_index, limit)]

    def consistency(self, old_size: int, size: int) -> Sequence[bytes]:
        proof: Sequence[bytes] = self.honest.consistency(old_size, size)
        return proof

    def cosigned(self) -> Offered:
        offered: Offered = self.honest.cosigned()
        return offered

    def read_tile(self, tile: Tile) -> bytes:
        data: bytes = self.honest.read_tile(tile)
        return data

    def handover(self, log_index: int) -> bytes:
        note: bytes = self.honest.handover(log_index)
        return note

    def add_cosignature(self, size: int, line: str, kinds: Sequence[str]) -> int:
        assert kinds
        self.taken.append((size, line))
        return 0
