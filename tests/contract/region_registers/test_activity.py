from __future__ import annotations

import json
import random
import tracemalloc
from collections.abc import Iterable
from typing import Any

import pytest

from tanqiao.api.region.v1 import registers_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.periods import Period
from tanqiao_region.application.activity_import import CHUNK_BYTES_MAX
from tests.contract.region_registers.office import APPLICANT, CENTRE, PROJECT, Office, month, request_id
from tests.contract.region_registers.test_refusals import journal_size, refused

HEADER = "period,on_grid_wh,self_use_wh,meter\n"
CSV = registers_pb2.FILE_FORMAT_CSV
JSON_LINES = registers_pb2.FILE_FORMAT_JSON_LINES


@pytest.fixture
def office(shanghai: Office) -> Office:
    """A submitted project of 800 kW, credited from 2025 on; today is 2026-03-02."""
    shanghai.publish_methodology()
    shanghai.submit()
    return shanghai


def chunks_of(data: bytes, size: int = 1000) -> Iterable[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def import_file(office: Office, data: bytes | str, format_: int = CSV, **fields: Any) -> Any:
    by = fields.pop("by", APPLICANT)
    raw = data.encode() if isinstance(data, str) else data
    values: dict[str, Any] = {
        "request_id": request_id(),
        "project_id": PROJECT,
        "format": format_,
        **fields,
    }
    start = registers_pb2.ImportActivityRequest.Start(**values)
    return office.office.imports.run(by, start, chunks_of(raw))


def recorded(office: Office) -> int:
    """Watt-hours that are recorded and free."""
    return int(office.quantify("2025-01-01/2027-01-01").activity_wh)


# -- calls ---------------------------------------------------------------------------------------------------


def test_rows_are_recorded_all_or_none_and_the_same_rows_change_nothing(office: Office) -> None:
    rows = (month("2026-01", 1000), month("2026-02", 2000))
    first = office.meter(*rows)
    assert (first.accepted_count, first.unchanged_count) == (2, 0)
    before = journal_size(office.node)
    again = office.meter(*rows)
    assert (again.accepted_count, again.unchanged_count) == (2, 2)
    assert journal_size(office.node) == before
    refused("DUPLICATE_KEY", lambda: office.meter(month("2025-12", 5), month("2026-01", 1001)))
    assert recorded(office) == 3000
    more = office.meter(month("2026-02", 2000), month("2025-12", 5))
    assert (more.accepted_count, more.unchanged_count) == (2, 1)
    assert recorded(office) == 3005


@pytest.mark.parametrize(
    ("record", "symbol"),
    [
        (month("2026-01", -1), "FIELD_INVALID"),
        (month("2026-01", 2**62), "FIELD_INVALID"),
        # 800 kW give at most 595,200,000 Wh in the 31 days of January.
        (month("2026-01", 595_200_001), "FIELD_INVALID"),
        (month("2026-03", 1), "DATE_NOT_ALLOWED"),
        (month("2024-12", 1), "PERIOD_OUTSIDE_CLAIM"),
        (month("2025-01-01/2026-03-01", 1), "FIELD_INVALID"),
        (month("2026-01", 1, meter="M" * 65), "TEXT_TOO_LONG"),
        (registers_pb2.ActivityRecord(on_grid_wh=1), "FIELD_MISSING"),
    ],
)
def test_a_row_that_cannot_be_true_is_refused_with_its_field(
    office: Office, record: Any, symbol: str
) -> None:
    before = journal_size(office.node)
    error = refused(symbol, lambda: office.meter(month("2025-12", 1), record))
    assert (error.field or "").startswith("records[1].")
    assert journal_size(office.node) == before


def test_rows_of_one_meter_do_not_share_a_day_and_those_of_two_meters_may(office: Office) -> None:
    refused("DUPLICATE_KEY", lambda: office.meter(month("2026-01", 1), month("2026-01", 1)))
    refused("RANGE_OVERLAP", lambda: office.meter(month("2026-01", 1), month("2026-01-31/2026-02-10", 1)))
    office.meter(month("2026-01", 1), month("2026-01", 1, meter="M-2"))
    refused("RANGE_OVERLAP", lambda: office.meter(month("2026-01-15/2026-02-01", 1)))
    refused("BATCH_EMPTY", office.meter)
    refused("ROLE_NOT_PERMITTED", lambda: office.meter(month("2025-12", 1), by=CENTRE), article="第五条")
    office.withdraw()
    refused("STATE_NOT_ALLOWED", lambda: office.meter(month("2025-12", 1)))


# -- files ---------------------------------------------------------------------------------------------------

GOOD = HEADER + "2025-11,100,10,M-1\n2025-12,200,20,M-1\n2025-12-01/2026-01-01,7,0,M-2\n"


@pytest.mark.parametrize(
    "data",
    [
        GOOD,
        GOOD.replace("\n", "\r\n"),
        b"\xef\xbb\xbf" + GOOD.encode(),
        GOOD.rstrip("\n"),
        GOOD.replace("M-1\n", '"M-1"\n').replace("period", "Period "),
        GOOD + "\n\n",
    ],
)
def test_a_file_is_read_in_every_honest_form(office: Office, data: bytes | str) -> None:
    response = import_file(office, data)
    assert (response.row_count, response.accepted_count, response.rejected_count) == (3, 3, 0)
    assert response.committed
    assert recorded(office) == 337


def test_json_lines_and_dates_are_read_too(office: Office) -> None:
    lines = [
        {"start_date": "2025-12-01", "end_date": "2026-01-01", "on_grid_wh": 5, "self_use_wh": 2},
        {"period": "2026-01", "on_grid_wh": 6},
    ]
    response = import_file(office, "\n".join(json.dumps(line) for line in lines), JSON_LINES)
    assert response.committed
    assert recorded(office) == 13


def test_an_identical_file_changes_nothing_also_under_another_request(office: Office) -> None:
    import_file(office, GOOD, request_id="f-1")
    before = journal_size(office.node)
    assert import_file(office, GOOD, request_id="f-1").committed
    again = import_file(office, GOOD)
    assert (again.committed, again.accepted_count) == (True, 3)
    assert journal_size(office.node) == before
    refused("REQUEST_ID_REUSED", lambda: import_file(office, GOOD + "2026-01,1,1,M-1\n", request_id="f-1"))
    assert recorded(office) == 337


@pytest.mark.parametrize(
    ("line", "column", "symbol"),
    [
        ("2025-12,-5,0,M-1", "on_grid_wh", "FIELD_INVALID"),
        ("2025-12,1.5,0,M-1", "on_grid_wh", "FIELD_INVALID"),
        ("2025-12,99999999999999999999999,0,M-1", "on_grid_wh", "FIELD_INVALID"),
        ("2025-12,,0,M-1", "on_grid_wh", "FIELD_MISSING"),
        ("2025-12,5,x,M-1", "self_use_wh", "FIELD_INVALID"),
        ("2025-13,5,0,M-1", "period", "FIELD_INVALID"),
        ("2026-02-01/2026-01-01,5,0,M-1", "period", "RANGE_REVERSED"),
        ("2027-01,5,0,M-1", "period", "DATE_NOT_ALLOWED"),
        ("2024-01,5,0,M-1", "period", "PERIOD_OUTSIDE_CLAIM"),
        ("2025-12,5,0", "", "ROW_INVALID"),
        ('2025-12,5,0,"M-1', "", "ROW_INVALID"),
        ("2025-10,5,0,M-1", "start_date", "DUPLICATE_KEY"),
        ("2025-10-15/2025-11-15,5,0,M-1", "start_date", "RANGE_OVERLAP"),
    ],
)
def test_one_bad_row_is_named_with_line_column_and_reason_and_nothing_is_recorded(
    office: Office, line: str, column: str, symbol: str
) -> None:
    before = journal_size(office.node)
    response = import_file(office, f"{HEADER}2025-10,1,0,M-1\n{line}\n")
    assert not response.committed
    assert (response.row_count, response.rejected_count) == (2, 1)
    error = response.errors[0]
    assert (error.line_number, error.column, error.refusal.reason) == (3, column, symbol)
    assert error.refusal.sentence_zh != error.refusal.sentence_en
    assert journal_size(office.node) == before


def test_a_row_that_contradicts_the_past_is_named_and_nothing_is_recorded(office: Office) -> None:
    office.meter(month("2025-12", 100, meter="M-1"))
    text = f"{HEADER}2025-11,1,0,M-1\n2025-12,101,0,M-1\n"
    preview = import_file(office, text, validate_only=True)
    response = import_file(office, text)
    for one in (preview, response):
        assert not one.committed
        assert [(e.line_number, e.refusal.reason) for e in one.errors] == [(3, "DUPLICATE_KEY")]
    assert recorded(office) == 100
    preview = import_file(office, f"{HEADER}2025-11,1,0,M-1\n", validate_only=True)
    assert (preview.committed, preview.accepted_count) == (False, 1)
    assert recorded(office) == 100


@pytest.mark.parametrize(
    ("data", "symbol"),
    [
        (b"", "FILE_EMPTY"),
        (b"\n\n", "FILE_EMPTY"),
        (HEADER.encode(), "FILE_EMPTY"),
        ("周期,电量\n2025-12,1\n".encode("gb18030"), "FILE_NOT_UTF8"),
        (HEADER.encode() + b"2025-12,1,0,\xff\n", "FILE_NOT_UTF8"),
        (b"period,self_use_wh\n2025-12,1\n", "COLUMN_MISSING"),
        (b"start_date,on_grid_wh\n2025-12-01,1\n", "COLUMN_MISSING"),
        (b"period,on_grid_kwh\n2025-12,1\n", "FIELD_INVALID"),
        (b"period,on_grid_wh,period\n2025-12,1,2025-12\n", "FIELD_INVALID"),
        (HEADER.encode() + b"x" * 70_000 + b"\n", "ROW_INVALID"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_as_a_whole(office: Office, data: bytes, symbol: str) -> None:
    before = journal_size(office.node)
    refused(symbol, lambda: import_file(office, data))
    assert journal_size(office.node) == before


def test_json_lines_say_what_is_wrong_with_each_line(office: Office) -> None:
    lines = [
        '{"period": "2025-11", "on_grid_wh": 1}',
        "{",
        "[]",
        '{"period": "2025-12", "on_grid_wh": 1.5}',
        '{"period": "2025-12", "on_grid_wh": true}',
        '{"period": "2025-12"}',
        '{"period": "2025-12", "on_grid_wh": 1, "on_grid_kwh": 2}',
        '{"period": 202512, "on_grid_wh": 1}',
        '{"period": "2025-12", "on_grid_wh": NaN}',
    ]
    response = import_file(office, "\n".join(lines), JSON_LINES)
    found = [(error.line_number, error.refusal.reason) for error in response.errors]
    assert found == [
        (2, "ROW_INVALID"),
        (3, "ROW_INVALID"),
        (4, "ROW_INVALID"),
        (5, "FIELD_INVALID"),
        (6, "FIELD_MISSING"),
        (7, "FIELD_INVALID"),
        (8, "FIELD_INVALID"),
        (9, "ROW_INVALID"),
    ]


def test_what_is_no_import_is_refused(office: Office) -> None:
    refused("FORMAT_UNKNOWN", lambda: import_file(office, GOOD, 0))
    refused("NOT_FOUND", lambda: import_file(office, GOOD, project_id="NONE"))
    refused("ROLE_NOT_PERMITTED", lambda: import_file(office, GOOD, by=CENTRE), article="第五条")
    start = registers_pb2.ImportActivityRequest.Start(request_id="x", project_id=PROJECT, format=CSV)
    big = [b"x" * (CHUNK_BYTES_MAX + 1)]
    refused("MESSAGE_TOO_LARGE", lambda: office.office.imports.run(APPLICANT, start, big))


def days_file(meters: int, bad_line: int | None = None) -> Iterable[bytes]:
    """A year of single days of many meters, out of order, in chunks."""
    days = [str(day).partition("/")[0] for day in _days(2025)]
    order = random.Random(1)
    line = 1
    piece = [HEADER]
    for meter in range(meters):
        order.shuffle(days)
        for day in days:
            line += 1
            energy = -1 if line == bad_line else meter + 1
            piece.append(f"{day},{energy},0,M-{meter}\n")
            if len(piece) >= 5000:
                yield "".join(piece).encode()
                piece = []
    yield "".join(piece).encode()


def _days(year: int) -> list[Period]:
    whole = Period.of_year(year)
    return [Period.of_day(whole.start.fromordinal(whole.start.toordinal() + n)) for n in range(whole.days)]


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)  # no row reaches the database
def test_a_million_rows_with_one_bad_one_stream_through_and_nothing_is_recorded(office: Office) -> None:
    meters = 2740  # × 365 days = 1,000,100 rows
    bad_line = 777_777
    start = registers_pb2.ImportActivityRequest.Start(request_id="big", project_id=PROJECT, format=CSV)
    before = journal_size(office.node)
    response = office.office.imports.run(APPLICANT, start, days_file(meters, bad_line))
    assert not response.committed
    assert (response.row_count, response.rejected_count) == (meters * 365, 1)
    assert response.errors[0].line_number == bad_line
    assert journal_size(office.node) == before


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)  # the same: it is only looked at
def test_memory_does_not_grow_with_the_file(office: Office) -> None:
    def peak_of(meters: int) -> int:
        start = registers_pb2.ImportActivityRequest.Start(
            request_id="big", project_id=PROJECT, format=CSV, validate_only=True
        )
        tracemalloc.start()
        try:
            response = office.office.imports.run(APPLICANT, start, days_file(meters))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            assert response.rejected_count == 0

    small, large = peak_of(30), peak_of(150)  # 10,950 and 54,750 rows
    assert large < small * 1.5


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_hundred_thousand_rows_are_recorded_in_one_transaction_and_once(office: Office) -> None:
    meters = 274  # × 365 days = 100,010 rows
    for _ in range(2):
        start = registers_pb2.ImportActivityRequest.Start(
            request_id=request_id(), project_id=PROJECT, format=CSV
        )
        response = office.office.imports.run(APPLICANT, start, days_file(meters))
        assert response.committed
        assert response.accepted_count == meters * 365
    assert recorded(office) == 365 * sum(range(1, meters + 1))


def test_a_refusal_of_the_rules_is_no_row_error(office: Office) -> None:
    office.withdraw()
    with pytest.raises(DomainError) as caught:
        import_file(office, GOOD)
    assert caught.value.symbol == "STATE_NOT_ALLOWED"
