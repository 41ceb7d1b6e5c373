"""The bridge's sealed log over gRPC and HTTPS, on both databases: what is served proves itself."""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from tanqiao.api.bridge.v1 import log_pb2, log_pb2_grpc
from tanqiao.db.sealed_logs import DatabaseLogStore
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.errors import from_rpc_error
from tanqiao.signing.directory import KeyRole
from tanqiao.signing.keyring import Keyring
from tanqiao.signing.logs import checkpoint_keys, note_signer
from tanqiao.testing.databases import DatabaseUnderTest
from tanqiao.testing.network import BRIDGE, SHANGHAI, NetworkOfTest
from tanqiao.tlog.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.leaf import make_leaf
from tanqiao.tlog.merkle import hash_leaf, root_of_leaves, verify_consistency, verify_inclusion
from tanqiao.tlog.reading import LogReader, audit_log
from tanqiao.tlog.sealing import Tree
from tanqiao.tlog.tiles import Tile
from tanqiao_bridge.application.sealing import Sealing
from tanqiao_bridge.storage import log
from tanqiao_bridge.storage.region_logs import leaves_of
from tanqiao_bridge.storage.tables import sealed_logs
from tests.contract.bridge.harness import PlayedRegion, Running, issue_units, run_bridge

Stub = log_pb2_grpc.LogServiceStub
PATIENCE_SECONDS = 60.0
"""On a loaded machine a fresh line takes its time."""


def wait_for(what: Callable[[], bool]) -> None:
    """Wait for a condition, with a generous limit."""
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.05)


def sealed(running: Running, stub: Stub) -> log_pb2.GetCheckpointResponse:
    """Wait until every durable leaf is sealed; the checkpoint."""
    size = stub.ListLeaves(
        log_pb2.ListLeavesRequest(page_size=1), timeout=PATIENCE_SECONDS, wait_for_ready=True
    ).log_size
    found: list[log_pb2.GetCheckpointResponse] = []

    def is_sealed() -> bool:
        found[:] = [
            stub.GetCheckpoint(log_pb2.GetCheckpointRequest(), timeout=PATIENCE_SECONDS, wait_for_ready=True)
        ]
        return found[0].size >= size

    assert running.bridge.logs.sealing is not None
    wait_for(is_sealed)
    return found[0]


def opened(network: NetworkOfTest, note: bytes) -> Checkpoint:
    keys = checkpoint_keys(network.network_id, network.directory, BRIDGE)
    return open_checkpoint(note, *keys)[0]


@dataclass
class RemoteTiles:
    """Tiles of a bridge over gRPC."""

    stub: Stub

    def read_tile(self, tile: Tile) -> bytes:
        return bytes(
            self.stub.GetTile(
                log_pb2.GetTileRequest(path=tile.path), timeout=PATIENCE_SECONDS, wait_for_ready=True
            ).tile
        )


@pytest.fixture
def stub(running: Running) -> Iterator[Stub]:
    with running.channel("reader/national") as channel:
        yield Stub(channel)


def test_every_leaf_is_sealed_served_and_proven(
    running: Running, stub: Stub, shanghai: PlayedRegion, shenzhen: PlayedRegion
) -> None:
    first = opened(running.network, sealed(running, stub).checkpoint)
    running.recognise()
    assert issue_units(running, shanghai).accepted
    ids = shanghai.offer_locks([shanghai.lock(at, at + 10) for at in range(0, 3_000, 10)])
    shanghai.wait(lambda: all(transfer_id in shanghai.decisions for transfer_id in ids))
    checkpoint = opened(running.network, sealed(running, stub).checkpoint)
    assert checkpoint.size > 300
    reader = LogReader(checkpoint.size, checkpoint.root, RemoteTiles(stub))
    assert audit_log(checkpoint.size, checkpoint.root, RemoteTiles(stub)).size == checkpoint.size
    leaves: list[log_pb2.LogLeaf] = []
    while len(leaves) < checkpoint.size:
        request = log_pb2.ListLeavesRequest(from_index=len(leaves), page_size=500, with_envelopes=True)
        leaves.extend(stub.ListLeaves(request, timeout=PATIENCE_SECONDS, wait_for_ready=True).leaves)
    assert [leaf for _, leaf in reader.entries()] == [bytes(one.leaf) for one in leaves[: checkpoint.size]]
    for index in (0, 1, 255, 256, checkpoint.size - 1):
        proof = stub.GetInclusionProof(
            log_pb2.GetInclusionProofRequest(log_index=index, size=checkpoint.size),
            timeout=PATIENCE_SECONDS,
            wait_for_ready=True,
        )
        path = list(proof.path)
        verify_inclusion(index, checkpoint.size, hash_leaf(leaves[index].leaf), path, checkpoint.root)
    growth = stub.GetConsistencyProof(
        log_pb2.GetConsistencyProofRequest(old_size=first.size, size=checkpoint.size),
        timeout=PATIENCE_SECONDS,
        wait_for_ready=True,
    )
    verify_consistency(first.size, checkpoint.size, list(growth.path), first.root, checkpoint.root)


