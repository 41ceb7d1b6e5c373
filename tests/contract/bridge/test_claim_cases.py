"""Contests, holds, resolutions by two bodies, leases and polygons of the claim index, on both databases."""

from __future__ import annotations

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import (
    cases_pb2,
    claims_pb2,
    claims_pb2_grpc,
    directory_pb2,
    directory_pb2_grpc,
    log_pb2,
    log_pb2_grpc,
    messages_pb2,
)
from tanqiao.db.unit_of_work import UnitOfWork, run_in_transaction
from tanqiao.protocol.locations import LocationBook
from tanqiao.rpc.protocol_facts import date_message
from tanqiao.signing.directory import KeyDirectory
from tanqiao.signing.federation import Federation
from tanqiao.testing.network import SHANGHAI, SHENZHEN
from tanqiao.tlog.leaf import decode_leaf
from tanqiao.witnessing.replay import Known, Replay, SeenLeaf
from tanqiao_bridge.application.fsck import check_database
from tanqiao_bridge.application.lapsing import LapseClaims, measure_downtime
from tanqiao_bridge.storage.claim_tables import alias_root
from tanqiao_bridge.storage.tables import claim
from tests.contract.bridge.approvers import BRIDGE_AUTHORITY, SHANGHAI_AUTHORITY
from tests.contract.bridge.case_office import (
    ALLOW,
    BLOCK,
    DIFFERENT,
    advance_days,
    cases_of,
    cases_stub,
    contest,
    decide,
    parcel,
    resolve,
    square,
    status_of,
)
from tests.contract.bridge.claims_office import (
    DECLARED,
    HOLD,
    NOTICE,
    PROJECT,
    REGISTERED,
    REJECTED,
    WITHDRAWN,
    Office,
    in_shenzhen,
    lists,
    office,
    refusal,
)
from tests.contract.bridge.harness import (
    SERIES,
    WAIT_SECONDS,
    PlayedRegion,
    Running,
    claim_of,
    declare,
    issue_units,
)

__all__ = ["lists", "office"]

LAPSED = claims_pb2.CLAIM_STATUS_LAPSED
SUPERSEDED = claims_pb2.CLAIM_STATUS_SUPERSEDED
COMMIT = messages_pb2.OUTCOME_COMMIT
CDM = ("cdm", "1234")
FILED = ("gec_filing_code", "99310000000000701")


def on_cdm(claim: claims_pb2.Claim) -> claims_pb2.Claim:
    """Make a claim on the same plant under its number in another registry."""
    del claim.asset.references[:]
    claim.asset.references.add(scheme=CDM[0], value=CDM[1])
    return claim


def require_witnessed(running: Running) -> None:
    """Demand that a witness, which checks each leaf against its messages, would cosign the whole log."""
    stub = log_pb2_grpc.LogServiceStub(running.channel(SHANGHAI))
    request = log_pb2.ListLeavesRequest(page_size=500, with_envelopes=True)
    answer = stub.ListLeaves(request, timeout=WAIT_SECONDS)
    assert len(answer.leaves) == answer.log_size
    seen = [SeenLeaf(one.log_index, one.leaf, tuple(one.envelopes)) for one in answer.leaves]
    federation = Federation.load(running.bridge.settings.federation_file)
    stretch = Replay(federation).open(seen, KeyDirectory({}))
    Replay.apply(stretch.opened, Known(stretch.after, LocationBook()))
    assert {"case_resolution", "asset_alias"} <= {decode_leaf(one.leaf).kind for one in answer.leaves}


# -- what a person must look at -----------------------------------------------------------------------------


