"""Decisions that one side alone had seen come back with what they rest on: witnesses cosign what is adopted.

The bridge is rebuilt from mirrors that end before the decisions (PROTOCOL section 6): whoever has one reports
it, and the other side reports the promise that it is still waiting with.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tanqiao.api.bridge.v1 import messages_pb2, orders_pb2, recovery_pb2, recovery_pb2_grpc
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.signing.directory import KeyEntry, KeyRole
from tanqiao.signing.envelope import sign_envelope
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.signing.provision import sign_key_record
from tanqiao.signing.suites import SuiteId, suite_of
from tanqiao.testing.databases import DatabaseMaker
from tanqiao.testing.network import SHANGHAI, SHENZHEN, YUNNAN
from tanqiao.tlog.leaf import Leaf, decode_leaf
from tanqiao_bridge.application.fsck import check_database
from tanqiao_bridge.storage.beside import envelopes_beside
from tanqiao_bridge.storage.log import log_size, read_leaves
from tanqiao_bridge.storage.tables import inbox, recovery_paper, transfer_final
from tests.contract.bridge.approvers import (
    SHANGHAI_AUTHORITY,
    SHENZHEN_AUTHORITY,
    both,
    correction,
    signed,
    stub_of,
)
from tests.contract.bridge.harness import WAIT_SECONDS, PlayedRegion, Running, run_bridge
from tests.contract.witness.conftest import _migrated
from tests.contract.witness.harness import WitnessMaker, trade, wait_for
from tests.contract.witness.rebuilt import Mirroring, rebuild

NACK_TYPE = payload_type_of(messages_pb2.Nack)
Envelope = envelope_pb2.Envelope
Papers = recovery_pb2.Papers


def leaf_at(running: Running, index: int) -> tuple[Leaf, list[Envelope]]:
    """Give a leaf with the messages that it names."""
    with running.bridge.database.reading() as connection:
        leaf = decode_leaf(read_leaves(connection, index, 1)[0].leaf)
        return leaf, envelopes_beside(connection, [leaf])[0]


def hash_of(envelope: Envelope) -> bytes:
    return message_hash(envelope.payload_type, envelope.payload)


@dataclass
class Lost:
    """A transfer that the bridge decided behind its mirrors: `beside` are lock, answer and decision."""

    beside: list[Envelope]
    openings: messages_pb2.Openings

    @property
    def transfer_id(self) -> bytes:
        """Whose decision it is."""
        return messages_pb2.Decision.FromString(self.beside[-1].payload).header.transfer_id

    @property
    def locked(self) -> Papers:
        """What the source has."""
        return Papers(lock=self.beside[0], openings=self.openings)

    @property
    def ready(self) -> Papers:
        """What the destination has."""
        return Papers(ready=self.beside[1])

    def decided(self, papers: Papers | None = None) -> recovery_pb2.ReportItem:
        """Give the decision as a region reports it, with the papers that it has."""
        return recovery_pb2.ReportItem(message=self.beside[-1], papers=papers)

    def moved(self, source: PlayedRegion) -> messages_pb2.SourceFinal:
        """Give the source's receipt."""
        return messages_pb2.SourceFinal(
            header=source.header(transfer_id=self.transfer_id, source=SHANGHAI),
            decision_hash=hash_of(self.beside[-1]),
            state=messages_pb2.SOURCE_STATE_MOVED,
            journal_index=7,
        )

    def another_ready(self, running: Running) -> Papers:
        """Give a Ready of the destination that is not the one which the decision names."""
        other = messages_pb2.Ready.FromString(self.beside[1].payload)
        other.header.message_id = bytes(16)
        signer = running.network.signer(SHENZHEN)
        return Papers(ready=sign_envelope(signer, self.beside[1].payload_type, other.SerializeToString()))


