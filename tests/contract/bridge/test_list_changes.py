"""Another version of an outside list: claims that it concerns are judged again, on both databases (虚构)."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from tanqiao.api.gateway.v1 import registry_pb2, registry_pb2_grpc
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.channel import open_channel
from tanqiao.testing.network import SHANGHAI_CENTRE
from tanqiao_bridge.domain.claim_cases import CaseKind
from tanqiao_bridge.storage import cases
from tests.contract.bridge.case_office import decide
from tests.contract.bridge.claims_office import APPLIED, DECLARED, FREE, SOLD, Office, call, lists, office
from tests.contract.bridge.harness import WAIT_SECONDS, claim_of
from tests.contract.bridge.lists import ccer_project, certificates

__all__ = ["lists", "office"]

ELSEWHERE = "99310000000000799"


def _cases(office: Office, claim_id: str) -> list[tuple[str, ...]]:
    with office.running.bridge.database.reading() as connection:
        found = cases.cases_of_claims(connection, [claim_id])
        return [case.claim_ids for case in found if case.kind == CaseKind.LATE_FACT]


def test_a_list_that_changes_calls_live_claims_into_question_and_undoing_it_is_looked_at_too(
    office: Office,
) -> None:
    watch = office.running.bridge.lists
    assert watch.look("ccer") == 0, "the first list calls nothing into question that is not there"
    assert office.declared(claim_of("310000:free:1", filing_code=FREE)).status == DECLARED
    # A project on the same plant appears in CCER's notice: late, and nothing is withdrawn by itself.
    office.lists["ccer"].load(
        [ccer_project("CCER-77", APPLIED), ccer_project("CCER-99", FREE)], as_of=date(2026, 3, 1)
    )
    assert watch.look("ccer") == 1
    assert watch.look("ccer") == 0, "what was looked at is not looked at again"
    assert _cases(office, "310000:free:1") == [("310000:free:1", "ccer:CCER-99")]
    assert office.status_of("310000:free:1") == DECLARED

    # Taking the import back changes the list in force: the claim passes again, and the next one as well.
    with open_channel(office.lists["ccer"].address, office.network.network.tls(SHANGHAI_CENTRE)) as channel:
        stub = registry_pb2_grpc.RegistryServiceStub(channel)
        listed = stub.ListImports(registry_pb2.ListImportsRequest(), timeout=WAIT_SECONDS).imports
        undo = registry_pb2.UndoImportRequest(
            request_id="undo-of-test", import_id=listed[0].import_id, reason="误传（虚构）"
        )
        call(lambda: stub.UndoImport(undo, timeout=WAIT_SECONDS))
    assert watch.look("ccer") == 0
    again = claim_of("310000:free:2", filing_code=FREE, start="2026-02-01", end="2026-03-01")
    assert office.declared(again).status == DECLARED
    # Certificates of another plant concern nobody here.
    assert watch.look("gec") == 0
    office.lists["gec"].load([certificates("GEC-SOLD", SOLD, state="REDEEMED")], as_of=date(2026, 3, 1))
    assert watch.look("gec") == 0
    assert len(_cases(office, "310000:free:1")) == 1
    office.require_clean()


def test_the_first_list_that_a_bridge_sees_is_looked_at_for_the_claims_that_were_there_before(
    office: Office,
) -> None:
    # Declared on one list; the next is in force before the bridge has seen any: it ran for too short a while.
    for number in range(1, 4):
        start, end = f"2026-0{number}-01", f"2026-0{number + 1}-01"
        office.declared(claim_of(f"310000:free:{number}", filing_code=FREE, start=start, end=end))
    office.declared(claim_of("310000:other:1", filing_code=ELSEWHERE))
    office.lists["ccer"].load([ccer_project("CCER-99", FREE)], as_of=date(2026, 3, 1))
    assert office.running.bridge.lists.look("ccer") == 3
    assert [len(_cases(office, f"310000:free:{number}")) for number in range(1, 4)] == [1, 1, 1]
    assert not _cases(office, "310000:other:1")
    assert office.running.bridge.lists.look("ccer") == 0


def test_a_review_that_a_full_writer_stops_goes_on_where_it_stood(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 5):
        start, end = f"2026-0{number}-01", f"2026-0{number + 1}-01"
        office.declared(claim_of(f"310000:free:{number}", filing_code=FREE, start=start, end=end))
    office.lists["ccer"].load([ccer_project("CCER-99", FREE)], as_of=date(2026, 3, 1))
    watch = office.running.bridge.lists
    monkeypatch.setattr("tanqiao_bridge.remote.list_watch.CLAIMS_PER_REVIEW_MAX", 1)
    asked: list[str] = []
    honest = watch._writer.submit_waiting

    def full_once(command: Any, **names: Any) -> Any:
        asked.extend(command.claim_ids)
        if len(asked) == 3:
            raise DomainError("BUSY")
        return honest(command, **names)

    monkeypatch.setattr(watch._writer, "submit_waiting", full_once)
    with pytest.raises(DomainError, match="BUSY"):
        watch.look("ccer")
    assert watch.look("ccer") == 2
    assert asked == [f"310000:free:{number}" for number in (1, 2, 3, 3, 4)]
    assert watch.look("ccer") == 0


def test_a_record_that_appears_under_another_reference_of_the_asset_is_a_late_fact(office: Office) -> None:
    watch = office.running.bridge.lists
    assert watch.look("ccer") == 0
    office.declared(claim_of("310000:free:1", filing_code=FREE))
    decide(office.running, ("gec_filing_code", FREE), ("gec_filing_code", ELSEWHERE))
    office.lists["ccer"].load([ccer_project("CCER-99", ELSEWHERE)], as_of=date(2026, 3, 1))
    assert watch.look("ccer") == 1
    assert _cases(office, "310000:free:1") == [("310000:free:1", "ccer:CCER-99")]