def test_a_hold_is_a_case_that_two_bodies_resolve_for_its_claims_alone(office: Office) -> None:
    running = office.running
    held = in_shenzhen("440300:project:1", filing_code=WITHDRAWN, kind=PROJECT)
    receipt = office.declared(held)
    assert (receipt.status, receipt.verdict.verdict) == (REJECTED, HOLD)
    (case,) = cases_of(running, state="open")
    assert (case.kind, case.body) == ("claim on hold", BRIDGE_AUTHORITY)
    assert list(case.claim_ids) == ["440300:project:1", "ccer:CCER-78"]
    for signers in (((BRIDGE_AUTHORITY, 0), (BRIDGE_AUTHORITY, 1)), ((SHANGHAI_AUTHORITY, 0),)):
        assert refusal(resolve, running, case.case_id, ALLOW, (), signers).symbol == "APPROVERS_MISSING"
    strangers = ((SHANGHAI_AUTHORITY, 0), ("authority/440300", 0))
    assert refusal(resolve, running, case.case_id, ALLOW, (), strangers).symbol == "APPROVERS_MISSING"
    index = resolve(running, case.case_id, ALLOW).log_index
    assert status_of(running, held.claim_id) == DECLARED
    assert refusal(resolve, running, case.case_id, BLOCK).symbol == "CASE_CLOSED"
    assert [case.state for case in cases_of(running, claim_id=held.claim_id)] == ["allowed"]
    for status in (NOTICE, REGISTERED):
        assert office.move(held.claim_id, status, SHENZHEN).status == status
    # Another claim on the same asset was no matter of that case.
    other = in_shenzhen("440300:project:2", filing_code=WITHDRAWN, kind=PROJECT, project_id="P-2")
    other.period.start_date.CopyFrom(date_message("2031-01-01"))
    other.period.end_date.CopyFrom(date_message("2032-01-01"))
    assert office.declared(other).status == REJECTED
    stub = directory_pb2_grpc.DecisionServiceStub(running.channel(SHANGHAI))
    request = directory_pb2.ListLogEntriesRequest(from_index=index, page_size=2)
    leaves = [decode_leaf(one.leaf) for one in stub.ListLogEntries(request, timeout=WAIT_SECONDS).entries]
    assert [leaf.kind for leaf in leaves] == ["case_resolution", "claim"]
    decide(running, CDM, FILED)
    require_witnessed(running)
    assert leaves[1].get("status") == b"CLAIM_STATUS_DECLARED"
    office.require_clean()


def test_a_contested_claim_waits_for_its_case(office: Office) -> None:
    office.declared(claim_of("310000:project:1", kind=PROJECT))
    office.declared(claim_of("310000:project:2", kind=PROJECT, filing_code="99310000000000799"))
    for claim_id, resolution in (("310000:project:1", ALLOW), ("310000:project:2", BLOCK)):
        case_id = contest(office.running, claim_id)
        assert contest(office.running, claim_id, SHANGHAI) == case_id
        error = refusal(office.move, claim_id, NOTICE)
        assert (error.symbol, error.metadata["cases"]) == ("CLAIM_HOLD", f"case {case_id}")
        resolve(office.running, case_id, resolution)
    assert office.move("310000:project:1", NOTICE).status == NOTICE
    assert status_of(office.running, "310000:project:2") == REJECTED
    assert refusal(contest, office.running, "310000:project:1").symbol == "CLAIM_STATE_WRONG"
    assert refusal(contest, office.running, "310000:project:404").symbol == "CLAIM_UNKNOWN"
    shown = cases_stub(office.running).GetCase(cases_pb2.GetCaseRequest(case_id=1), timeout=WAIT_SECONDS)
    assert [(event.what, bool(event.envelope.payload)) for event in shown.events] == [
        ("contested", True),
        ("contested", True),
        ("resolved", True),
    ]
    office.require_clean()


def test_an_objection_that_a_region_brings_is_a_case_and_its_claim_waits(office: Office) -> None:
    office.declared(claim_of("310000:project:1", kind=PROJECT))
    office.move("310000:project:1", NOTICE)
    # Objections are made to the region whose notice it is; another region contested before, or not at all.
    assert refusal(contest, office.running, "310000:project:1").symbol == "CLAIM_STATE_WRONG"
    first = contest(office.running, "310000:project:1", SHANGHAI)
    (case,) = [one for one in cases_of(office.running) if one.case_id == first]
    assert (case.kind, case.body, list(case.claim_ids)) == (
        "objection",
        "authority/310000",
        ["310000:project:1"],
    )
    assert case.deadline_time.seconds > 0
    for status in (REGISTERED, NOTICE):
        error = refusal(office.move, "310000:project:1", status)
        assert (error.symbol, error.metadata["cases"]) == ("CLAIM_HOLD", f"case {first}")
    resolve(office.running, first, ALLOW)
    assert office.move("310000:project:1", REGISTERED).status == REGISTERED
    assert refusal(contest, office.running, "310000:project:1", SHANGHAI).symbol == "CLAIM_STATE_WRONG"
    shown = cases_stub(office.running).GetCase(cases_pb2.GetCaseRequest(case_id=first), timeout=WAIT_SECONDS)
    assert [event.what for event in shown.events] == ["objected", "resolved"]
    # One that is upheld ends the claim.
    office.declared(claim_of("310000:project:2", kind=PROJECT, filing_code="99310000000000799"))
    office.move("310000:project:2", NOTICE)
    resolve(office.running, contest(office.running, "310000:project:2", SHANGHAI), BLOCK)
    assert status_of(office.running, "310000:project:2") == REJECTED
    office.require_clean()


