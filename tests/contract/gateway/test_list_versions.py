"""Versions of a list: what changed, taking one back, and lists that are bad in every usual way."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final

import pytest

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.common.v1 import values_pb2
from tanqiao.api.gateway.v1 import registry_pb2
from tanqiao.claims.key_filter import FORM_BYTES, KEY_FORM, KeyFilter, is_of_known_form, place_of
from tanqiao.testing.network import BRIDGE
from tanqiao_gateway.application.fsck import check_database
from tests.contract.gateway.conftest import WAIT_SECONDS, RunningGateway
from tests.contract.gateway.test_imports import row, table

MARCH_2: Final = values_pb2.Date(year=2026, month=3, day=2)
ROWS: Final = int(os.environ.get("ROWS", "100000"))
"""Rows of the long list; `ROWS=1000000 pytest -m long` tries a million."""
APPEARED: Final = registry_pb2.RECORD_CHANGE_KIND_APPEARED
VANISHED: Final = registry_pb2.RECORD_CHANGE_KIND_VANISHED
CHANGED: Final = registry_pb2.RECORD_CHANGE_KIND_CHANGED
CODE: Final = "9931000000000001A"
MONTHLY: Final = (
    "建档立卡编码,项目名称,业主单位,统一社会信用代码,生产年月,电量类型,交易类型,状态,起始序号,终止序号,数量,"
    "起始编码,终止编码,虚构"
)


def month(first: int, last: int, **changes: str) -> str:
    """A row of an invented monthly list: certificates first to last of January 2026."""
    cells = {
        "code": CODE,
        "name": "虚构风电场",
        "owner": "虚构公司",
        "uscc": "",
        "month": "2026年1月",
        "kind": "上网电量",
        "tradable": "可交易",
        "state": "已核发",
        "first": str(first),
        "last": str(last),
        "count": str(last - first + 1),
        "first_code": f"{CODE}{first:015}",
        "last_code": f"{CODE}{last:015}",
        "invented": "是",
    }
    return ",".join({**cells, **changes}.values())


def monthly(*rows: str, encoding: str = "utf-8") -> bytes:
    return "\n".join([MONTHLY, *rows, ""]).encode(encoding)


def faults(response: registry_pb2.ImportListResponse) -> list[tuple[int, str, str]]:
    """Give line, column and reason of what was rejected."""
    assert not response.committed
    assert response.list_import.rejected_count == len(response.errors)
    assert all(one.refusal.sentence_zh and one.refusal.sentence_en for one in response.errors)
    return [(one.line_number, one.column, one.refusal.reason) for one in response.errors]


def states(running: RunningGateway, codes: Iterable[str]) -> list[list[str]]:
    """Give the states of the certificates of each filing code, as the bridge is answered."""
    queries = [
        registry_pb2.AssetQuery(references=[claims_pb2.AssetReference(scheme="gec_filing_code", value=code)])
        for code in codes
    ]
    answer = running.stub(BRIDGE).LookUpAssets(
        registry_pb2.LookUpAssetsRequest(queries=queries), timeout=WAIT_SECONDS
    )
    return [[record.certificate_state for record in one.records] for one in answer.answers]


def test_an_import_is_taken_back_as_one_step_and_may_come_again(running: RunningGateway) -> None:
    stub = running.stub()
    first = running.send(table(row(1), row(2), row(3)))
    second = running.send(table(row(1), row(2, state="TRANSFERRED"), row(4)), as_of_date=MARCH_2)
    found = running.call(
        lambda: stub.ListChanges(registry_pb2.ListChangesRequest(page_size=2), timeout=WAIT_SECONDS)
    )
    rest = running.call(
        lambda: stub.ListChanges(
            registry_pb2.ListChangesRequest(page_size=2, page_token=found.next_page_token),
            timeout=WAIT_SECONDS,
        )
    )
    assert [
        (one.kind, one.reference, list(one.changed_fields)) for one in (*found.changes, *rest.changes)
    ] == [
        (CHANGED, "GEC-2", ["certificate_state"]),
        (VANISHED, "GEC-3", []),
        (APPEARED, "GEC-4", []),
    ]
    assert (found.from_import_id, found.to_import_id) == (
        first.list_import.import_id,
        second.list_import.import_id,
    )

    undo = registry_pb2.UndoImportRequest(
        request_id="undo-1", import_id=second.list_import.import_id, reason="误传（虚构）"
    )
    current = running.call(lambda: stub.UndoImport(undo, timeout=WAIT_SECONDS)).current
    assert current.import_id == first.list_import.import_id
    assert running.call(lambda: stub.UndoImport(undo, timeout=WAIT_SECONDS)).current == current
    assert running.count() == 3
    assert states(running, ["99310000000000002"]) == [["ISSUED"]]
    listed = running.call(lambda: stub.ListImports(registry_pb2.ListImportsRequest(), timeout=WAIT_SECONDS))
    assert [one.undo_reason for one in listed.imports] == ["误传（虚构）", ""]
    # The very same file may be imported again: a new import, and what was undone stays undone.
    again = running.send(table(row(1), row(2, state="TRANSFERRED"), row(4)), as_of_date=MARCH_2)
    assert again.list_import.import_id not in (first.list_import.import_id, second.list_import.import_id)
    assert states(running, ["99310000000000002"]) == [["TRANSFERRED"]]
    assert check_database(running.gateway.database).clean


def test_a_monthly_list_has_ranges_under_filing_codes(running: RunningGateway) -> None:
    data = monthly(
        month(1, 40), month(41, 60, state="已冻结"), month(61, 64, tradable="不可交易", kind="自发自用")
    )
    assert running.send(data, mapping="gec_monthly").committed
    assert states(running, [CODE]) == [["ISSUED", "FROZEN", "ISSUED"]]
    found = running.stub().ListRecords(registry_pb2.ListRecordsRequest(), timeout=WAIT_SECONDS).records
    one = found[0]
    assert (one.first_sequence, one.last_sequence, one.activity_quantity) == (1, 40, 40)
    assert one.first_code[:17] == CODE
    assert (one.period.start_date.month, one.period.end_date.month, one.invented) == (1, 2, True)
    assert [record.self_use for record in found] == [False, False, True]


@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_every_rejected_row_has_its_line_column_and_reason(running: RunningGateway) -> None:
    rows = [
        month(1, 10),
        month(11, 20, code="9931"),
        month(21, 30, first_code="短"),
        month(31, 40, count="9"),
        month(50, 45, count="1"),
        month(5, 14),
        month(51, 60, month="2026-13"),
        month(61, 70, last_code=f"X{CODE[1:]}{70:015}"),
        month(1, 10),
        month(71, 80, state="售罄"),
        month(81, 90).replace("虚构风电场", "虚构,风电场"),
        month(91, 99).replace("虚构公司", '"虚构公司'),
    ]
    assert faults(running.send(monthly(*rows), mapping="gec_monthly")) == [
        (3, "建档立卡编码", "FIELD_INVALID"),
        (4, "起始编码", "FIELD_INVALID"),
        (5, "起始序号", "FIELD_INVALID"),
        (6, "起始序号", "RANGE_REVERSED"),
        (7, "起始序号", "RANGE_OVERLAP"),
        (8, "生产年月", "FIELD_INVALID"),
        (9, "起始序号", "FIELD_INVALID"),
        (10, "建档立卡编码", "DUPLICATE_KEY"),
        (11, "状态", "ENUM_UNKNOWN"),
        (12, "", "ROW_INVALID"),
        (13, "", "ROW_INVALID"),
    ]
    assert running.count() == 0


@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_own_periods_of_a_plant_that_overlap_are_rejected_with_line_column_and_reason(
    running: RunningGateway,
) -> None:
    code = "99310000000000009"
    rows = [
        row(1, filing_code=code),
        row(2, filing_code=code, state="TRANSFERRED"),  # another state of the very same month
        row(3, filing_code=code, period_start="2026-01-15", period_end="2026-02-15"),
        row(4, filing_code=code, period_start="2026-02-01", period_end="2026-03-01"),  # touches the first
        row(5, filing_code=code, period_start="2025-01-01", period_end="2027-01-01"),
        row(6, period_start="2026-01-15", period_end="2026-02-15"),  # another plant
    ]
    response = running.send(table(*rows))
    assert faults(response) == [(4, "period_start", "RANGE_OVERLAP"), (6, "period_start", "RANGE_OVERLAP")]
    sentence = response.errors[0].refusal.sentence_en
    assert "2026-01-01/2026-02-01 (2)" in sentence
    assert "2026-01-15/2026-02-15 (4)" in sentence
    assert running.count() == 0
    assert running.send(table(*rows[:2], rows[3], rows[5])).committed


@pytest.mark.parametrize("database_kind", ["sqlite"])
@pytest.mark.parametrize("registry", ["ccer"], indirect=True)
def test_own_periods_of_a_projects_reductions_never_overlap(running: RunningGateway) -> None:
    head = "reference,filing_code,project_name,object,stage,crediting_start,crediting_end"
    code = "99310000000000009"
    rows = [
        f"P,{code},A,project,registered,2025-01-01,2035-01-01",  # a project is no period of its own
        f"R-1,{code},A,reduction,issued,2025-01-01,2026-01-01",
        f"R-2,{code},A,reduction,notice,2025-01-01,2026-01-01",
        f"R-3,{code},A,reduction,rejected,2025-06-01,2026-06-01",  # given up
        f"R-4,{code},B,reduction,issued,2025-06-01,2026-06-01",  # another project on the plant
        f"R-5,{code},A,reduction,notice,2026-01-01,2027-01-01",
    ]
    response = running.send("\n".join([head, *rows, ""]).encode())
    assert faults(response) == [(4, "crediting_start", "RANGE_OVERLAP")]
    assert running.send("\n".join([head, *rows[:2], *rows[3:], ""]).encode()).committed


@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_gb18030_is_read_and_mixed_encodings_are_named(running: RunningGateway) -> None:
    chinese = [month(1, 10), month(11, 20).replace("虚构公司", "联通"), month(21, 30)]
    assert running.send(monthly(*chinese, encoding="gb18030"), mapping="gec_monthly").committed
    titles = running.stub().ListRecords(registry_pb2.ListRecordsRequest(), timeout=WAIT_SECONDS).records
    assert {record.title for record in titles} == {"虚构风电场"}
    assert titles[1].subject_name == "联通"
    lines = monthly(*chinese, month(31, 40)).split(b"\n")
    lines[3] = lines[3].decode().encode("gb18030")
    assert faults(running.send(b"\n".join(lines), mapping="gec_monthly")) == [(4, "", "FILE_NOT_UTF8")]
    lines = monthly(*chinese, month(31, 40), encoding="gb18030").split(b"\n")
    lines[2] = lines[2].decode("gb18030").encode()
    assert faults(running.send(b"\n".join(lines), mapping="gec_monthly")) == [(3, "", "FILE_NOT_UTF8")]


@pytest.mark.parametrize("database_kind", ["sqlite"])
@pytest.mark.parametrize("registry", ["ccer"], indirect=True)
def test_lists_without_code_of_their_own(running: RunningGateway) -> None:
    cdm = "cdm_ref,name,type,capacity_mw,lat,lon,province_code\n64,Wind A,Wind,25,41.2,112.5,150000\n"
    cdm += "65,Hydro B,Hydro,9,102.5,25.1,530000\n"
    assert running.send(cdm.encode(), mapping="cdm").committed
    gold = (
        b"GSID,Project Name,Project Developer Name,Status,Project Type,Methodology\n7,Wind,X,Listed,Wind,\n"
    )
    assert running.send(gold, mapping="gs", as_of_date=MARCH_2).committed
    opening = b'{"data": [{"applyId": "1526163848812433408", "dataType": 1, "projectName": "X"}, '
    opening += b'{"applyId": "1526163848812433408", "dataType": 2, "methodologyNum": "CCER-01-002-V01"}]}'
    day = values_pb2.Date(year=2026, month=3, day=3)
    assert running.send(opening, "list.json", mapping="ccer_opening", as_of_date=day).committed
    found = running.stub().ListRecords(registry_pb2.ListRecordsRequest(), timeout=WAIT_SECONDS).records
    assert [(one.reference, one.asset_references[0].value) for one in found] == [
        ("1526163848812433408/1", "1526163848812433408"),
        ("1526163848812433408/2", "1526163848812433408"),
    ]
    assert [claims_pb2.ClaimStatus.Name(one.status) for one in found] == [
        "CLAIM_STATUS_NOTICE",
        "CLAIM_STATUS_REGISTERED",
    ]


@pytest.mark.parametrize("database_kind", ["sqlite"])
@pytest.mark.parametrize("registry", ["ccer"], indirect=True)
def test_positions_of_our_own_layout_must_be_in_china(running: RunningGateway) -> None:
    head = "reference,project_name,object,stage,latitude,longitude"
    rows = [
        "A,X,project,notice,30.1,120.2",
        "B,X,project,notice,120.2,30.1",
        "C,X,project,notice,-30.1,120.2",
    ]
    rows += ["D,X,project,notice,30.1,", "E,X,project,notice,north,120.2", "F,X,project,notice,,"]
    response = running.send("\n".join([head, *rows, ""]).encode())
    assert faults(response) == [
        (3, "latitude", "FIELD_INVALID"),
        (4, "latitude", "FIELD_INVALID"),
        (5, "latitude", "FIELD_INVALID"),
        (6, "latitude", "FIELD_INVALID"),
    ]
    assert "swapped" in response.errors[0].refusal.sentence_en


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_very_many_rows_with_one_bad_in_a_hundred_import_nothing(running: RunningGateway) -> None:
    count = ROWS
    good = (row(number, reference=f"GEC-{number}") for number in range(1, count + 1))
    lines = (
        line.replace("2026-01-01", "2026-02-30") if number % 100 == 0 else line
        for number, line in enumerate(good, start=1)
    )
    data = table(*lines)
    response = running.send(data, timeout_seconds=1_500.0)
    assert not response.committed
    assert (response.list_import.row_count, response.list_import.rejected_count) == (count, count // 100)
    assert len(response.errors) == 1_000
    assert [one.line_number for one in response.errors[:3]] == [101, 201, 301]
    assert {(one.column, one.refusal.reason) for one in response.errors} == {
        ("period_start", "FIELD_INVALID")
    }
    assert running.count() == 0
    # The same rows without the bad ones are taken whole.
    assert running.send(data.replace(b"2026-02-30", b"2026-01-02"), timeout_seconds=1_500.0).committed
    assert running.count() == count


# -- which keys a list may hold -----------------------------------------------------------------------------


def _filter(running: RunningGateway) -> tuple[bytes, KeyFilter | None]:
    """Read the filter as the bridge does; None where there is none."""
    stub = running.stub(BRIDGE)
    parts = list(stub.ReadKeyFilter(registry_pb2.ReadKeyFilterRequest(), timeout=WAIT_SECONDS))
    status = stub.GetRegistryStatus(registry_pb2.GetRegistryStatusRequest(), timeout=WAIT_SECONDS)
    assert {part.list_version for part in parts} == {status.list_version}
    bits = b"".join(part.bits for part in parts)
    assert {part.size_bytes for part in parts} == {len(bits)}
    return status.list_version, KeyFilter(bits) if bits else None


def test_the_filter_of_the_list_in_force_rules_out_what_it_does_not_hold(
    running: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tanqiao_gateway.storage.records.KEYS_PER_PAGE", 3)
    assert _filter(running) == (b"", None)
    owner = "91440300708461136T"
    assert running.send(table(*map(row, range(1, 8)), row(8, owner_uscc=owner))).committed
    version, keys = _filter(running)
    assert keys is not None
    held = [f"asset:gec_filing_code:9931000000000{number:04}" for number in range(1, 9)]
    assert all(keys.may_hold(place_of(key)) for key in (*held, f"subject:{owner}"))
    assert not keys.may_hold_any([place_of("asset:gec_filing_code:99310000000000009"), place_of("subject:")])

    assert running.send(table(row(9)), as_of_date=MARCH_2).committed
    later, keys = _filter(running)
    assert keys is not None
    assert later != version
    assert keys.may_hold(place_of("asset:gec_filing_code:99310000000000009"))
    assert not keys.may_hold_any(list(map(place_of, held)))
    assert is_of_known_form(version)
    with monkeypatch.context() as patched:  # software that forms keys in another way holds the same list
        patched.setattr("tanqiao.claims.key_filter.KEY_FORM", KEY_FORM + 1)
        newer, _ = _filter(running)
    assert not is_of_known_form(newer)
    assert newer[FORM_BYTES:] == later[FORM_BYTES:]
    # Taken back, the list before it is in force again, under the version that it had.
    undo = registry_pb2.UndoImportRequest(request_id="undo-1", import_id="2", reason="误传（虚构）")
    running.call(lambda: running.stub().UndoImport(undo, timeout=WAIT_SECONDS))
    again, keys = _filter(running)
    assert again == version
    assert keys is not None
    assert keys.may_hold(place_of(held[0]))


def test_a_list_with_too_many_keys_has_no_filter(
    running: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tanqiao_gateway.application.key_filters.KEYS_MAX", 2)
    assert running.send(table(row(1), row(2), row(3))).committed
    version, keys = _filter(running)
    assert version
    assert keys is None