@dataclass
class Rebuilt:
    """The rebuilt bridge, and what the regions have stored of the lost one."""

    running: Running
    first_size: int
    """Leaves that came back from the mirrors, and the leaf of the epoch."""
    commits: list[Lost]
    abort: Lost
    """To a region without an agreement: it was told of the end, and never of the lock."""

    def report(self, party: str, *items: recovery_pb2.ReportItem, undecided: Any = ()) -> None:
        """Hand in the whole report of a region."""
        stub = recovery_pb2_grpc.RecoveryServiceStub(self.running.channel(party))
        request = recovery_pb2.SubmitReportRequest(
            bridge_epoch=2, items=items, undecided=undecided, complete=True
        )
        stub.SubmitReport(request, timeout=WAIT_SECONDS, wait_for_ready=True)

    @property
    def adopted(self) -> int:
        """How many leaves were written since."""
        with self.running.bridge.database.reading() as connection:
            return log_size(connection) - self.first_size

    @property
    def waiting(self) -> int:
        """How many reported messages wait."""
        stub = recovery_pb2_grpc.RecoveryServiceStub(self.running.channel(SHANGHAI))
        request = recovery_pb2.GetRecoveryStatusRequest()
        return int(stub.GetRecoveryStatus(request, timeout=WAIT_SECONDS, wait_for_ready=True).waiting_count)

    def wait_received(self, party: str, number: int) -> None:
        """Wait until so many numbered messages of a party are durable."""

        def received() -> bool:
            with self.running.bridge.database.reading() as connection:
                return inbox.received(connection, party, 1) == number

        wait_for(received)

    def finals(self) -> set[bytes]:
        """Name the transfers with a receipt of the source."""
        with self.running.bridge.database.reading() as connection:
            return {bytes(row.transfer_id) for row in connection.execute(transfer_final.select())}

    def papers(self) -> set[bytes]:
        """Name the transfers of which promises are kept for a decision that may rest on them."""
        with self.running.bridge.database.reading() as connection:
            return {bytes(row.transfer_id) for row in connection.execute(recovery_paper.select())}

    def is_over(self) -> bool:
        """Whether it has recovered."""
        return self.running.bridge.context.recovery.is_over

    def named(self) -> dict[bytes, list[bytes]]:
        """Give the message hashes of each adopted decision by its transfer id."""
        leaves = [leaf_at(self.running, self.first_size + at)[0] for at in range(self.adopted)]
        return {leaf.get("transfer_id") or b"": list(leaf.message_hashes) for leaf in leaves}


@pytest.fixture
def rebuilt(
    running: Running,
    shanghai: PlayedRegion,
    shenzhen: PlayedRegion,
    witnesses: WitnessMaker,
    mirroring: Mirroring,
    database_maker: DatabaseMaker,
    database_kind: str,
) -> Iterator[Rebuilt]:
    """Trade, mirror, decide three more transfers, and rebuild a bridge that has never heard of those."""
    mirroring.follow()
    trade(running, shanghai, 2)
    size = mirroring.follow()
    mirrors = [mirroring.file(party) for party in (SHANGHAI, SHENZHEN)]
    lost = []
    for at, destination in enumerate((SHENZHEN, SHENZHEN, YUNNAN)):
        lock, companion = shanghai.lock(100 + 10 * at, 110 + 10 * at, destination=destination)
        shanghai.outcome(*shanghai.offer_locks([(lock, companion)]))
        openings = messages_pb2.Openings.FromString(companion)
        lost.append(Lost(leaf_at(running, size + at)[1], openings))
    shanghai.disconnect()
    shenzhen.disconnect()
    made = database_maker.make(database_kind, _migrated, "bridge")
    settings = replace(running.bridge.settings, database_url=made.url, owner_database_url=made.owner_url)
    assert rebuild(running.network, settings, *mirrors).size == size
    again = witnesses.running = run_bridge(running.network, made.url, made.owner_url)
    try:
        yield Rebuilt(again, size + 1, lost[:2], lost[2])
    finally:
        again.bridge.stop()
        database_maker.drop(made)