def test_the_log_is_a_folder_of_files_over_https(
    network: NetworkOfTest, bridge_database: DatabaseUnderTest
) -> None:
    running = run_bridge(network, bridge_database.url, bridge_database.owner_url, log_listen="127.0.0.1:0")
    try:
        files = running.bridge.logs.files
        assert files is not None
        with running.channel("reader/national") as channel:
            checkpoint = opened(network, sealed(running, Stub(channel)).checkpoint)
            size = checkpoint.size
            wanted = Stub(channel).GetTile(log_pb2.GetTileRequest(path=f"tile/0/000.p/{size}"))
        context = ssl.create_default_context(cafile=str(network.network.tls(BRIDGE).ca))
        host, _, port = files.address.rpartition(":")
        line = http.client.HTTPSConnection(host, int(port), timeout=60, context=context)

        def get(path: str, method: str = "GET") -> tuple[int, bytes]:
            line.request(method, path)
            answer = line.getresponse()
            return answer.status, answer.read()

        assert opened(network, get("/checkpoint")[1]) == checkpoint
        assert get(f"/tile/0/000.p/{size}") == (200, bytes(wanted.tile))
        assert get(f"/tile/entries/000.p/{size}")[0] == 200
        assert get("/checkpoint", "HEAD") == (200, b"")
        for path in (
            "/",
            "/tile/0/001",
            "/tile/0/../0/000",
            "/region/310000/checkpoint",
            "/etc/passwd",
            "/" * 200,
        ):
            assert get(path)[0] == 404, path
        for method in ("POST", "PUT", "DELETE"):
            assert get("/checkpoint", method)[0] == 501
            line.close()
    finally:
        running.bridge.stop()


# -- the order of sealing ----------------------------------------------------------------------------------


class Dies(Exception):  # noqa: N818 - what a killed process is, not an error
    """The process ends here."""


class DyingStore(DatabaseLogStore):
    """A store whose process dies at one step."""

    dies_at = ""

    def read_leaves(self, start: int, limit: int) -> Any:
        found = super().read_leaves(start, limit)
        self._end("read")
        return found

    def persist_tree(self, before: Tree, after: Tree, tiles: Any) -> None:
        self._end("persist")
        super().persist_tree(before, after, tiles)
        self._end("persisted")

    def publish(self, note: bytes) -> None:
        self._end("signed")
        super().publish(note)
        self._end("published")

    def _end(self, step: str) -> None:
        if self.dies_at == step:
            raise Dies


