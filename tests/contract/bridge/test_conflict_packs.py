"""The evidence of one conflict: a file that two verifiers accept offline, and no changed one (虚构)."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from tanqiao.api.bridge.v1 import claims_pb2, conflicts_pb2, conflicts_pb2_grpc
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.api.gateway.v1 import registry_pb2
from tanqiao.client.proofs import ServedLog
from tanqiao.db.bulk import insert_rows
from tanqiao.db.unit_of_work import UnitOfWork, run_in_transaction
from tanqiao.offline.conflict import ALIAS_KIND, RESOLUTION_KIND
from tanqiao.offline.container import encode_file, read_file
from tanqiao.offline.make import make_conflict_proof
from tanqiao.offline.verify import verify_bytes
from tanqiao.testing.databases import DatabaseUnderTest
from tanqiao.testing.network import SHANGHAI, SHENZHEN, YUNNAN, NetworkOfTest
from tanqiao_bridge.storage.tables import known_leaf_kind
from tests.contract.bridge.case_office import ALLOW, contest, decide, resolve
from tests.contract.bridge.claims_office import APPLIED, FREE, Office, in_shenzhen, lists, refusal
from tests.contract.bridge.conflict_office import NATIONAL
from tests.contract.bridge.harness import WAIT_SECONDS, claim_of, run_bridge
from tests.contract.bridge.lists import RunningList
from tests.contract.bridge.test_proofs import both_accept, client, finalise, network, policy_of
from tests.independent.verify_file import verify_file
from tests.independent.verify_proof import Policy as OtherPolicy
from tests.independent.verify_proof import Refused

__all__ = ["lists", "network"]


@pytest.fixture
def office(
    network: NetworkOfTest, bridge_database: DatabaseUnderTest, lists: dict[str, RunningList]
) -> Iterator[Office]:
    """A bridge that asks both gateways, and whose log witnesses cosign."""
    running = run_bridge(
        network,
        bridge_database.url,
        bridge_database.owner_url,
        gateways={name: one.address for name, one in lists.items()},
    )
    made = Office(running, lists, network)
    made.stub(SHENZHEN)
    yield made
    made.close_channels()
    running.bridge.stop()


def pack_of(office: Office, case_id: int, party: str = NATIONAL) -> conflicts_pb2.GetConflictPackResponse:
    stub = conflicts_pb2_grpc.ConflictServiceStub(office.running.channel(party))
    return stub.GetConflictPack(conflicts_pb2.GetConflictPackRequest(case_id=case_id), timeout=WAIT_SECONDS)


def refused_by_both(data: bytes, policy: bytes) -> str:
    """Give why the first verifier refuses; the second one refuses too."""
    with pytest.raises(Refused):
        verify_file(data, OtherPolicy(policy))
    refusal_found = verify_bytes(data, policy).refusal
    assert refusal_found is not None
    return refusal_found.reason


def _announce(office: Office) -> None:
    """Let every witness have announced that it reads resolutions and aliases."""
    rows = [
        (witness, kind)
        for witness in office.running.bridge.context.witness_groups.newest.witnesses
        for kind in (RESOLUTION_KIND, ALIAS_KIND)
    ]

    def write(unit: UnitOfWork) -> None:
        insert_rows(unit.connection, known_leaf_kind, rows, ("witness", "kind"))
        unit.commit()

    run_in_transaction(office.running.bridge.database, write)


def test_one_conflict_goes_to_a_court_as_one_file(office: Office) -> None:
    running = office.running
    _announce(office)
    claim = claim_of("310000:instalment:1", filing_code=FREE)
    claim.subject_uscc = "91110000600037341L"
    office.declared(claim)
    contested = contest(running, "310000:instalment:1")
    decide(running, ("gec_filing_code", FREE), ("gec_filing_code", APPLIED))
    other = in_shenzhen("440300:instalment:1", filing_code="99310000000000777", project_id="P-0002")
    office.declared(other)
    open_case = contest(running, "440300:instalment:1", SHANGHAI)
    resolve(running, contested, ALLOW)
    policy = policy_of(office.network)
    finalise(running)

    answer = pack_of(office, contested)
    assert [one.claim_id for one in answer.pack.claims] == ["310000:instalment:1"]
    stated = claims_pb2.Claim.FromString(answer.pack.claims[0].content)
    assert stated.subject_uscc == "91110000600037341L"
    assert [event.what for event in answer.pack.events] == ["contested", "resolved"]
    (row,) = answer.pack.rows
    assert (row.registry, row.reference) == ("ccer", "CCER-77")
    assert registry_pb2.RegistryRecord.FromString(row.record).asset_references[0].value == APPLIED
    for one in answer.pack.lists:
        assert one.answered
        assert one.import_id
        assert len(one.digest) == 32
        assert one.source == "虚构 invented"
    assert answer.pack.explanation.verdict.verdict == claims_pb2.VERDICT_KIND_BLOCK

    with client(running, NATIONAL) as bridge:
        log = ServedLog(bridge)
        data, report = make_conflict_proof(log, answer.envelope, policy)
        still_open, _ = make_conflict_proof(log, pack_of(office, open_case).envelope, policy)
    assert f"Case {contested} (claim contested)" in both_accept(data, policy)
    assert report.facts["rows"] == [{"registry": "ccer", "reference": "CCER-77"}]
    assert report.facts["lists"]["ccer"]["as_of"] == "2026-02-28"
    assert any("名单" in zh for _, zh in report.left_open)
    assert "stood as open" in both_accept(still_open, policy)
    _require_every_part_counts(data, still_open, policy)

    # A region whose claim it is gets it whole; another region nothing; the other party what it may see.
    assert pack_of(office, contested, SHANGHAI).pack.claims[0].content
    own = pack_of(office, open_case, SHANGHAI) if _concerns(office, open_case) else None
    assert own is None or not own.pack.claims[0].content
    error = refusal(lambda: pack_of(office, contested, YUNNAN))
    assert error.symbol == "CASE_UNKNOWN"


def _concerns(office: Office, case_id: int) -> bool:
    pack = pack_of(office, case_id).pack
    return pack.case.body == "authority/310000"


def _require_every_part_counts(data: bytes, other: bytes, policy: bytes) -> None:
    """A part left out, of another file, or changed: each is refused by both verifiers."""
    file, strange = read_file(io.BytesIO(data)), read_file(io.BytesIO(other))
    names = [name for name, _ in file.parts]
    first = names.index("step-leaf")
    without_step = [*file.parts[:first], *file.parts[first + 3 :]]
    assert refused_by_both(encode_file("conflict", without_step), policy) == "MESSAGE_NOT_NAMED"
    with_strange = list(file.parts)
    with_strange[1] = ("envelope", strange.one("envelope"))
    assert refused_by_both(encode_file("conflict", with_strange), policy) == "MESSAGE_NOT_NAMED"
    last_key = max(at for at, name in enumerate(names) if name == "leaf")
    without_key = file.parts[:last_key]
    assert refused_by_both(encode_file("conflict", without_key), policy) == "KEY_NOT_SHOWN"
    for at, (name, part) in enumerate(file.parts):
        changed = list(file.parts)
        changed[at] = (name, part[:-1] + bytes([part[-1] ^ 1]))
        refused_by_both(encode_file("conflict", changed), policy)
    forged = envelope_pb2.Envelope.FromString(file.one("envelope"))
    pack = conflicts_pb2.ConflictPack.FromString(forged.payload)
    pack.case.state = "blocked"
    forged.payload = pack.SerializeToString()
    with_strange[1] = ("envelope", forged.SerializeToString())
    assert refused_by_both(encode_file("conflict", with_strange), policy) == "MESSAGE_REFUSED"
