"""The claim service beside real gateways, on both databases: is this reduction claimed twice?

Everything in the lists is invented (虚构).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest

from tanqiao.api.bridge.v1 import (
    claims_pb2,
    claims_pb2_grpc,
    directory_pb2,
    directory_pb2_grpc,
    messages_pb2,
)
from tanqiao.api.common.v1 import envelope_pb2, values_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.errors import from_rpc_error
from tanqiao.signing.batch import sign_batch
from tanqiao.signing.pae import message_hash
from tanqiao.signing.verify import Opened, Verifier, allow
from tanqiao.testing.databases import DatabaseMaker, DatabaseUnderTest
from tanqiao.testing.network import BRIDGE, SHANGHAI, SHENZHEN, YUNNAN, NetworkOfTest
from tanqiao.tlog.leaf import decode_leaf
from tanqiao_bridge.application.fsck import check_database
from tests.contract.bridge.harness import (
    WAIT_SECONDS,
    PlayedRegion,
    Running,
    claim_of,
    declare,
    issue_message,
    locations,
    run_bridge,
)
from tests.contract.bridge.lists import RunningList, ccer_project, certificates, run_list

FREE = "99310000000000701"
APPLIED = "99310000000000702"
SOLD = "99310000000000703"
UNSOLD = "99310000000000704"
WITHDRAWN = "99310000000000705"
OWNED = "99310000000000706"
OWNER = "91440300708461136T"

GEC = (
    certificates("GEC-SOLD", SOLD, state="TRANSFERRED"),
    certificates("GEC-UNSOLD", UNSOLD),
    certificates("GEC-OWNED", OWNED, owner_uscc=OWNER, state="TRANSFERRED"),
)
CCER = (
    ccer_project("CCER-77", APPLIED),
    ccer_project("CCER-78", WITHDRAWN, stage="withdrawn"),
)

DECLARED = claims_pb2.CLAIM_STATUS_DECLARED
NOTICE = claims_pb2.CLAIM_STATUS_NOTICE
REGISTERED = claims_pb2.CLAIM_STATUS_REGISTERED
ISSUED = claims_pb2.CLAIM_STATUS_ISSUED
WITHDRAWN_STATUS = claims_pb2.CLAIM_STATUS_WITHDRAWN
REJECTED = claims_pb2.CLAIM_STATUS_REJECTED
CANCELLED = claims_pb2.CLAIM_STATUS_CANCELLED
PROJECT = claims_pb2.CLAIM_OBJECT_PROJECT
ALLOW = claims_pb2.VERDICT_KIND_ALLOW
BLOCK = claims_pb2.VERDICT_KIND_BLOCK
HOLD = claims_pb2.VERDICT_KIND_HOLD
FREEZE_OTHER = claims_pb2.VERDICT_KIND_FREEZE_OTHER


@dataclass
class Office:
    """A bridge with its gateways, and short ways to ask it."""

    running: Running
    lists: dict[str, RunningList]
    network: NetworkOfTest
    _channels: dict[str, grpc.Channel] = field(default_factory=dict)

    def stub(self, party: str) -> claims_pb2_grpc.ClaimServiceStub:
        if party not in self._channels:
            self._channels[party] = self.running.channel(party)
        return claims_pb2_grpc.ClaimServiceStub(self._channels[party])

    def check(self, claim: claims_pb2.Claim, party: str = "") -> claims_pb2.Verdict:
        """Check a claim; the verdict as signed, its signature verified."""
        party = party or claim.region
        response = self.stub(party).CheckClaim(
            claims_pb2.CheckClaimRequest(claim=claim), timeout=WAIT_SECONDS
        )
        opened = self.verified(response.envelope, party)
        assert opened.message == response.verdict
        return response.verdict

    def declared(self, claim: claims_pb2.Claim) -> claims_pb2.ClaimReceipt:
        """Declare a claim; the receipt as signed, its signature verified."""
        response = declare(self.running, claim.region, claim)
        opened = self.verified(response.envelope, claim.region)
        assert opened.message == response.receipt
        self.require_leaf(response.envelope, response.receipt.log_index)
        return response.receipt

    def move(
        self, claim_id: str, status: int, region: str = SHANGHAI, **changes: Any
    ) -> claims_pb2.ClaimReceipt:
        """Move a claim on, or out; the receipt, verified and found in the log."""
        statement = claims_pb2.ClaimStatement(claim_id=claim_id, status=status, reason="test", **changes)  # type: ignore[arg-type]
        envelope = self.network.envelope(statement, region)
        stub = self.stub(region)
        response: Any
        if status in (WITHDRAWN_STATUS, REJECTED, CANCELLED):
            response = call(
                lambda: stub.ReleaseClaim(claims_pb2.ReleaseClaimRequest(envelope=envelope), timeout=10)
            )
        else:
            response = call(
                lambda: stub.RegisterClaim(claims_pb2.RegisterClaimRequest(envelope=envelope), timeout=10)
            )
        self.verified(response.envelope, region)
        self.require_leaf(response.envelope, response.receipt.log_index)
        receipt: claims_pb2.ClaimReceipt = response.receipt
        return receipt

    def verified(self, envelope: envelope_pb2.Envelope, reader: str) -> Opened:
        """Open an envelope of the bridge as its reader does."""
        verifier = Verifier(self.network.network_id, reader)
        allowed = allow(claims_pb2.Verdict, claims_pb2.ClaimReceipt, senders=(BRIDGE,))
        return verifier.open_envelope(
            envelope, self.network.directory, allowed=allowed, peer=None, at_index=1_000_000
        )

    def require_leaf(self, envelope: envelope_pb2.Envelope, log_index: int) -> None:
        """Demand that the log names this very message at its index."""
        stub = directory_pb2_grpc.DecisionServiceStub(self._channels[SHENZHEN])
        entries = stub.ListLogEntries(
            directory_pb2.ListLogEntriesRequest(from_index=log_index, page_size=1), timeout=WAIT_SECONDS
        ).entries
        leaf = decode_leaf(entries[0].leaf)
        assert leaf.kind == "claim"
        assert message_hash(envelope.payload_type, envelope.payload) in leaf.message_hashes
        assert self.network.signer(BRIDGE).key_id in leaf.signer_key_ids

    def status_of(self, claim_id: str) -> int:
        response = self.stub(YUNNAN).GetClaim(claims_pb2.GetClaimRequest(claim_id=claim_id), timeout=10)
        return int(response.claim.status)

    def require_clean(self) -> None:
        report = check_database(self.running.bridge.database)
        assert report.clean, report.as_text()


def call(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except grpc.RpcError as error:
        raise from_rpc_error(error) from None


def refusal(work: Callable[..., Any], *arguments: object) -> DomainError:
    with pytest.raises(DomainError) as caught:
        call(lambda: work(*arguments))
    assert caught.value.sentence("zh")
    assert caught.value.sentence("en")
    return caught.value


@pytest.fixture
def lists(
    network: NetworkOfTest, database_kind: str, database_maker: DatabaseMaker
) -> Iterator[dict[str, RunningList]]:
    """Both gateways, each with its small list."""
    started = {name: run_list(network, name, database_maker, database_kind) for name in ("ccer", "gec")}
    started["ccer"][0].load(CCER)
    started["gec"][0].load(GEC)
    yield {name: running for name, (running, _) in started.items()}
    for running, made in started.values():
        running.gateway.stop()
        database_maker.drop(made)


@pytest.fixture
def office(
    network: NetworkOfTest, bridge_database: DatabaseUnderTest, lists: dict[str, RunningList]
) -> Iterator[Office]:
    """A bridge that asks both gateways."""
    running = run_bridge(
        network,
        bridge_database.url,
        bridge_database.owner_url,
        gateways={name: one.address for name, one in lists.items()},
    )
    office = Office(running, lists, network)
    office.stub(SHENZHEN)
    yield office
    for channel in office._channels.values():
        channel.close()
    running.bridge.stop()


def in_shenzhen(claim_id: str, **changes: Any) -> claims_pb2.Claim:
    return claim_of(claim_id, region=SHENZHEN, **changes)


# -- what the lists say -------------------------------------------------------------------------------------


def test_a_plant_that_nobody_lists_is_allowed_and_the_verdict_says_who_was_asked(office: Office) -> None:
    verdict = office.check(in_shenzhen("440300:project:1", kind=PROJECT))
    assert verdict.verdict == ALLOW
    assert not verdict.HasField("refusal")
    assert [(one.registry, one.answered, one.as_of_date.day) for one in verdict.registries] == [
        ("ccer", True, 28),
        ("gec", True, 28),
    ]
    assert verdict.matrix_version
    assert verdict.as_of_index > 0


def test_a_shenzhen_project_applied_for_under_ccer_is_blocked_with_programme_reference_date_and_article(
    office: Office,
) -> None:
    claim = in_shenzhen("440300:project:1", kind=PROJECT, filing_code=APPLIED)
    for verdict in (office.check(claim), office.declared(claim).verdict):
        assert verdict.verdict == BLOCK
        assert verdict.level == "project"
        told = verdict.refusal
        assert told.reason == "DUPLICATE_PROGRAMME_APPLIED"
        assert told.metadata["programme"] == "CCER"
        assert told.metadata["reference"] == "CCER-77"
        assert told.metadata["date"] == "2026-02-28"
        for sentence in (told.sentence_zh, told.sentence_en):
            assert "CCER-77" in sentence
            assert "2026-02-28" in sentence
        assert told.article
        assert "22" in verdict.article
        (named,) = verdict.colliding_claims
        assert (named.claim_id, named.programme, named.status) == (
            "ccer:CCER-77",
            claims_pb2.PROGRAMME_CCER,
            NOTICE,
        )
    assert office.status_of("440300:project:1") == REJECTED
    office.require_clean()


def test_an_application_elsewhere_that_was_withdrawn_holds_in_shenzhen_and_passes_in_shanghai(
    office: Office,
) -> None:
    held = office.check(in_shenzhen("440300:project:1", kind=PROJECT, filing_code=WITHDRAWN))
    assert held.verdict == HOLD
    assert held.refusal.reason == "CLAIM_HOLD"
    assert "CCER-78" in held.refusal.sentence_zh
    assert office.check(claim_of("310000:project:1", kind=PROJECT, filing_code=WITHDRAWN)).verdict == ALLOW


@pytest.mark.parametrize("region", [SHANGHAI, SHENZHEN])
@pytest.mark.parametrize("kind", [PROJECT, claims_pb2.CLAIM_OBJECT_INSTALMENT])
def test_sold_certificates_block(office: Office, region: str, kind: int) -> None:
    verdict = office.check(claim_of("1:sold", region=region, kind=kind, filing_code=SOLD))
    assert verdict.verdict == BLOCK
    assert verdict.refusal.reason == "GREEN_POWER_PARTICIPATION"
    assert "GEC-SOLD" in verdict.refusal.sentence_zh
    assert "GEC-SOLD" in verdict.refusal.sentence_en
    assert verdict.refusal.article


def test_unsold_tradable_certificates_ask_for_the_owners_consent(office: Office) -> None:
    claim = in_shenzhen("440300:project:1", kind=PROJECT, filing_code=UNSOLD)
    held = office.check(claim)
    assert held.verdict == HOLD
    assert held.refusal.reason == "CLAIM_HOLD"
    claim.gec_freeze_consent = True
    frozen = office.check(claim)
    assert frozen.verdict == FREEZE_OTHER
    assert not frozen.HasField("refusal")
    assert [one.claim_id for one in frozen.colliding_claims] == ["gec:GEC-UNSOLD"]


def test_a_month_before_the_certificates_is_free(office: Office) -> None:
    claim = in_shenzhen("440300:instalment:1", filing_code=UNSOLD, start="2025-12-01", end="2026-01-01")
    assert office.check(claim).verdict == ALLOW


def test_shanghai_looks_at_the_same_subject_with_another_plant(office: Office) -> None:
    claim = claim_of("310000:project:1", kind=PROJECT)
    claim.subject_uscc = OWNER
    verdict = office.check(claim)
    assert verdict.verdict == HOLD
    assert verdict.level == "subject"
    assert office.check(in_shenzhen("440300:project:1", kind=PROJECT)).verdict == ALLOW


def test_a_registry_whose_gateway_is_stopped_holds_every_claim(office: Office) -> None:
    office.lists["ccer"].gateway.server.stop(0)
    claim = in_shenzhen("440300:project:1", kind=PROJECT)
    for verdict in (office.check(claim), office.declared(claim).verdict):
        assert verdict.verdict == HOLD
        assert verdict.level == "policy"
        assert verdict.refusal.reason == "EXTERNAL_REGISTRY_SILENT"
        assert "ccer" in verdict.refusal.sentence_zh
        assert {one.registry: one.answered for one in verdict.registries} == {"ccer": False, "gec": True}
    assert office.status_of("440300:project:1") == REJECTED


def test_what_is_blocked_anyway_is_not_held_for_a_silent_registry(office: Office) -> None:
    office.lists["ccer"].gateway.server.stop(0)
    verdict = office.check(in_shenzhen("440300:project:1", kind=PROJECT, filing_code=SOLD))
    assert verdict.verdict == BLOCK


def test_a_gateway_without_a_list_has_said_nothing(
    network: NetworkOfTest,
    bridge_database: DatabaseUnderTest,
    database_kind: str,
    database_maker: DatabaseMaker,
) -> None:
    empty, made = run_list(network, "ccer", database_maker, database_kind)
    running = run_bridge(
        network, bridge_database.url, bridge_database.owner_url, gateways={"ccer": empty.address}
    )
    try:
        office = Office(running, {"ccer": empty}, network)
        verdict = office.check(in_shenzhen("440300:project:1", kind=PROJECT))
        assert verdict.verdict == HOLD
        assert verdict.refusal.reason == "EXTERNAL_REGISTRY_SILENT"
        empty.load(CCER)
        assert office.check(in_shenzhen("440300:project:1", kind=PROJECT)).verdict == ALLOW
    finally:
        running.bridge.stop()
        empty.gateway.stop()
        database_maker.drop(made)


# -- against each other -------------------------------------------------------------------------------------


def test_a_month_that_shanghai_claimed_is_refused_to_shenzhen_with_the_claim_and_the_overlap(
    office: Office,
) -> None:
    assert office.declared(claim_of("310000:instalment:1")).status == DECLARED
    receipt = office.declared(in_shenzhen("440300:instalment:1", start="2026-01-15", end="2026-02-15"))
    assert receipt.status == REJECTED
    told = receipt.verdict.refusal
    assert told.reason == "CLAIM_OVERLAP"
    assert receipt.verdict.level == "interval"
    assert told.metadata["claims"] == "310000:instalment:1"
    assert told.metadata["overlap"] == "2026-01-15/2026-02-01"
    for sentence in (told.sentence_zh, told.sentence_en):
        assert "310000:instalment:1" in sentence
        assert "2026-01-15/2026-02-01" in sentence
    (named,) = receipt.verdict.colliding_claims
    assert named.region == SHANGHAI
    assert named.overlap == values_pb2.Period(
        start_date=values_pb2.Date(year=2026, month=1, day=15),
        end_date=values_pb2.Date(year=2026, month=2, day=1),
    )
    office.require_clean()


def test_months_that_only_touch_pass(office: Office) -> None:
    assert office.declared(claim_of("310000:instalment:1")).status == DECLARED
    for claim in (
        in_shenzhen("440300:instalment:1", start="2026-02-01", end="2026-03-01"),
        in_shenzhen("440300:instalment:2", start="2025-12-01", end="2026-01-01"),
    ):
        receipt = office.declared(claim)
        assert (receipt.status, receipt.verdict.verdict) == (DECLARED, ALLOW)


def test_a_claim_that_was_refused_bars_nobody(office: Office) -> None:
    assert office.declared(in_shenzhen("440300:project:1", kind=PROJECT, filing_code=SOLD)).status == REJECTED
    office.lists["gec"].load(
        [certificates("GEC-OTHER", UNSOLD)], as_of=datetime(2026, 3, 1, tzinfo=UTC).date()
    )
    assert office.declared(claim_of("310000:project:1", kind=PROJECT, filing_code=SOLD)).status == DECLARED


def test_a_claim_in_parts_of_one_plant_is_seen_under_every_reference(office: Office) -> None:
    first = claim_of("310000:instalment:1")
    first.asset.references.add(scheme="vcs", value="VCS 0042")
    assert office.declared(first).status == DECLARED
    second = in_shenzhen("440300:instalment:1", filing_code="99440300000000009")
    second.asset.references.add(scheme="verra", value="42")
    assert office.declared(second).verdict.refusal.reason == "CLAIM_OVERLAP"


# -- the same again -----------------------------------------------------------------------------------------


def test_the_same_statement_again_gets_the_same_receipt_bytes(office: Office) -> None:
    statement = claims_pb2.DeclareStatement(claim=claim_of("310000:instalment:1"))
    request = claims_pb2.DeclareClaimRequest(envelope=office.network.envelope(statement, SHANGHAI))
    answers = [office.stub(SHANGHAI).DeclareClaim(request, timeout=10) for _ in range(3)]
    assert len({answer.SerializeToString(deterministic=True) for answer in answers}) == 1
    moved = office.network.envelope(
        claims_pb2.ClaimStatement(claim_id="310000:instalment:1", status=NOTICE), SHANGHAI
    )
    registrations = [
        office.stub(SHANGHAI).RegisterClaim(claims_pb2.RegisterClaimRequest(envelope=moved), timeout=10)
        for _ in range(3)
    ]
    assert len({answer.envelope.SerializeToString() for answer in registrations}) == 1
    stored = office.stub(YUNNAN).GetClaim(
        claims_pb2.GetClaimRequest(claim_id="310000:instalment:1"), timeout=10
    )
    assert list(stored.receipts) == [answers[0].envelope, registrations[0].envelope]


def test_another_content_under_a_known_claim_id_is_refused(office: Office) -> None:
    claim = claim_of("310000:instalment:1")
    office.declared(claim)
    for change in (
        {"quantity_kg": 99_000},
        {"project_id": "P-0002"},
        {"filing_code": APPLIED},
    ):
        error = refusal(declare, office.running, SHANGHAI, claim_of("310000:instalment:1", **change))
        assert error.symbol == "REQUEST_ID_REUSED"
    taken = in_shenzhen("310000:instalment:1", filing_code="99440300000000009")
    assert refusal(declare, office.running, SHENZHEN, taken).symbol == "REQUEST_ID_REUSED"


def test_a_refused_claim_id_stays_refused_when_the_list_has_changed(office: Office) -> None:
    claim = in_shenzhen("440300:project:1", kind=PROJECT, filing_code=SOLD)
    statement = office.network.envelope(claims_pb2.DeclareStatement(claim=claim), SHENZHEN)
    request = claims_pb2.DeclareClaimRequest(envelope=statement)
    first = office.stub(SHENZHEN).DeclareClaim(request, timeout=10)
    assert first.receipt.status == REJECTED
    office.lists["gec"].load([certificates("GEC-X", UNSOLD)], as_of=datetime(2026, 3, 1, tzinfo=UTC).date())
    assert office.stub(SHENZHEN).DeclareClaim(request, timeout=10) == first


# -- a claim's life -----------------------------------------------------------------------------------------


def test_a_project_is_declared_noticed_registered_and_cancelled(office: Office) -> None:
    claim_id = "310000:project:1"
    assert office.declared(claim_of(claim_id, kind=PROJECT)).status == DECLARED
    for status in (NOTICE, REGISTERED, CANCELLED):
        receipt = office.move(claim_id, status)
        assert receipt.status == status
        assert office.status_of(claim_id) == status
        assert receipt.HasField("verdict") is (status != CANCELLED)
    office.require_clean()


@pytest.mark.parametrize(
    ("path", "step"),
    [
        ([], DECLARED),
        ([], ISSUED),
        ([], CANCELLED),
        ([NOTICE], NOTICE),
        ([NOTICE], DECLARED),
        ([REGISTERED], NOTICE),
        ([REGISTERED], REGISTERED),
        ([REGISTERED], REJECTED),
        ([WITHDRAWN_STATUS], NOTICE),
        ([WITHDRAWN_STATUS], REGISTERED),
        ([WITHDRAWN_STATUS], WITHDRAWN_STATUS),
        ([REJECTED], REGISTERED),
        ([REGISTERED, CANCELLED], REGISTERED),
        ([REGISTERED, CANCELLED], WITHDRAWN_STATUS),
    ],
)
def test_a_step_that_a_claim_cannot_take_is_refused_with_where_it_stands(
    office: Office, path: list[int], step: int
) -> None:
    office.declared(claim_of("310000:project:1", kind=PROJECT))
    for status in path:
        office.move("310000:project:1", status)
    stands = office.status_of("310000:project:1")
    error = refusal(office.move, "310000:project:1", step)
    assert error.symbol == "CLAIM_STATE_WRONG"
    assert error.metadata["state"] == claims_pb2.ClaimStatus.Name(stands)  # type: ignore[arg-type]
    assert "needed" not in error.sentence("en")
    assert office.status_of("310000:project:1") == stands


def test_another_region_cannot_move_or_release_a_claim(office: Office) -> None:
    office.declared(claim_of("310000:instalment:1"))
    for status in (NOTICE, REGISTERED, WITHDRAWN_STATUS, REJECTED):
        error = refusal(office.move, "310000:instalment:1", status, SHENZHEN)
        assert error.symbol == "REGION_SCOPE_MISMATCH"
    assert office.status_of("310000:instalment:1") == DECLARED
    foreign = claim_of("310000:instalment:2")
    error = refusal(declare, office.running, SHENZHEN, foreign)
    assert error.symbol == "REGION_SCOPE_MISMATCH"


def test_a_claim_that_nobody_declared_cannot_be_moved(office: Office) -> None:
    for status in (NOTICE, WITHDRAWN_STATUS):
        error = refusal(office.move, "310000:instalment:404", status)
        assert error.symbol == "CLAIM_UNKNOWN"


def test_released_intervals_are_free_again(office: Office) -> None:
    office.declared(claim_of("310000:instalment:1"))
    blocked = office.declared(in_shenzhen("440300:instalment:1"))
    assert blocked.status == REJECTED
    office.move("310000:instalment:1", WITHDRAWN_STATUS)
    assert office.declared(in_shenzhen("440300:instalment:2")).status == DECLARED


def test_registering_is_judged_again_on_what_the_lists_say_now(office: Office) -> None:
    claim_id = "440300:project:1"
    assert office.declared(in_shenzhen(claim_id, kind=PROJECT)).status == DECLARED
    office.move(claim_id, NOTICE, SHENZHEN)
    office.lists["ccer"].load([ccer_project("CCER-99", FREE)], as_of=datetime(2026, 3, 1, tzinfo=UTC).date())
    error = refusal(office.move, claim_id, REGISTERED, SHENZHEN)
    assert error.symbol == "DUPLICATE_PROGRAMME_APPLIED"
    assert error.metadata["reference"] == "CCER-99"
    assert error.metadata["date"] == "2026-03-01"
    assert error.article
    assert office.status_of(claim_id) == NOTICE
    office.move(claim_id, WITHDRAWN_STATUS, SHENZHEN)
    office.require_clean()


def test_registering_waits_for_a_silent_registry_and_releasing_does_not(office: Office) -> None:
    office.declared(claim_of("310000:project:1", kind=PROJECT))
    office.lists["gec"].gateway.server.stop(0)
    error = refusal(office.move, "310000:project:1", NOTICE)
    assert error.symbol == "EXTERNAL_REGISTRY_SILENT"
    assert office.move("310000:project:1", WITHDRAWN_STATUS).status == WITHDRAWN_STATUS


# -- batches ------------------------------------------------------------------------------------------------


def test_a_batch_is_judged_in_order_and_each_item_is_answered_for_itself(office: Office) -> None:
    claims = [
        claim_of("310000:instalment:1"),
        claim_of("310000:instalment:2"),  # the same month again
        claim_of("310000:instalment:3", filing_code=SOLD),
        in_shenzhen("440300:instalment:1"),  # not Shanghai's to declare
        claim_of("310000:instalment:5", start="2026-02-01", end="2026-02-01"),
        claim_of("310000:instalment:6", start="2026-02-01", end="2026-03-01"),
        claim_of("310000:instalment:1", quantity_kg=1),  # an id used twice
    ]
    batch = office.network.batch([claims_pb2.DeclareStatement(claim=claim) for claim in claims], SHANGHAI)
    request = claims_pb2.BatchDeclareClaimsRequest(batch=batch)
    response = office.stub(SHANGHAI).BatchDeclareClaims(request, timeout=10)
    assert [status.refusal.reason for status in response.statuses] == [
        "",
        "",
        "",
        "REGION_SCOPE_MISMATCH",
        "RANGE_REVERSED",
        "",
        "REQUEST_ID_REUSED",
    ]
    for status in response.statuses:
        assert bool(status.code) is bool(status.refusal.reason)
        assert bool(status.refusal.sentence_zh) is bool(status.code)
    opened = Verifier(office.network.network_id, SHANGHAI).open_batch(
        response.receipts,
        office.network.directory,
        allowed=allow(claims_pb2.ClaimReceipt, senders=(BRIDGE,)),
        peer=None,
        at_index=1_000_000,
    )
    receipts = [one.message for one in opened if isinstance(one, Opened)]
    assert [(receipt.claim_id, receipt.status) for receipt in receipts] == [
        ("310000:instalment:1", DECLARED),
        ("310000:instalment:2", REJECTED),
        ("310000:instalment:3", REJECTED),
        ("310000:instalment:6", DECLARED),
    ]
    assert receipts[1].verdict.refusal.reason == "CLAIM_OVERLAP"
    assert receipts[2].verdict.refusal.reason == "GREEN_POWER_PARTICIPATION"
    again = office.stub(SHANGHAI).BatchDeclareClaims(request, timeout=10)
    assert list(again.receipts.payloads) == list(response.receipts.payloads)
    office.require_clean()


def test_one_statement_twice_in_a_batch_is_one_claim_with_one_receipt(office: Office) -> None:
    statement = claims_pb2.DeclareStatement(claim=claim_of("310000:instalment:1"))
    batch = office.network.batch([statement], SHANGHAI)
    signer = office.network.signer(SHANGHAI)
    twice = sign_batch(signer, batch.payload_type, [batch.payloads[0], batch.payloads[0]])
    response = office.stub(SHANGHAI).BatchDeclareClaims(
        claims_pb2.BatchDeclareClaimsRequest(batch=twice), timeout=10
    )
    assert [status.code for status in response.statuses] == [0, 0]
    assert response.receipts.payloads[0] == response.receipts.payloads[1]


def test_a_batch_of_checks_gives_a_signed_verdict_for_each(office: Office) -> None:
    claims = [
        in_shenzhen("1:a", kind=PROJECT),
        in_shenzhen("1:b", kind=PROJECT, filing_code=APPLIED),
        in_shenzhen("1:c", kind=PROJECT, filing_code=UNSOLD),
    ]
    response = office.stub(SHENZHEN).BatchCheckClaims(
        claims_pb2.BatchCheckClaimsRequest(claims=claims), timeout=10
    )
    assert [verdict.verdict for verdict in response.verdicts] == [ALLOW, BLOCK, HOLD]
    opened = Verifier(office.network.network_id, SHENZHEN).open_batch(
        response.batch,
        office.network.directory,
        allowed=allow(claims_pb2.Verdict, senders=(BRIDGE,)),
        peer=None,
        at_index=1_000_000,
    )
    assert [one.message for one in opened if isinstance(one, Opened)] == list(response.verdicts)


def test_checking_stores_nothing(office: Office) -> None:
    for number in range(3):
        office.check(claim_of(f"310000:instalment:{number}"))
    listed = office.stub(YUNNAN).ListClaims(claims_pb2.ListClaimsRequest(), timeout=10)
    assert not listed.claims


def test_claims_are_listed_by_region_programme_and_reference(office: Office) -> None:
    office.declared(claim_of("310000:instalment:1"))
    office.declared(in_shenzhen("440300:instalment:1", filing_code="99440300000000009"))
    stub = office.stub(YUNNAN)

    def ids(**query: Any) -> list[str]:
        response = stub.ListClaims(claims_pb2.ListClaimsRequest(**query), timeout=10)
        return [claim.claim_id for claim in response.claims]

    both = ["310000:instalment:1", "440300:instalment:1"]
    assert ids() == both
    assert ids(region=SHANGHAI) == both[:1]
    assert ids(programme=claims_pb2.PROGRAMME_SZ_PHCER) == both[1:]
    reference = claims_pb2.AssetReference(scheme="gec", value=" 9944-0300-0000-0000-9 ")
    assert ids(reference=reference) == both[1:]
    page = stub.ListClaims(claims_pb2.ListClaimsRequest(page_size=1), timeout=10)
    following = claims_pb2.ListClaimsRequest(page_size=1, page_token=page.next_page_token)
    assert [claim.claim_id for claim in stub.ListClaims(following, timeout=10).claims] == both[1:]


# -- an Issue rests on its claim ----------------------------------------------------------------------------


@dataclass
class Issuing:
    """A declared instalment of Shanghai, and a region on the line to issue on it."""

    office: Office
    region: PlayedRegion
    declared: claims_pb2.DeclareClaimResponse

    def message(self, **changes: Any) -> messages_pb2.Issue:
        issue = issue_message(self.region, self.declared, "310000:instalment:1", 0, 100_000)
        for name, value in changes.items():
            if isinstance(value, values_pb2.Period | values_pb2.UnitBlock | values_pb2.Series):
                getattr(issue, name).CopyFrom(value)
            else:
                setattr(issue, name, value)
        return issue

    def answer(self, issue: messages_pb2.Issue) -> messages_pb2.IssueReceipt:
        self.region.offer([issue])
        self.region.wait(lambda: issue.issue_id in self.region.receipts)
        return self.region.receipts[issue.issue_id]

    def refused(self, issue: messages_pb2.Issue) -> values_pb2.Refusal:
        before = locations(self.office.running)
        receipt = self.answer(issue)
        assert not receipt.accepted
        (told,) = receipt.reasons
        assert told.sentence_zh
        assert told.sentence_en
        assert locations(self.office.running) == before
        self.office.require_clean()
        return told


@pytest.fixture
def issuing(office: Office) -> Iterator[Issuing]:
    declared = declare(office.running, SHANGHAI, claim_of("310000:instalment:1"))
    region = PlayedRegion(office.running, SHANGHAI).connect()
    yield Issuing(office, region, declared)
    region.disconnect()


def period_of(start: tuple[int, int, int], end: tuple[int, int, int]) -> values_pb2.Period:
    return values_pb2.Period(
        start_date=values_pb2.Date(year=start[0], month=start[1], day=start[2]),
        end_date=values_pb2.Date(year=end[0], month=end[1], day=end[2]),
    )


@pytest.mark.parametrize(
    ("changes", "symbol", "at"),
    [
        ({"claim_receipt_hash": bytes(32)}, "FIELD_INVALID", "claim_receipt_hash"),
        ({"claim_id": "310000:instalment:404"}, "CLAIM_UNKNOWN", None),
        ({"period": period_of((2026, 1, 1), (2026, 3, 1))}, "PERIOD_OUTSIDE_CLAIM", "period"),
        ({"period": period_of((2026, 1, 2), (2026, 2, 1))}, "PERIOD_OUTSIDE_CLAIM", "period"),
        (
            {
                "quantity_kg": 101_000,
                "block": values_pb2.UnitBlock(
                    series_id="310000:SH_SHCER:P-0001:2026:1", start_serial=0, end_serial=101_000
                ),
            },
            "INSTALMENT_EXCEEDS_CLAIM",
            "quantity_kg",
        ),
    ],
)
def test_an_issue_that_its_claim_does_not_bear_is_refused_and_its_units_never_exist(
    issuing: Issuing, changes: dict[str, Any], symbol: str, at: str | None
) -> None:
    issue = issuing.message(**changes)
    told = issuing.refused(issue)
    assert told.reason == symbol
    if at is not None:
        assert told.metadata["field"] == at
    assert issuing.office.status_of("310000:instalment:1") == DECLARED
    assert issuing.answer(issuing.message()).accepted
    later = issuing.message(issue_id=issue.issue_id)
    later.header.CopyFrom(issue.header)
    assert locations(issuing.office.running) == [(0, 100_000, SHANGHAI, 1)]


def test_an_issue_of_another_project_cannot_rest_on_the_claim(issuing: Issuing) -> None:
    issue = issuing.message()
    issue.series.source_id = "P-0002"
    issue.series.series_id = issue.block.series_id = "310000:SH_SHCER:P-0002:2026:1"
    told = issuing.refused(issue)
    assert (told.reason, told.metadata["field"]) == ("FIELD_INVALID", "series.source_id")


def test_an_issue_of_another_programme_cannot_rest_on_the_claim(issuing: Issuing) -> None:
    issue = issuing.message()
    issue.series.programme = "SZ_PHCER"
    issue.series.series_id = issue.block.series_id = "310000:SZ_PHCER:P-0001:2026:1"
    told = issuing.refused(issue)
    assert (told.reason, told.metadata["field"]) == ("FIELD_INVALID", "series.programme")


def test_a_claim_bears_one_issue(issuing: Issuing) -> None:
    assert issuing.answer(issuing.message()).accepted
    assert issuing.office.status_of("310000:instalment:1") == ISSUED
    block = values_pb2.UnitBlock(
        series_id="310000:SH_SHCER:P-0001:2026:1", start_serial=100_000, end_serial=200_000
    )
    told = issuing.refused(issuing.message(block=block))
    assert told.reason == "CLAIM_STATE_WRONG"
    assert told.metadata["state"] == "CLAIM_STATUS_ISSUED"


def test_two_issues_on_one_claim_in_one_batch_create_units_once(issuing: Issuing) -> None:
    block = values_pb2.UnitBlock(
        series_id="310000:SH_SHCER:P-0001:2026:1", start_serial=100_000, end_serial=200_000
    )
    first, second = issuing.message(), issuing.message(block=block)
    issuing.region.offer([first, second])
    issuing.region.wait(lambda: {first.issue_id, second.issue_id} <= set(issuing.region.receipts))
    accepted = [issuing.region.receipts[one.issue_id].accepted for one in (first, second)]
    assert accepted == [True, False]
    assert locations(issuing.office.running) == [(0, 100_000, SHANGHAI, 1)]


def test_units_cannot_rest_on_a_claim_of_a_whole_project(issuing: Issuing) -> None:
    declared = declare(
        issuing.office.running,
        SHANGHAI,
        claim_of("310000:project:1", kind=PROJECT, start="2026-02-01", end="2026-03-01"),
    )
    issue = issue_message(
        issuing.region, declared, "310000:project:1", 0, 100_000, ("2026-02-01", "2026-03-01")
    )
    told = issuing.refused(issue)
    assert (told.reason, told.metadata["field"]) == ("FIELD_INVALID", "claim_id")


def test_units_cannot_rest_on_another_regions_claim(issuing: Issuing) -> None:
    foreign = in_shenzhen("440300:instalment:1", filing_code="99440300000000009")
    declared = declare(issuing.office.running, SHENZHEN, foreign)
    issue = issue_message(issuing.region, declared, "440300:instalment:1", 0, 100_000)
    told = issuing.refused(issue)
    assert told.reason == "REGION_SCOPE_MISMATCH"
    assert issuing.office.status_of("440300:instalment:1") == DECLARED


def test_units_cannot_rest_on_a_claim_that_was_refused_or_released(issuing: Issuing) -> None:
    refused = declare(issuing.office.running, SHANGHAI, claim_of("310000:instalment:2", filing_code=SOLD))
    told = issuing.refused(issue_message(issuing.region, refused, "310000:instalment:2", 0, 100_000))
    assert told.reason == "CLAIM_STATE_WRONG"
    issuing.office.move("310000:instalment:1", WITHDRAWN_STATUS)
    assert issuing.refused(issuing.message()).reason == "CLAIM_STATE_WRONG"


def test_an_issued_claim_stays_for_ever_and_bars_the_month(issuing: Issuing) -> None:
    assert issuing.answer(issuing.message()).accepted
    for status in (WITHDRAWN_STATUS, REJECTED, CANCELLED, NOTICE, REGISTERED):
        error = refusal(issuing.office.move, "310000:instalment:1", status)
        assert error.symbol == "CLAIM_STATE_WRONG"
    later = issuing.office.declared(in_shenzhen("440300:instalment:1"))
    assert later.verdict.refusal.reason == "CLAIM_OVERLAP"
    use = issuing.region.use(0, 100_000)
    issuing.region.offer([use])
    assert issuing.region.outcome(use.header.transfer_id).outcome == messages_pb2.OUTCOME_COMMIT
    retired = issuing.office.declared(in_shenzhen("440300:instalment:2"))
    assert retired.verdict.refusal.reason == "CLAIM_OVERLAP"
    issuing.office.require_clean()


# -- races --------------------------------------------------------------------------------------------------

ROUNDS = 20


@dataclass
class Client:
    """A client process, one request and one answer a line."""

    region: str
    process: subprocess.Popen[str]

    def send(self, request: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{request.hex()}\n")

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(WAIT_SECONDS)
        self.process.stdout.close()


@pytest.fixture
def start_clients(office: Office) -> Iterator[Callable[[Sequence[str]], list[Client]]]:
    """Start client processes of regions, all of them on the line."""
    started: list[Client] = []

    def start(regions: Sequence[str]) -> list[Client]:
        for region in regions:
            tls = office.network.network.tls(region)
            script = Path(__file__).with_name("claimant.py")
            files = (tls.ca, tls.certificate, tls.key)
            command = [sys.executable, str(script), office.running.address, *map(str, files)]
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
            )
            started.append(Client(region, process))
        assert [client.line() for client in started] == ["ready"] * len(started)
        return started

    yield start
    for client in started:
        client.close()


def race(office: Office, clients: Sequence[Client], number: int) -> list[claims_pb2.ClaimReceipt]:
    """Let every client claim the same month of the same plant at once; the receipts."""
    order = list(range(len(clients)))
    for position in order[number % len(order) :] + order[: number % len(order)]:
        region = clients[position].region
        claim = claim_of(
            f"{region.removeprefix('region/')}:race:{number}:{position}",
            region=region,
            filing_code=f"9931000000001{number:04d}",
        )
        envelope = office.network.envelope(claims_pb2.DeclareStatement(claim=claim), region)
        clients[position].send(claims_pb2.DeclareClaimRequest(envelope=envelope).SerializeToString())
    answers = [client.line() for client in clients]
    return [claims_pb2.DeclareClaimResponse.FromString(bytes.fromhex(one)).receipt for one in answers]


@pytest.mark.processes
def test_of_four_processes_that_claim_one_month_of_one_plant_exactly_one_wins(
    office: Office, start_clients: Callable[[Sequence[str]], list[Client]]
) -> None:
    clients = start_clients([SHANGHAI] * 4)
    for number in range(ROUNDS):
        receipts = race(office, clients, number)
        (won,) = (receipt for receipt in receipts if receipt.status == DECLARED)
        assert won.log_index == min(receipt.log_index for receipt in receipts)
        for receipt in receipts:
            if receipt is not won:
                assert receipt.verdict.refusal.reason == "CLAIM_OVERLAP"
                assert receipt.verdict.refusal.metadata["claims"] == won.claim_id
    office.require_clean()


@pytest.mark.processes
def test_of_two_regions_that_race_the_provincial_one_may_overtake_and_only_one_registers(
    office: Office, start_clients: Callable[[Sequence[str]], list[Client]]
) -> None:
    clients = start_clients([SHENZHEN, SHANGHAI, SHENZHEN, SHANGHAI])
    for number in range(ROUNDS):
        receipts = race(office, clients, number)
        live = [
            (receipt, client.region)
            for receipt, client in zip(receipts, clients, strict=True)
            if receipt.status == DECLARED
        ]
        assert [region for _, region in live].count(SHANGHAI) == 1
        assert [region for _, region in live].count(SHENZHEN) <= 1
        for receipt, region in sorted(live, key=lambda one: one[1] == SHANGHAI):
            if region == SHANGHAI:
                assert office.move(receipt.claim_id, NOTICE).status == NOTICE
                continue
            error = refusal(office.move, receipt.claim_id, NOTICE, SHENZHEN)
            assert error.symbol == "CLAIM_OVERTAKEN"
            assert ":race:" in error.metadata["winner"]
    office.require_clean()


def test_of_two_declared_claims_of_one_region_the_earlier_leaf_goes_first_whatever_their_ids(
    office: Office,
) -> None:
    assert office.declared(claim_of("310000:instalment:9")).status == DECLARED
    assert office.declared(claim_of("310000:instalment:1")).status == REJECTED
    batch = office.network.batch(
        [
            claims_pb2.DeclareStatement(
                claim=claim_of(name, filing_code=UNSOLD, start="2025-11-01", end="2025-12-01")
            )
            for name in ("310000:instalment:8", "310000:instalment:2")
        ],
        SHANGHAI,
    )
    request = claims_pb2.BatchDeclareClaimsRequest(batch=batch)
    receipts = office.stub(SHANGHAI).BatchDeclareClaims(request, timeout=10).receipts.payloads
    assert [claims_pb2.ClaimReceipt.FromString(one).status for one in receipts] == [DECLARED, REJECTED]


def test_a_refused_claim_of_a_batch_bars_none_behind_it(office: Office) -> None:
    office.declared(claim_of("310000:instalment:1"))
    claims = [
        claim_of("310000:instalment:2", start="2026-01-15", end="2026-02-15"),
        claim_of("310000:instalment:3", start="2026-02-01", end="2026-03-01"),
    ]
    batch = office.network.batch([claims_pb2.DeclareStatement(claim=claim) for claim in claims], SHANGHAI)
    request = claims_pb2.BatchDeclareClaimsRequest(batch=batch)
    receipts = office.stub(SHANGHAI).BatchDeclareClaims(request, timeout=10).receipts.payloads
    assert [claims_pb2.ClaimReceipt.FromString(one).status for one in receipts] == [REJECTED, DECLARED]


def test_a_region_that_was_overtaken_cannot_issue(office: Office) -> None:
    declared = declare(office.running, SHENZHEN, in_shenzhen("440300:instalment:1"))
    assert office.declared(claim_of("310000:instalment:1")).status == DECLARED
    region = PlayedRegion(office.running, SHENZHEN).connect()
    try:
        issue = issue_message(region, declared, "440300:instalment:1", 0, 100_000)
        series = "440300:SZ_PHCER:P-0001:2026:1"
        issue.series.MergeFrom(
            values_pb2.Series(series_id=series, region_code="440300", programme="SZ_PHCER")
        )
        issue.block.series_id = series
        region.offer([issue])
        region.wait(lambda: issue.issue_id in region.receipts)
        receipt = region.receipts[issue.issue_id]
        assert [reason.reason for reason in receipt.reasons] == ["CLAIM_OVERTAKEN"]
        assert receipt.reasons[0].metadata["winner"] == "310000:instalment:1"
        assert locations(office.running) == []
    finally:
        region.disconnect()