@pytest.mark.parametrize("step", ["read", "persist", "persisted", "signed", "published"])
def test_a_sealer_that_dies_at_any_step_is_followed_by_one_that_signs_the_same_tree(
    network: NetworkOfTest, bridge_database: DatabaseUnderTest, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyring = Keyring.open(network.network.node(BRIDGE) / "keys")
    signer = note_signer(network.network_id, keyring, KeyRole.CHECKPOINT)
    assert signer is not None
    database = bridge_database.open()
    monkeypatch.setattr("tanqiao_bridge.application.sealing.DatabaseLogStore", DyingStore)
    try:
        append(database, 300)
        monkeypatch.setattr(DyingStore, "dies_at", step)
        with pytest.raises(Dies):
            Sealing(database, signer, "first").seal()
        monkeypatch.setattr(DyingStore, "dies_at", "")
        append(database, 5)
        # The lease of the dead one runs out; the clock of the next one is later.
        later = Sealing(database, signer, "second", lambda: time.time_ns() // 1_000_000 + 60_000)
        done = later.seal()
        assert done is not None
        with database.reading() as connection:
            leaves = leaves_of(BRIDGE)(connection, 0, 1_000)
            notes = [sealed_logs.checkpoint(connection, BRIDGE, size) for size in (300, 305)]
        assert done.checkpoint.size == 305 == len(leaves)
        published = [opened(network, note.note) for note in notes if note is not None]
        for checkpoint in published:
            assert checkpoint.root == root_of_leaves(leaves[: checkpoint.size])
        assert published[-1] == done.checkpoint
    finally:
        database.close()


def test_one_process_seals_at_a_time_and_a_fenced_one_writes_nothing(
    network: NetworkOfTest, bridge_database: DatabaseUnderTest
) -> None:
    keyring = Keyring.open(network.network.node(BRIDGE) / "keys")
    signer = note_signer(network.network_id, keyring, KeyRole.CHECKPOINT)
    assert signer is not None
    clock = [time.time_ns() // 1_000_000]
    database = bridge_database.open()
    try:
        append(database, 10)
        first = Sealing(database, signer, "first", lambda: clock[0])
        second = Sealing(database, signer, "second", lambda: clock[0])
        assert first.seal() is not None
        append(database, 10)
        assert second.seal() is None
        clock[0] += 60_000
        assert second.seal() is not None
        append(database, 10)
        # The first one still believes in its lease: its clock stood still.
        stale = Sealing(database, signer, "first", lambda: clock[0] - 60_000)
        stale._lease = first._lease
        with pytest.raises(Exception, match="LEASE_LOST"):
            stale.seal()
        with database.reading() as connection:
            assert sealed_logs.tree(connection, BRIDGE).size == 20
    finally:
        database.close()


def test_a_log_whose_stored_leaves_changed_is_not_signed_again(
    network: NetworkOfTest, bridge_database: DatabaseUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyring = Keyring.open(network.network.node(BRIDGE) / "keys")
    signer = note_signer(network.network_id, keyring, KeyRole.CHECKPOINT)
    assert signer is not None
    database = bridge_database.open()
    try:
        append(database, 10)
        sealing = Sealing(database, signer, "one")
        assert sealing.seal() is not None
        append(database, 1)
        honest = DatabaseLogStore.read_leaves

        def changed(store: DatabaseLogStore, start: int, limit: int) -> Any:
            return [b"another", *honest(store, start, limit)[1:]]

        monkeypatch.setattr(DatabaseLogStore, "read_leaves", changed)
        with pytest.raises(TlogError, match="LOG_ROLLED_BACK"):
            sealing.seal()
    finally:
        database.close()


def append(database: Any, count: int) -> None:
    with database.writing() as connection:
        leaves = [make_leaf("freeze", public={"order_id": bytes(4)}) for _ in range(count)]
        log.append_leaves(connection, leaves, recorded_at=0)
        connection.commit()


# -- logs of the regions -----------------------------------------------------------------------------------


def test_a_regions_log_goes_up_and_is_served_and_cannot_be_taken_back(running: Running) -> None:

    network = running.network
    keyring = Keyring.open(network.network.node(SHANGHAI) / "keys")
    signer = note_signer(network.network_id, keyring, KeyRole.CHECKPOINT)
    assert signer is not None
    leaves = [make_leaf("journal", public={"index": bytes([at])}).encode() for at in range(9)]

    def signed(size: int, of: list[bytes]) -> bytes:
        return sign_checkpoint(Checkpoint(signer.key.name, size, root_of_leaves(of)), signer).encode()

    with running.channel(SHANGHAI) as channel:
        stub = Stub(channel)

        def add(first: int, part: list[bytes], note: bytes = b"") -> log_pb2.AddLeavesResponse:
            request = log_pb2.AddLeavesRequest(first_index=first, leaves=part, checkpoint=note)
            try:
                return stub.AddLeaves(request, timeout=PATIENCE_SECONDS, wait_for_ready=True)
            except grpc.RpcError as error:
                raise from_rpc_error(error) from None

        assert add(0, leaves[:4]).log_size == 4
        assert add(2, leaves[2:6], signed(6, leaves[:6])).checkpoint_size == 6
        assert add(0, leaves[:6]).log_size == 6
        with pytest.raises(DomainError, match="LOG_ROLLED_BACK"):
            add(0, [leaves[1]])
        with pytest.raises(DomainError, match="WITNESS_SPLIT_VIEW"):
            add(6, leaves[6:], signed(9, [*leaves[:8], leaves[0]]))
        assert add(6, leaves[6:], signed(9, leaves)).checkpoint_size == 9
        tile = stub.GetTile(log_pb2.GetTileRequest(log=SHANGHAI, path="tile/0/000.p/9"))
        assert bytes(tile.tile) == b"".join(hash_leaf(leaf) for leaf in leaves)
