"""SIGKILL at every write of a claim's path, before the commit and after it, at the process that writes.

Declared, into its notice, released; lists imported, watched and undone; a coordination's step signed and
submitted, its order carried, decided and answered. Whoever asks sends the same bytes until there is an
answer; nothing is lost, done twice or left half done, and the books of all processes are clean. Units are
issued under the crash matrix, which kills region and bridge at every write of an issue.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tanqiao.api.bridge.v1 import claims_pb2, coordination_pb2
from tanqiao.api.common.v1 import values_pb2
from tanqiao.api.gateway.v1 import coordination_pb2 as gateway_pb2
from tanqiao.cli.local.members import CCER, GEC
from tanqiao.rpc.protocol_facts import date_message
from tests.crash.claim_office import REGION, ClaimOffice, claim_office

DECLARED = claims_pb2.CLAIM_STATUS_DECLARED
NOTICE = claims_pb2.CLAIM_STATUS_NOTICE
REGISTERED = claims_pb2.CLAIM_STATUS_REGISTERED
WITHDRAWN = claims_pb2.CLAIM_STATUS_WITHDRAWN
FARM = "9944030000000090{}"
PLANT = "9931000000000070{}"


def certificates(reference: str, code: str, state: str) -> str:
    return f"{reference},{code},虚构电站,虚构公司,,2026-01-01,2026-02-01,240,{state},true,,1"


def plant_claim(number: int) -> claims_pb2.Claim:
    """A claim of Shanghai to an invented plant."""
    return claims_pb2.Claim(
        claim_id=f"310000:project:K-{number}",
        object=claims_pb2.CLAIM_OBJECT_PROJECT,
        project_id=f"K-{number}",
        asset=claims_pb2.Asset(
            references=[claims_pb2.AssetReference(scheme="gec_filing_code", value=PLANT.format(number))],
            kind="pv",
            name="虚构 invented",
            region_code="310000",
        ),
        attribute=claims_pb2.ATTRIBUTE_RE_GEN,
        period=period("2026-01-01", "2027-01-01"),
        grain=claims_pb2.GRAIN_MONTH,
        programme=claims_pb2.PROGRAMME_SH_SHCER,
        region=REGION,
        no_duplicate_commitment=True,
    )


def farm_claim(number: int) -> claims_pb2.Claim:
    """An invented wind farm far off the shore, as a CCER project."""
    return claims_pb2.Claim(
        claim_id=f"ccer:farm-{number}",
        object=claims_pb2.CLAIM_OBJECT_PROJECT,
        project_id=f"farm-{number}",
        asset=claims_pb2.Asset(
            references=[claims_pb2.AssetReference(scheme="gec_filing_code", value=FARM.format(number))],
            kind="offshore_wind",
            name="虚构海上风电 invented",
            offshore_distance_mm=45_000_000,
        ),
        attribute=claims_pb2.ATTRIBUTE_RE_GEN,
        period=period("2025-01-01", "2035-01-01"),
        grain=claims_pb2.GRAIN_DAY,
        programme=claims_pb2.PROGRAMME_CCER,
        methodology_id="CCER-01-002-V01",
    )


def period(start: str, end: str) -> values_pb2.Period:
    return values_pb2.Period(start_date=date_message(start), end_date=date_message(end))


def twice(call: Any, first: Any) -> None:
    """The same bytes again get the same answer."""
    assert call() == first


def lives(office: ClaimOffice, phase: str, number: int) -> None:
    """A claim's life, and what lists say of it meanwhile."""
    claim = plant_claim(number)
    declare = office.declaring(claim)
    receipt = office.through_death(f"B {phase} write DeclareClaims DeclareStatement #1", declare)
    assert receipt.receipt.status == DECLARED
    twice(declare, receipt)
    move = office.moving(claim.claim_id, NOTICE)
    moved = office.through_death(f"B {phase} write MoveClaim #1", move)
    assert moved.receipt.status == NOTICE
    twice(move, moved)

    base = [
        certificates("BASE", "99310000000000799", "ISSUED"),
        certificates(f"F-{number}", FARM.format(number), "ISSUED"),
    ]
    sold = [*base, certificates(f"SOLD-{number}", PLANT.format(number), "TRANSFERRED")]
    before = office.status(GEC).import_id
    load = office.importing(GEC, base)
    loaded = office.through_death(f"G {phase} write _write #1", load)
    assert office.status(GEC).import_id == load().list_import.import_id != before
    assert loaded.list_import.import_id == office.status(GEC).import_id

    # The list then shows that the plant's certificates were sold: a late fact, seen once.
    sell = office.importing(GEC, sold)
    office.through_death(f"B {phase} write ReviewClaims #1", sell)
    office.see("the late fact", lambda: office.late_facts(claim.claim_id))
    shown = office.status(GEC).import_id
    undo = office.undoing(GEC, shown)
    undone = office.through_death(f"G {phase} write undo_import.<locals>.work #1", undo)
    assert undone.current.import_id == office.status(GEC).import_id != shown
    twice(undo, undone)
    again = office.importing(GEC, sold)
    office.through_death(f"B {phase} write NoteList #1", again)
    assert [one.state for one in office.late_facts(claim.claim_id)] == ["open"]

    release = office.moving(claim.claim_id, WITHDRAWN)
    released = office.through_death(f"B {phase} write MoveClaim #1", release)
    twice(release, released)
    stands = office.claim(claim.claim_id)
    assert (stands.claim.status, len(stands.receipts)) == (WITHDRAWN, 3)


