"""Imports and look-ups at a real gateway: good lists, every kind of bad one, all or nothing, sent twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.common.v1 import values_pb2
from tanqiao.api.gateway.v1 import registry_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.testing.network import BRIDGE, SHANGHAI
from tanqiao_gateway.application.fsck import check_database
from tests.contract.gateway.conftest import WAIT_SECONDS, RunningGateway

LISTS = Path(__file__).parents[2] / "golden" / "lists"
HEADER = (
    "reference,filing_code,plant_name,owner_name,owner_uscc,period_start,period_end,"
    "certificates,state,tradable,self_use,invented"
)


def row(number: int, **changes: str) -> str:
    cells = {
        "reference": f"GEC-{number}",
        "filing_code": f"9931000000000{number:04d}",
        "plant_name": f"虚构电站{number}号",
        "owner_name": "虚构公司",
        "owner_uscc": "",
        "period_start": "2026-01-01",
        "period_end": "2026-02-01",
        "certificates": "240",
        "state": "ISSUED",
        "tradable": "true",
        "self_use": "",
        "invented": "1",
    }
    return ",".join({**cells, **changes}.values())


def table(*rows: str) -> bytes:
    return "\n".join([HEADER, *rows, ""]).encode()


def test_a_list_is_imported_and_found_by_reference_and_by_subject(running: RunningGateway) -> None:
    data = table(row(1), row(2, owner_uscc="91440300708461136T", state="TRANSFERRED"), row(3))
    response = running.send(data)
    assert response.committed
    assert response.list_import.row_count == 3
    assert running.count() == 3
    queries = [
        registry_pb2.AssetQuery(
            references=[claims_pb2.AssetReference(scheme="gec_filing_code", value="99310000000000001")]
        ),
        registry_pb2.AssetQuery(subject_uscc="91440300708461136T"),
        registry_pb2.AssetQuery(
            references=[claims_pb2.AssetReference(scheme="gec_filing_code", value="99999999999999999")]
        ),
    ]
    answer = running.stub(BRIDGE).LookUpAssets(
        registry_pb2.LookUpAssetsRequest(queries=queries), timeout=WAIT_SECONDS
    )
    assert answer.has_list
    assert answer.as_of_date == values_pb2.Date(year=2026, month=3, day=1)
    assert [[record.reference for record in one.records] for one in answer.answers] == [
        ["GEC-1"],
        ["GEC-2"],
        [],
    ]
    found = answer.answers[1].records[0]
    assert (found.certificate_state, found.tradable, found.invented) == ("TRANSFERRED", True, True)
    assert check_database(running.gateway.database).clean


def test_without_a_list_nothing_is_said(running: RunningGateway) -> None:
    answer = running.stub(BRIDGE).LookUpAssets(
        registry_pb2.LookUpAssetsRequest(queries=[registry_pb2.AssetQuery()]), timeout=WAIT_SECONDS
    )
    assert not answer.has_list


@pytest.mark.parametrize(
    ("changes", "column", "symbol"),
    [
        ({"certificates": "-1"}, "certificates", "FIELD_INVALID"),
        ({"certificates": "1.5"}, "certificates", "FIELD_INVALID"),
        ({"certificates": "９９"}, "certificates", "FIELD_INVALID"),
        ({"certificates": "9" * 30}, "certificates", "FIELD_INVALID"),
        ({"period_start": "2026-13-01"}, "period_start", "FIELD_INVALID"),
        ({"period_start": "01/02/2026"}, "period_start", "FIELD_INVALID"),
        ({"period_start": "2026-03-01"}, "period_start", "RANGE_REVERSED"),
        ({"state": "SOLD?"}, "state", "ENUM_UNKNOWN"),
        ({"tradable": "maybe"}, "tradable", "FIELD_INVALID"),
        ({"tradable": ""}, "tradable", "FIELD_MISSING"),
        ({"reference": ""}, "reference", "FIELD_MISSING"),
        ({"reference": "GEC-1"}, "reference", "DUPLICATE_KEY"),
        ({"owner_uscc": "91110000600037341M"}, "owner_uscc", "IDENTITY_CODE_INVALID"),
    ],
)
def test_a_bad_cell_is_named_with_its_line_and_nothing_is_written(
    running: RunningGateway, changes: dict[str, str], column: str, symbol: str
) -> None:
    response = running.send(table(row(1), row(2, **changes), row(3)))
    assert not response.committed
    assert response.list_import.rejected_count == 1
    (error,) = response.errors
    assert (error.line_number, error.column, error.refusal.reason) == (3, column, symbol)
    assert error.refusal.sentence_zh
    assert error.refusal.sentence_en
    assert running.count() == 0


@pytest.mark.parametrize(
    ("data", "symbol"),
    [
        (b"", "FILE_EMPTY"),
        (b"\n\n", "FILE_EMPTY"),
        (HEADER.encode(), "FILE_EMPTY"),
        (b"reference,plant_name\nA,B\n", "COLUMN_MISSING"),
        (HEADER.encode("utf-16"), "FILE_NOT_UTF8"),
        (b"reference,reference\n1,2\n", "ROW_INVALID"),
    ],
)
def test_a_bad_file_is_refused_as_a_whole(running: RunningGateway, data: bytes, symbol: str) -> None:
    with pytest.raises(DomainError) as refused:
        running.send(data)
    assert refused.value.symbol == symbol
    assert running.count() == 0


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + table(row(1), row(2)),
        table(row(1), row(2)).replace(b"\n", b"\r\n"),
        table(row(1), "", row(2)),
    ],
    ids=["byte-order mark", "CRLF", "blank line"],
)
def test_spellings_of_a_file_that_mean_the_same_are_taken(running: RunningGateway, data: bytes) -> None:
    assert running.send(data).committed
    assert running.count() == 2


@pytest.mark.parametrize("text", ["2026-01-01", "2026/1/1", "2026.1.1", "20260101", "2026年1月1日"])
def test_dates_are_read_in_five_notations(running: RunningGateway, text: str) -> None:
    assert running.send(table(row(1, period_start=text))).committed


def test_a_row_with_shifted_columns_is_named(running: RunningGateway) -> None:
    response = running.send(table(row(1), row(2) + ",extra"))
    assert not response.committed
    assert response.errors[0].refusal.reason == "ROW_INVALID"
    assert response.errors[0].line_number == 3


def test_a_request_id_belongs_to_what_was_sent_under_it_first(running: RunningGateway) -> None:
    first = running.send(table(row(1)), request_id="import-1")
    assert running.send(table(row(1)), request_id="import-1") == first
    for data, source in ((table(row(1), row(2)), "test"), (table(row(1)), "another source")):
        with pytest.raises(DomainError) as refusal:
            running.send(data, request_id="import-1", source=source)
        assert refusal.value.symbol == "REQUEST_ID_REUSED"
    assert running.count() == 1
    # The id of a list that was known already is used up as well; that of a refused one is not.
    assert running.send(table(row(1)), request_id="import-2").list_import == first.list_import
    with pytest.raises(DomainError) as refusal:
        running.send(table(row(3)), request_id="import-2")
    assert refusal.value.symbol == "REQUEST_ID_REUSED"
    assert running.send(table(row(4, certificates="-1")), request_id="import-3").errors
    assert running.send(table(row(4)), request_id="import-3").committed
    # Another caller's ids are its own.
    assert running.send(table(row(5)), party="operator/440300/sz.registry", request_id="import-1").committed


def test_the_same_file_again_changes_nothing(running: RunningGateway) -> None:
    data = table(row(1), row(2))
    first = running.send(data)
    again = running.send(data, request_id="import-2")
    assert again.list_import.import_id == first.list_import.import_id
    imports = running.stub().ListImports(registry_pb2.ListImportsRequest(), timeout=WAIT_SECONDS)
    assert len(imports.imports) == 1


def test_the_list_with_the_latest_date_counts(running: RunningGateway) -> None:
    running.send(table(row(1)), as_of_date=values_pb2.Date(year=2026, month=3, day=2))
    running.send(table(row(2), row(3)), as_of_date=values_pb2.Date(year=2026, month=2, day=1))
    assert running.count() == 1
    listed = running.stub().ListRecords(registry_pb2.ListRecordsRequest(), timeout=WAIT_SECONDS)
    assert [record.reference for record in listed.records] == ["GEC-1"]


def test_a_preview_writes_nothing(running: RunningGateway) -> None:
    response = running.send(table(row(1)), validate_only=True)
    assert not response.committed
    assert response.list_import.accepted_count == 1
    assert running.count() == 0


@pytest.mark.parametrize(
    "start", [{"as_of_date": None}, {"file_name": ""}, {"source": ""}, {"request_id": "a b"}]
)
def test_an_order_without_what_it_needs_is_refused(running: RunningGateway, start: dict[str, Any]) -> None:
    with pytest.raises(DomainError):
        running.send(table(row(1)), **start)
    assert running.count() == 0


def test_an_unknown_mapping_is_refused(running: RunningGateway) -> None:
    with pytest.raises(DomainError) as refused:
        running.send(table(row(1)), mapping="../gec")
    assert refused.value.symbol == "FIELD_INVALID"


def test_a_region_may_not_import_nor_look_up(running: RunningGateway) -> None:
    with pytest.raises(DomainError) as refused:
        running.send(table(row(1)), party=SHANGHAI)
    assert refused.value.symbol == "CALLER_NOT_PERMITTED"
    with pytest.raises(DomainError) as refused:
        running.call(
            lambda: running.stub(SHANGHAI).LookUpAssets(
                registry_pb2.LookUpAssetsRequest(queries=[registry_pb2.AssetQuery()]), timeout=WAIT_SECONDS
            )
        )
    assert refused.value.symbol == "CALLER_NOT_PERMITTED"


@pytest.mark.parametrize("registry", ["ccer"], indirect=True)
def test_public_records_of_the_national_registry_are_read_in_their_own_shape(running: RunningGateway) -> None:
    document = {
        "records": [
            {
                "record_id": "r-1",
                "apply_id": "1526163848812433408",
                "project_name": "虚构造林项目",
                "owner": None,
                "asset_kind": "forest",
                "methodology_implied_by_type": "CCER-14-001-V01",
                "province_code": "420000",
                "certified_t_co2e": None,
                "object": "project",
                "stage": "notice",
            }
        ]
    }
    response = running.send(
        json.dumps(document, ensure_ascii=False).encode(), "records.json", mapping="ccer_public_records"
    )
    assert response.committed
    answer = running.stub(BRIDGE).LookUpAssets(
        registry_pb2.LookUpAssetsRequest(
            queries=[
                registry_pb2.AssetQuery(
                    references=[claims_pb2.AssetReference(scheme="ccer", value="1526163848812433408")]
                )
            ]
        ),
        timeout=WAIT_SECONDS,
    )
    record = answer.answers[0].records[0]
    assert record.status == claims_pb2.CLAIM_STATUS_NOTICE
    assert record.attribute == claims_pb2.ATTRIBUTE_CARBON_STOCK


@pytest.mark.parametrize("registry", ["ccer"], indirect=True)
@pytest.mark.parametrize(
    ("data", "symbol"),
    [
        (b"{", "ROW_INVALID"),
        (b"[]", "FILE_EMPTY"),
        (b'{"other": []}', "COLUMN_MISSING"),
        (b"\xff\xfe", "FILE_NOT_UTF8"),
    ],
)
def test_a_bad_json_file_is_refused_as_a_whole(running: RunningGateway, data: bytes, symbol: str) -> None:
    with pytest.raises(DomainError) as refused:
        running.send(data, "records.json", mapping="ccer_public_records")
    assert refused.value.symbol == symbol


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=False)
@pytest.mark.timeout(300)
def test_a_large_file_with_one_bad_row_names_it_and_writes_nothing(
    running: RunningGateway, database_kind: str
) -> None:
    assert database_kind == "sqlite"
    bad_row = 70_000
    rows = [row(number, certificates="x" if number == bad_row else "1") for number in range(1, 100_001)]
    response = running.send(table(*rows))
    assert response.list_import.row_count == 100_000
    assert [(error.line_number, error.column) for error in response.errors] == [(bad_row + 1, "certificates")]
    assert running.count() == 0


@pytest.mark.parametrize("path", sorted(LISTS.glob("*.csv")), ids=lambda path: path.stem)
def test_every_list_of_the_museum_is_refused_for_what_its_name_says(
    running: RunningGateway, path: Path
) -> None:
    symbol = path.stem.partition(".")[0].upper().replace("-", "_")
    assert _symbols(running, path.read_bytes()) == {symbol}
    assert running.count() == 0


def _symbols(running: RunningGateway, data: bytes) -> set[str]:
    """Give the reasons for which a file, or its rows, are refused; empty if it was taken."""
    try:
        response = running.send(data)
    except DomainError as refused:
        return {refused.symbol}
    return set() if response.committed else {error.refusal.reason for error in response.errors}