# -- one asset under two references -------------------------------------------------------------------------


def test_an_alias_bars_later_claims_and_opens_a_case_about_those_that_stand(running: Running) -> None:
    first = declare(running, SHANGHAI, claim_of("310000:instalment:1")).receipt
    second = declare(running, SHENZHEN, on_cdm(in_shenzhen("440300:instalment:1"))).receipt
    assert [first.status, second.status] == [DECLARED, DECLARED]
    assert cases_of(running) == []
    decide(running, CDM, FILED)
    (case,) = cases_of(running)
    assert (case.kind, case.body) == ("claims on one asset", BRIDGE_AUTHORITY)
    assert set(case.claim_ids) == {"310000:instalment:1", "440300:instalment:1"}
    assert status_of(running, "440300:instalment:1") == DECLARED  # a decision withdraws nothing
    barred = on_cdm(claim_of("310000:instalment:2"))
    assert declare(running, SHANGHAI, barred).receipt.status == REJECTED
    decide(running, FILED, CDM, DIFFERENT)
    free = on_cdm(claim_of("310000:instalment:3", start="2026-03-01", end="2026-04-01"))
    held = claim_of("310000:instalment:4", start="2026-03-01", end="2026-04-01")
    assert declare(running, SHANGHAI, free).receipt.status == DECLARED
    assert declare(running, SHANGHAI, held).receipt.status == DECLARED


# -- polygons -----------------------------------------------------------------------------------------------


def test_parcels_that_overlap_are_one_asset_and_those_that_touch_are_not(running: Running) -> None:
    def claimed(number: int, geometry: str, region: str = SHANGHAI) -> int:
        code = region.removeprefix("region/")
        claim = parcel(claim_of(f"{code}:parcel:{number}", region=region), geometry)
        return int(declare(running, region, claim).receipt.status)

    assert claimed(1, square(121.001, 31.001)) == DECLARED
    assert claimed(2, square(121.011, 31.001), SHENZHEN) == DECLARED  # shares an edge
    assert claimed(3, square(121.0105, 31.0105), SHENZHEN) == REJECTED
    assert claimed(4, square(121.2, 31.2), SHENZHEN) == DECLARED
    barred = declare(running, SHENZHEN, parcel(in_shenzhen("440300:parcel:5"), square(121.005, 31.005)))
    assert "310000:parcel:1" in barred.receipt.verdict.refusal.metadata["claims"]


# -- leases -------------------------------------------------------------------------------------------------


def test_a_declared_claim_lapses_unless_its_notice_opens_and_downtime_counts_for_it(office: Office) -> None:
    bridge = office.running.bridge
    for number in (1, 2):
        claim = claim_of(f"310000:project:{number}", kind=PROJECT, filing_code=f"9931000000000080{number}")
        assert office.declared(claim).status == DECLARED
    assert office.move("310000:project:1", NOTICE).status == NOTICE
    advance_days(office.running, bridge.settings.claim_lease_days - 1)
    bridge.writer.submit(LapseClaims()).result(WAIT_SECONDS)
    assert status_of(office.running, "310000:project:2") == DECLARED
    bridge.context.down_seconds += 10 * 86_400  # as if it had been down for ten days meanwhile
    advance_days(office.running, bridge.settings.claim_lease_days + 9)
    bridge.writer.submit(LapseClaims()).result(WAIT_SECONDS)
    assert status_of(office.running, "310000:project:2") == DECLARED
    advance_days(office.running, bridge.settings.claim_lease_days + 11)
    bridge.writer.submit(LapseClaims()).result(WAIT_SECONDS)
    assert status_of(office.running, "310000:project:1") == NOTICE
    assert status_of(office.running, "310000:project:2") == LAPSED
    assert refusal(office.move, "310000:project:2", NOTICE).symbol == "CLAIM_STATE_WRONG"
    freed = in_shenzhen("440300:project:2", kind=PROJECT, filing_code="99310000000000802")
    assert office.declared(freed).status == DECLARED  # what lapsed bars nobody
    office.require_clean()