def coordinates(office: ClaimOffice, phase: str, number: int) -> None:
    """A CCER project is registered: its order is carried to the other registry and answered."""
    claim = farm_claim(number)
    request = gateway_pb2.SignStepRequest(
        request_id=f"step-{number}", step=coordination_pb2.COORDINATION_STEP_REGISTER, claim=claim
    )
    sign = office.at_gateway(CCER, "SignStep", request)
    signed = office.through_death(f"C {phase} write Orders.sign_step.<locals>.work #1", sign)
    twice(sign, signed)
    submit = office.submitting(signed.envelope)
    submitted = office.through_death(f"B {phase} write SubmitStep #1", submit)
    twice(submit, submitted)
    assert submitted.receipt.status == NOTICE
    acknowledged = coordination_pb2.REGISTRY_ORDER_STATE_ACKNOWLEDGED
    office.see("the acknowledgement", lambda: office.order_state(claim.claim_id) == acknowledged)
    decision = gateway_pb2.DecideOrderRequest(request_id=f"decide-{number}", order_id=submitted.order_id)
    decide = office.at_gateway(GEC, "DecideOrder", decision)
    decided = office.through_death(f"G {phase} write Orders.decide.<locals>.work #1", decide)
    twice(decide, decided)
    confirmed = coordination_pb2.REGISTRY_ORDER_STATE_CONFIRMED
    office.see("the confirmation", lambda: office.order_state(claim.claim_id) == confirmed)
    stands = office.claim(claim.claim_id)
    assert (stands.claim.status, len(stands.receipts)) == (REGISTERED, 2)


def carries(office: ClaimOffice, phase: str, number: int) -> None:
    """The order and its answer cross while the one who stores them dies."""
    claim = farm_claim(number)
    request = gateway_pb2.SignStepRequest(
        request_id=f"step-{number}", step=coordination_pb2.COORDINATION_STEP_REGISTER, claim=claim
    )
    signed = office.at_gateway(CCER, "SignStep", request)()
    submit = office.submitting(signed.envelope)
    submitted = office.through_death(f"G {phase} write Orders.place.<locals>.work #1", submit)
    acknowledged = coordination_pb2.REGISTRY_ORDER_STATE_ACKNOWLEDGED
    office.see("the acknowledgement", lambda: office.order_state(claim.claim_id) == acknowledged)
    decision = gateway_pb2.DecideOrderRequest(request_id=f"decide-{number}", order_id=submitted.order_id)
    office.through_death(
        f"B {phase} write TakeOrderAnswer #1", office.at_gateway(GEC, "DecideOrder", decision)
    )
    office.see("the registration", lambda: office.claim(claim.claim_id).claim.status == REGISTERED)
    assert len(office.claim(claim.claim_id).receipts) == 2


@pytest.mark.long
@pytest.mark.processes
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("databases", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgresql)])
def test_claims_survive_sigkill_at_every_write_of_their_path(tmp_path: Path, databases: str) -> None:
    with claim_office(tmp_path / "home", databases) as office:
        farms = [certificates(f"F-{number}", FARM.format(number), "ISSUED") for number in range(1, 5)]
        office.importing(GEC, farms)()
        office.importing(
            CCER, ["CCER-1,99310000000000798,虚构,虚构,project,registered,2025-01-01,2035-01-01,1"]
        )()
        for number, phase in enumerate(("before", "after"), start=1):
            coordinates(office, phase, number)
            carries(office, phase, number + 2)
            lives(office, phase, number)
        office.require_clean()
