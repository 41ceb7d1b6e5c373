"""Bad requests to the registers, issuance, intake, reserve and clock of a region node: data for a suite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from tanqiao.api.region.v1 import registers_pb2
from tests.contract.region.bad_requests import (
    BIG,
    ISSUANCE,
    REGISTER,
    RESERVE,
    Case,
    put,
    same,
)
from tests.contract.region.served import (
    CLOCK,
)
from tests.contract.region.world import (
    METHODOLOGY,
    PROJECT,
    World,
    import_parts,
    period,
)
from tests.contract.region_registers.office import month


def registers() -> Iterator[Case]:
    publish = REGISTER + "PublishMethodology"
    yield Case(publish, "no methodology", "FIELD_MISSING", put(methodology=None))
    yield Case(publish, "no id", "FIELD_MISSING", put(methodology__methodology_id=""))
    yield Case(publish, "an id of other letters", "FIELD_INVALID", put(methodology__methodology_id="a:b"))
    yield Case(publish, "an id of no pattern", "FIELD_INVALID", put(methodology__methodology_id="X1"))
    yield Case(publish, "no kind", "FIELD_MISSING", put(methodology__kind=0))
    yield Case(publish, "no title", "FIELD_MISSING", put(methodology__title=""))
    yield Case(publish, "an over-long title", "TEXT_TOO_LONG", put(methodology__title="题" * 257))
    yield Case(publish, "published before", "ALREADY_EXISTS", put(methodology__methodology_id=METHODOLOGY))
    yield Case(
        publish, "the wrong role", "ROLE_NOT_PERMITTED", same, role="sh.project_applicant", article=True
    )
    yield Case(
        publish,
        "too many documents",
        "BATCH_TOO_LARGE",
        put(documents=[registers_pb2.ProjectDocument(kind="k") for _ in range(65)]),
    )
    submit = REGISTER + "SubmitProject"
    yield Case(submit, "no project", "FIELD_MISSING", put(project=None))
    yield Case(submit, "no id", "FIELD_MISSING", put(project__project_id=""))
    yield Case(submit, "an id of other letters", "FIELD_INVALID", put(project__project_id="a b"))
    yield Case(submit, "the id of another project", "ALREADY_EXISTS", put(project__project_id=PROJECT))
    yield Case(submit, "no title", "FIELD_MISSING", put(project__title=""))
    yield Case(submit, "an over-long title", "TEXT_TOO_LONG", put(project__title="题" * 257))
    yield Case(submit, "no owner", "FIELD_MISSING", put(project__owner_account_id=""))
    yield Case(submit, "an unknown owner", "ACCOUNT_UNKNOWN", put(project__owner_account_id="A" + "2" * 16))
    yield Case(submit, "a closed owner", "ACCOUNT_CLOSED", put(project__owner_account_id=lambda w: w.closed))
    yield Case(submit, "no methodology", "FIELD_MISSING", put(project__methodology_id=""))
    yield Case(
        submit, "an unknown methodology", "METHODOLOGY_NOT_PUBLISHED", put(project__methodology_id="SHCER0X")
    )
    yield Case(submit, "no period", "FIELD_MISSING", put(project__crediting_period=None))
    yield Case(
        submit,
        "a reversed period",
        "RANGE_REVERSED",
        put(project__crediting_period=period((2026, 2, 1), (2026, 1, 1))),
    )
    yield Case(
        submit,
        "a day that is none",
        "FIELD_INVALID",
        put(project__crediting_period=period((2026, 2, 30), (2027, 1, 1))),
    )
    yield Case(submit, "no attribute", "FIELD_MISSING", put(project__attribute=0))
    yield Case(submit, "no asset", "FIELD_MISSING", put(project__asset=None))
    yield Case(submit, "a negative capacity", "FIELD_INVALID", put(project__asset__capacity_kw=-1))
    yield Case(
        submit,
        "a plant above the limit",
        "ASSESSMENT_NOT_PASSED",
        put(project__asset__capacity_kw=1_000_000),
        article=True,
    )
    yield Case(
        submit,
        "a digest of 5 bytes",
        "FIELD_INVALID",
        put(project__documents=[registers_pb2.ProjectDocument(kind="application_form", digest=b"short")]),
    )
    yield Case(
        submit,
        "too many documents",
        "BATCH_TOO_LARGE",
        put(project__documents=[registers_pb2.ProjectDocument(kind="k") for _ in range(65)]),
    )
    yield Case(submit, "the wrong role", "ROLE_NOT_PERMITTED", same, role="sh.district_bureau", article=True)
    for name in (
        "AssessProject",
        "OpenProjectNotice",
        "PublishProject",
        "WithdrawProject",
        "AppointProjectVerifier",
        "FileProjectReports",
        "ReviewProject",
        "ObjectToProject",
        "AnswerProjectObjection",
    ):
        yield Case(REGISTER + name, "no project", "FIELD_MISSING", put(project_id=""))
        yield Case(REGISTER + name, "an unknown project", "NOT_FOUND", put(project_id="PV-NOBODY"))
        yield Case(REGISTER + name, "an id of other letters", "FIELD_INVALID", put(project_id="a\x00b"))
        yield Case(REGISTER + name, "a project past this step", "STATE_NOT_ALLOWED", same)
    appoint = REGISTER + "AppointProjectVerifier"
    yield Case(appoint, "no body", "FIELD_MISSING", put(body=""))
    yield Case(appoint, "no party", "FIELD_MISSING", put(party=""))
    yield Case(REGISTER + "ReviewProject", "an over-long opinion", "TEXT_TOO_LONG", put(opinion="字" * 2001))
    yield Case(REGISTER + "ObjectToProject", "no text", "FIELD_MISSING", put(text=""))
    yield Case(REGISTER + "ObjectToProject", "an over-long text", "TEXT_TOO_LONG", put(text="字" * 2001))
    yield Case(REGISTER + "AnswerProjectObjection", "no answer", "FIELD_MISSING", put(answer=""))
    yield Case(REGISTER + "AssessProject", "an over-long opinion", "TEXT_TOO_LONG", put(opinion="字" * 2001))


def issuances() -> Iterator[Case]:
    submit = ISSUANCE + "SubmitActivity"
    yield Case(submit, "no project", "FIELD_MISSING", put(project_id=""))
    yield Case(submit, "an unknown project", "NOT_FOUND", put(project_id="PV-NOBODY"))
    yield Case(submit, "no records", "BATCH_EMPTY", put(records=[]))
    yield Case(
        submit, "too many records", "BATCH_TOO_LARGE", put(records=[month("2025-01") for _ in range(1001)])
    )
    yield Case(submit, "no period", "FIELD_MISSING", put(records__period=None))
    yield Case(
        submit, "a reversed period", "RANGE_REVERSED", put(records__period=period((2026, 2, 1), (2026, 1, 1)))
    )
    yield Case(submit, "negative energy", "FIELD_INVALID", put(records__on_grid_wh=-1))
    yield Case(submit, "more energy than the plant has", "FIELD_INVALID", put(records__on_grid_wh=BIG))
    yield Case(submit, "an over-long meter", "TEXT_TOO_LONG", put(records__meter="M" * 65))
    yield Case(
        submit,
        "a period before the crediting period",
        "PERIOD_OUTSIDE_CLAIM",
        put(records__period=period((2020, 1, 1), (2020, 2, 1))),
    )
    yield Case(
        submit,
        "a month that is not over",
        "DATE_NOT_ALLOWED",
        put(records__period=period((2027, 1, 1), (2027, 2, 1))),
    )
    yield Case(
        submit,
        "two records of one day",
        "DUPLICATE_KEY",
        put(records=[month("2025-05", 1), month("2025-05", 2)]),
    )
    yield Case(
        submit,
        "records that overlap",
        "RANGE_OVERLAP",
        put(records=[month("2025-05", 1), month("2025-05-15/2025-06-15", 2)]),
    )
    yield Case(submit, "other data for a recorded month", "DUPLICATE_KEY", put(records=[month("2026-01", 1)]))
    yield Case(submit, "the wrong role", "ROLE_NOT_PERMITTED", same, role="sh.district_bureau", article=True)
    quantify = ISSUANCE + "QuantifyProject"
    yield Case(quantify, "no project", "FIELD_MISSING", put(project_id=""))
    yield Case(quantify, "an unknown project", "NOT_FOUND", put(project_id="PV-NOBODY"))
    yield Case(quantify, "no period", "FIELD_MISSING", put(period=None))
    yield Case(
        quantify, "a reversed period", "RANGE_REVERSED", put(period=period((2026, 2, 1), (2026, 1, 1)))
    )
    yield Case(
        quantify, "a month without data", "METERING_MISSING", put(period=period((2025, 7, 1), (2025, 8, 1)))
    )
    issue = ISSUANCE + "IssueUnits"
    yield Case(issue, "no project", "FIELD_MISSING", put(project_id=""))
    yield Case(issue, "an unknown project", "NOT_FOUND", put(project_id="PV-NOBODY"))
    yield Case(issue, "no period", "FIELD_MISSING", put(period=None))
    yield Case(issue, "a reversed period", "RANGE_REVERSED", put(period=period((2026, 2, 1), (2026, 1, 1))))
    yield Case(
        issue, "a month without data", "METERING_MISSING", put(period=period((2025, 7, 1), (2025, 8, 1)))
    )
    yield Case(
        issue, "a period that cuts a month", "FIELD_INVALID", put(period=period((2026, 1, 10), (2026, 2, 1)))
    )
    yield Case(issue, "the wrong role", "ROLE_NOT_PERMITTED", same, role="sh.district_bureau", article=True)
    yield Case(issue, "no audit", "AUDIT_NOT_PASSED", put(audit=None), article=True)
    yield Case(ISSUANCE + "GetIssuance", "no id", "FIELD_MISSING", put(issuance_id=""))
    yield Case(ISSUANCE + "GetIssuance", "an unknown id", "NOT_FOUND", same)
    yield Case(ISSUANCE + "GetIssuance", "an over-long id", "TEXT_TOO_LONG", put(issuance_id="a" * 65))
    yield Case(ISSUANCE + "ListIssuances", "a negative page", "FIELD_INVALID", put(page_size=-1))
    yield Case(ISSUANCE + "ListIssuances", "an over-long project", "TEXT_TOO_LONG", put(project_id="P" * 65))


GOOD_ROW: Final = b"period,on_grid_wh,meter\n2025-03,1000,M-9\n"


def send(data: bytes, **start: Any) -> Callable[[World, Any], Any]:
    """Send a file instead."""
    return lambda _world, _request: import_parts(data, **start)


def imports() -> Iterator[Case]:
    method = ISSUANCE + "ImportActivity"
    yield Case(method, "nothing", "FIELD_MISSING", lambda _w, _r: [])
    yield Case(method, "bytes before the start", "FIELD_MISSING", lambda _w, parts: parts[1:])
    yield Case(method, "two starts", "FIELD_MISSING", lambda _w, parts: [parts[0], *parts])
    yield Case(method, "no request id", "REQUEST_ID_INVALID", send(GOOD_ROW, request_id=""))
    yield Case(method, "no project", "FIELD_MISSING", send(GOOD_ROW, project_id=""))
    yield Case(method, "an unknown project", "NOT_FOUND", send(GOOD_ROW, project_id="PV-NOBODY"))
    yield Case(method, "no format", "FORMAT_UNKNOWN", send(GOOD_ROW, kind=0))
    yield Case(method, "no bytes", "FILE_EMPTY", send(b""))
    yield Case(method, "a file that came short", "FIELD_INVALID", send(GOOD_ROW, size_bytes=10_000))
    yield Case(method, "a negative size", "FIELD_INVALID", send(GOOD_ROW, size_bytes=-1))
    yield Case(method, "a size beyond the bound", "FILE_TOO_LARGE", send(GOOD_ROW, size_bytes=2**40))
    yield Case(method, "a header alone", "FILE_EMPTY", send(b"period,on_grid_wh\n"))
    yield Case(method, "a column in another unit", "FIELD_INVALID", send(b"period,on_grid_kwh\n2025-03,1\n"))
    yield Case(method, "a column that is missing", "COLUMN_MISSING", send(b"period,meter\n2025-03,M\n"))
    yield Case(
        method, "GBK", "FILE_NOT_UTF8", send("period,on_grid_wh,meter\n2025-03,1,电表\n".encode("gbk"))
    )
    yield Case(
        method,
        "a chunk above the bound",
        "MESSAGE_TOO_LARGE",
        lambda _w, parts: [parts[0], registers_pb2.ImportActivityRequest(chunk=b"x" * (256 * 1024 + 1))],
    )
    yield Case(method, "the wrong role", "ROLE_NOT_PERMITTED", same, role="sh.district_bureau", article=True)


def reserve_and_clock() -> Iterator[Case]:
    enter = RESERVE + "EnterResource"
    yield Case(enter, "no resource", "FIELD_MISSING", put(resource=None))
    yield Case(enter, "no id", "FIELD_MISSING", put(resource__entry_id=""))
    yield Case(enter, "an id of other letters", "FIELD_INVALID", put(resource__entry_id="a/b"))
    yield Case(enter, "no title", "FIELD_MISSING", put(resource__title=""))
    yield Case(enter, "an over-long title", "TEXT_TOO_LONG", put(resource__title="题" * 257))
    yield Case(enter, "a kind that is none", "FIELD_INVALID", put(resource__resource_kind="gold"))
    yield Case(enter, "a negative potential", "FIELD_INVALID", put(resource__potential_kg_per_year=-1))
    yield Case(enter, "a boundless potential", "FIELD_INVALID", put(resource__potential_kg_per_year=BIG))
    yield Case(enter, "no asset", "BATCH_EMPTY", put(resource__asset=None))
    yield Case(enter, "an unknown owner", "ACCOUNT_UNKNOWN", put(resource__owner_account_id="A" + "2" * 16))
    yield Case(enter, "the wrong role", "ROLE_NOT_PERMITTED", same, role="yn.holder", article=True)
    yield Case(RESERVE + "ListResources", "a negative page", "FIELD_INVALID", put(page_size=-1))
    step = RESERVE + "TakeResourceStep"
    yield Case(step, "no entry", "FIELD_MISSING", put(entry_id=""))
    yield Case(step, "an entry that is none", "NOT_FOUND", same)
    yield Case(step, "no event", "FIELD_MISSING", put(event=""))
    yield Case(step, "an event that no request takes", "FIELD_INVALID", put(event="resume"))
    history = RESERVE + "ListResourceSteps"
    yield Case(history, "neither entry nor proof", "FIELD_MISSING", put(entry_id=""))
    yield Case(history, "both entry and proof", "FIELD_INVALID", put(proof_number="R-1.P1"))
    yield Case(history, "an entry that is none", "NOT_FOUND", same)
    proof = RESERVE + "IssueFilingProof"
    yield Case(proof, "no entry", "FIELD_MISSING", put(entry_id=""))
    yield Case(proof, "an entry that is none", "NOT_FOUND", same)
    advance = f"{CLOCK}ClockService/AdvanceTestClock"
    yield Case(advance, "no moment", "FIELD_MISSING", put(to_time=None))
    yield Case(advance, "a moment in the past", "CLOCK_SET_BACK", same)
    yield Case(advance, "before every year", "FIELD_INVALID", put(to_time=Timestamp(seconds=-(2**62))))
    yield Case(advance, "beyond every year", "FIELD_INVALID", put(to_time=Timestamp(seconds=BIG)))
    yield Case(
        advance, "nanoseconds that are none", "FIELD_INVALID", put(to_time=Timestamp(seconds=1, nanos=-5))
    )
