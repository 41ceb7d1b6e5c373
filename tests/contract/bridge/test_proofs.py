"""Proof files from a real bridge whose checkpoints witnesses cosign; two verifiers accept them offline."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from tanqiao.api.bridge.v1 import log_pb2, log_pb2_grpc
from tanqiao.cli.verbs.proving import conservation
from tanqiao.client.proofs import ServedLog
from tanqiao.client.servers import BridgeClient
from tanqiao.kernel.errors import DomainError
from tanqiao.offline.make import Openings, make_decision_proof, write_replay
from tanqiao.offline.replay import Claim
from tanqiao.offline.verify import verify_bytes
from tanqiao.signing.directory import KeyRole
from tanqiao.signing.keyring import Keyring
from tanqiao.signing.logs import note_signer, witness_policy
from tanqiao.signing.provision import provision_network
from tanqiao.testing.databases import DatabaseUnderTest
from tanqiao.testing.network import SHANGHAI, SHENZHEN, YUNNAN, NetworkOfTest, standard_plan
from tanqiao.tlog.cosignature import cosign
from tanqiao.tlog.note import parse_note
from tests.contract.bridge.harness import SERIES, WAIT_SECONDS, PlayedRegion, Running, issue_units, run_bridge
from tests.contract.bridge.test_keys import Office
from tests.independent.verify_file import verify_file
from tests.independent.verify_proof import Policy as OtherPolicy

QUORUM = 3
SEAL_SECONDS_MAX = 60


@pytest.fixture
def network(tmp_path: Path) -> NetworkOfTest:
    """Three regions and a regulator cosign; three of them make a decision final."""
    plan = replace(standard_plan(), witnesses=("regulator",), quorum=QUORUM)
    made = provision_network(tmp_path / "net", plan, now=datetime.now(UTC))
    return NetworkOfTest(made, made.federation.directory())


@pytest.fixture
def running(network: NetworkOfTest, bridge_database: DatabaseUnderTest) -> Iterator[Running]:
    started = run_bridge(network, bridge_database.url, bridge_database.owner_url)
    yield started
    started.bridge.stop()


def policy_of(network: NetworkOfTest) -> bytes:
    federation = network.network.federation
    return witness_policy(federation.network_id, federation.directory(), federation.witness_group).encode()


def finalise(running: Running) -> None:
    """The regions cosign what the bridge has sealed, until all its leaves are final."""
    deadline = time.monotonic() + SEAL_SECONDS_MAX
    while True:
        with running.channel("reader/national") as channel:
            stub = log_pb2_grpc.LogServiceStub(channel)
            size = stub.ListLeaves(log_pb2.ListLeavesRequest(page_size=1), timeout=WAIT_SECONDS).log_size
            answer = stub.GetCheckpoint(log_pb2.GetCheckpointRequest(), timeout=WAIT_SECONDS)
        if answer.size >= size:
            break
        assert time.monotonic() < deadline
        time.sleep(0.1)
    for party in (SHANGHAI, SHENZHEN, YUNNAN):
        ring = Keyring.open(running.network.network.node(party) / "keys")
        signer = note_signer(running.network.network_id, ring, KeyRole.WITNESS)
        assert signer is not None
        line = cosign(parse_note(answer.checkpoint).text, signer, int(time.time())).encode()
        with running.channel(party) as channel:
            request = log_pb2.AddCosignatureRequest(size=answer.size, cosignature=line)
            log_pb2_grpc.LogServiceStub(channel).AddCosignature(request, timeout=WAIT_SECONDS)


def client(running: Running, party: str) -> BridgeClient:
    return BridgeClient(party, running.address, running.network.network.tls(party))


def both_accept(data: bytes, policy: bytes) -> str:
    report = verify_bytes(data, policy)
    assert report.refusal is None, report.lines("en")
    assert verify_file(data, OtherPolicy(policy))
    assert report.statement is not None
    return report.statement[0]


def test_a_transfer_and_a_use_are_proven_to_a_stranger_with_one_file(
    running: Running, network: NetworkOfTest, shanghai: PlayedRegion, shenzhen: PlayedRegion, tmp_path: Path
) -> None:
    running.recognise()
    assert issue_units(running, shanghai).accepted
    (moved,) = shanghai.offer_locks([shanghai.lock(1_000, 3_000)])
    shanghai.outcome(moved)
    use = shanghai.use(0, 500)
    shanghai.offer([use])
    shanghai.outcome(use.header.transfer_id)
    policy = policy_of(network)
    with client(running, "reader/national") as bridge, pytest.raises(DomainError, match="QUORUM_NOT_REACHED"):
        ServedLog(bridge).decision(SHANGHAI, moved)
    finalise(running)

    with client(running, SHENZHEN) as bridge:
        log = ServedLog(bridge)
        served, openings = log.decision(SHANGHAI, moved)
        assert openings.address
        data, _ = make_decision_proof(log, "title", served, policy, openings=openings)
        assert "2000 kg CO2e went from region/310000 to region/440300" in both_accept(data, policy)
        assert verify_bytes(data, policy).facts["opening_address"] == "TQ-440300-TEST"
    with client(running, "reader/national") as bridge:
        log = ServedLog(bridge)
        served, openings = log.decision(SHANGHAI, moved)
        assert openings == Openings()  # whoever is no party to it learns no address
        used, _ = log.decision(SHANGHAI, use.header.transfer_id)
        data, _ = make_decision_proof(log, "retirement", used, policy)
        assert "500 kg CO2e were taken out for ever" in both_accept(data, policy)
        for kind, claim, said in (
            ("decision", Claim(SHANGHAI, moved), "was decided once: COMMIT"),
            ("conservation", Claim(series_id=SERIES), "is whole"),
            ("location", Claim(series_id=SERIES, serial=2_999), "is held at region/440300"),
        ):
            out = tmp_path / kind
            write_replay(log, kind, claim, policy, out)
            assert said in both_accept(out.read_bytes(), policy)


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_title_rests_on_a_key_that_the_next_root_named(
    running: Running, network: NetworkOfTest, shanghai: PlayedRegion, shenzhen: PlayedRegion
) -> None:
    office = Office(running)
    running.recognise()
    assert issue_units(running, shanghai).accepted
    place = network.network.home / "authorities" / "310000" / "root"
    first, following = network.network.root("authority/310000"), Keyring.add_key(place, KeyRole.ROOT)
    office.submit(following.entry(), first)
    key = office.next_key(SHANGHAI)
    office.submit(key.entry(), following)
    old = running.bridge.context.directory.owned_by("authority/310000", KeyRole.ROOT)[0]
    office.submit(replace(old, valid_to_index=office.size), following)
    office.use(SHANGHAI, key)
    (moved,) = shanghai.offer_locks([shanghai.lock(1_000, 3_000)])
    shanghai.outcome(moved)
    finalise(running)
    policy = policy_of(network)
    with client(running, SHENZHEN) as bridge:
        log = ServedLog(bridge)
        served, openings = log.decision(SHANGHAI, moved)
        data, _ = make_decision_proof(log, "title", served, policy, openings=openings)
    assert "2000 kg CO2e went from region/310000 to region/440300" in both_accept(data, policy)


def test_a_proof_that_does_not_hold_under_the_policy_is_not_written(
    running: Running, network: NetworkOfTest, shanghai: PlayedRegion, tmp_path: Path
) -> None:
    assert issue_units(running, shanghai).accepted
    finalise(running)
    other = provision_network(
        tmp_path / "other", replace(standard_plan(), quorum=2), now=datetime.now(UTC)
    ).federation
    named, out = tmp_path / "policy", tmp_path / "conservation"
    named.write_bytes(witness_policy(other.network_id, other.directory(), other.witness_group).encode())
    write = conservation.callback
    assert write is not None
    with client(running, "reader/national") as bridge:
        session = SimpleNamespace(bridge=bridge, home=SimpleNamespace(path=tmp_path / "net"))
        with pytest.raises(DomainError) as caught, click.Context(conservation, obj=session).scope():
            write(SERIES, out, named)
    assert caught.value.symbol == "PROOF_INVALID"
    assert not out.exists()