def test_the_time_that_a_bridge_was_down_is_added_up(running: Running) -> None:
    def measure(now: int) -> int:
        def work(unit: UnitOfWork) -> int:
            down = measure_downtime(unit.connection, now)
            unit.commit()
            return down

        return run_in_transaction(running.bridge.database, work)

    begun = measure(4_000_000_000)
    assert measure(4_000_000_000 + 100) == begun + 100
    assert measure(4_000_000_000 + 100) == begun + 100
    assert measure(4_000_000_000 + 50) == begun + 100  # a clock that was put back takes nothing off


# -- units of a barred claim, and conversions ---------------------------------------------------------------


def test_units_of_a_barred_claim_neither_move_nor_are_used_until_their_case_is_resolved(
    running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion
) -> None:
    running.recognise()
    assert issue_units(running, shanghai).accepted
    declare(running, SHENZHEN, on_cdm(in_shenzhen("440300:instalment:1")))
    decide(running, CDM, FILED)
    (case,) = cases_of(running)
    resolve(running, case.case_id, BLOCK, ["310000:instalment:1"])
    (units,) = cases_of(running, state="open")
    assert (units.kind, units.blocking) == ("units of a barred claim", True)
    (transfer_id,) = shanghai.offer_locks([shanghai.lock(0, 1_000)])
    assert [one.reason for one in shanghai.outcome(transfer_id).reasons] == ["CASE_BLOCKING"]
    use = shanghai.use(0, 10)
    shanghai.offer([use])
    assert [one.reason for one in shanghai.outcome(use.header.transfer_id).reasons] == ["CASE_BLOCKING"]
    resolve(running, units.case_id, ALLOW)
    (transfer_id,) = shanghai.offer_locks([shanghai.lock(0, 1_000)])
    assert shanghai.outcome(transfer_id).outcome == COMMIT
    assert shenzhen.session_number == 1


def test_a_claim_is_superseded_once_its_units_are_cancelled(running: Running, shanghai: PlayedRegion) -> None:
    assert issue_units(running, shanghai).accepted
    stub = claims_pb2_grpc.ClaimServiceStub(running.channel(SHANGHAI))

    def supersede() -> claims_pb2.ClaimReceipt:
        statement = claims_pb2.ClaimStatement(claim_id="310000:instalment:1", status=SUPERSEDED, reason="x")
        envelope = running.network.envelope(statement, SHANGHAI)
        request = claims_pb2.ReleaseClaimRequest(envelope=envelope)
        return stub.ReleaseClaim(request, timeout=WAIT_SECONDS).receipt

    successor = claim_of("310000:instalment:2")
    successor.supersedes.append("310000:instalment:1")
    assert declare(running, SHANGHAI, successor).receipt.status == REJECTED
    error = refusal(supersede)
    assert error.symbol == "CLAIM_UNITS_LEFT"
    assert error.metadata["units"] == f"{SERIES}[0,100000)"
    use = shanghai.use(0, 100_000)
    use.kind = messages_pb2.USE_KIND_CANCEL
    shanghai.offer([use])
    assert shanghai.outcome(use.header.transfer_id).outcome == COMMIT
    assert supersede().status == SUPERSEDED
    successor.claim_id = "310000:instalment:3"
    assert declare(running, SHANGHAI, successor).receipt.status == DECLARED


def test_fsck_sees_a_claim_and_an_alias_that_were_changed_behind_the_log(running: Running) -> None:
    declare(running, SHANGHAI, claim_of("310000:instalment:1"))
    decide(running, CDM, FILED)
    assert check_database(running.bridge.database).clean

    def spoil(unit: UnitOfWork) -> None:
        unit.connection.execute(sa.update(claim).values(status=int(NOTICE)))
        unit.connection.execute(
            sa.update(alias_root).where(alias_root.c.asset_key == "asset:cdm:1234").values(root_key="x")
        )
        unit.commit()

    run_in_transaction(running.bridge.database, spoil)
    findings = check_database(running.bridge.database).findings
    assert len(findings) == 2
    assert "is CLAIM_STATUS_NOTICE" in findings[0]
    assert findings[1].startswith("asset:cdm:1234 stands under x")