def test_a_decision_that_one_side_alone_has_waits_for_what_it_rests_on(
    rebuilt: Rebuilt, mirroring: Mirroring
) -> None:
    (first, second), abort = rebuilt.commits, rebuilt.abort
    rebuilt.report(SHANGHAI, *(one.decided(one.locked) for one in (first, second)), undecided=[abort.locked])
    assert (rebuilt.adopted, rebuilt.waiting) == (0, 2)
    assert mirroring.follow(SHANGHAI, SHENZHEN) == rebuilt.first_size, "finality goes on meanwhile"
    # Receipts of the source are taken meanwhile: that of what waits is kept until it is adopted.
    source = PlayedRegion(rebuilt.running, SHANGHAI, session_number=7).connect()
    source.number([first.moved(source), second.moved(source)])
    rebuilt.wait_received(SHANGHAI, 2)
    # The destination has one Ready, and another than the second decision names.
    undecided = [first.ready, second.another_ready(rebuilt.running)]
    rebuilt.report(SHENZHEN, undecided=undecided)
    assert (rebuilt.adopted, rebuilt.waiting) == (1, 1)
    assert rebuilt.finals() == {first.transfer_id}
    rebuilt.report(YUNNAN, abort.decided())
    assert (rebuilt.adopted, rebuilt.waiting) == (2, 1)
    assert rebuilt.named() == {one.transfer_id: [*map(hash_of, one.beside)] for one in (first, abort)}
    assert not rebuilt.is_over()
    assert rebuilt.papers() == {second.transfer_id}, (
        "what still waits keeps its promises; the others are done"
    )
    # Whose Ready nobody has: the authorities of both regions say where the units are.
    order = correction(110, 120, header=envelope_pb2.Header(source=SHANGHAI, transfer_id=second.transfer_id))
    approvers = (*both(SHANGHAI_AUTHORITY), *both(SHENZHEN_AUTHORITY))
    envelope = signed(rebuilt.running.network, order, SHANGHAI_AUTHORITY, approvers)
    request = orders_pb2.SubmitCorrectionRequest(request_id="correction-1", correction=envelope)
    stub_of(rebuilt.running).SubmitCorrection(request, timeout=WAIT_SECONDS, wait_for_ready=True)
    assert (rebuilt.adopted, rebuilt.waiting) == (3, 0)
    assert rebuilt.is_over()
    assert rebuilt.papers() == set()
    assert mirroring.follow(SHANGHAI, SHENZHEN) == rebuilt.first_size + 3, "witnesses cosign what was adopted"
    # The decision is not taken back any more, whoever brings what it rests on.
    rebuilt.report(SHENZHEN, undecided=[second.ready])
    assert rebuilt.adopted == 3
    assert rebuilt.papers() == set(), "a late report leaves nothing behind"
    source.disconnect()
    assert not [kind for kind, _ in source.received if kind == NACK_TYPE]
    report = check_database(rebuilt.running.bridge.database)
    assert report.clean, report.as_text()


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_records_of_keys_come_back_in_an_order_in_which_each_finds_what_it_rests_on(rebuilt: Rebuilt) -> None:
    running = rebuilt.running
    network = running.network
    first = running.bridge.context.directory.owned_by(YUNNAN, KeyRole.MESSAGE)[-1]
    suite = suite_of(SuiteId.ED25519)
    public = suite.public_key_of(suite.generate()) or b""
    following = KeyEntry(YUNNAN, KeyRole.MESSAGE, SuiteId.ED25519, public, first.epoch + 1)
    end = rebuilt.first_size + 50

    def reported(entry: KeyEntry) -> recovery_pb2.ReportItem:
        root = network.network.root("authority/530000")
        return recovery_pb2.ReportItem(message=sign_key_record(network.network_id, root, entry))

    begins, ends, older = (
        reported(entry) for entry in (following, replace(first, valid_to_index=end), first)
    )
    while hash_of(ends.message) > hash_of(begins.message):
        ends = reported(replace(first, valid_to_index=end))
    # The end rests on the next key, which the same region reports; another region was told less.
    rebuilt.report(SHENZHEN, ends, begins)
    rebuilt.report(SHANGHAI, older)
    keys = running.bridge.context.directory.owned_by(YUNNAN, KeyRole.MESSAGE)
    assert [one.valid_to_index for one in keys] == [end, None]
    assert rebuilt.adopted == 2
    rebuilt.report(YUNNAN, begins, ends)
    assert rebuilt.adopted == 2


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_who_reports_first_makes_no_difference(rebuilt: Rebuilt, mirroring: Mirroring) -> None:
    (first, second), abort = rebuilt.commits, rebuilt.abort
    rebuilt.report(YUNNAN, abort.decided())
    rebuilt.report(SHENZHEN, undecided=[first.ready, second.ready])
    assert (rebuilt.adopted, rebuilt.waiting) == (0, 1)
    rebuilt.report(SHANGHAI, *(one.decided(one.locked) for one in (first, second)), undecided=[abort.locked])
    assert (rebuilt.adopted, rebuilt.waiting) == (3, 0)
    lost = (first, second, abort)
    assert rebuilt.named() == {one.transfer_id: [*map(hash_of, one.beside)] for one in lost}
    assert mirroring.follow(SHANGHAI, SHENZHEN) == rebuilt.first_size + 3
