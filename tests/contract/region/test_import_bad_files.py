"""Files of activity that are bad in every way.

Told line by line, or refused as a whole, and never half-written.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest

from tanqiao.api.region.v1 import registers_pb2, registers_pb2_grpc
from tanqiao.testing.databases import DatabaseMaker
from tanqiao.testing.network import NetworkOfTest
from tests.contract.region.conftest import _migrated
from tests.contract.region.harness import SHANGHAI, build_node
from tests.contract.region.served import REGION, Refused, Served, full_network
from tests.contract.region.world import fresh_id, import_parts
from tests.contract.region_registers.claim_bridge import ClaimBridge
from tests.contract.region_registers.office import Office

METHOD = f"{REGION}IssuanceService/ImportActivity"
ROLE = "sh.project_applicant"
HEADER = "period,on_grid_wh,self_use_wh,meter\n"
MANY_ROWS = 200_000
"""A fifth of the million that the issue names: a million takes over a minute on two busy cores."""
RESIDENT_GROWTH_BYTES_MAX = 48 << 20
CHUNK_BYTES = 200_000


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> NetworkOfTest:
    """A network in which every role has its operator."""
    return full_network(tmp_path_factory.mktemp("full-network"))


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def served(
    request: pytest.FixtureRequest, network: NetworkOfTest, database_maker: DatabaseMaker
) -> Iterator[Served]:
    """Shanghai with a published project."""
    with ExitStack() as stack:
        bridge = ClaimBridge(network)
        stack.callback(bridge.stop)
        made = database_maker.make(request.param, _migrated, "region")
        stack.callback(database_maker.drop, made)
        node = build_node(network, SHANGHAI, (made.url, made.owner_url), bridge.start())
        stack.callback(node.region.stop)
        node.region.start()
        one = Served(network, node)
        stack.callback(one.close)
        Office(node, node.open_account().account_id).published()
        yield one


def send(served: Served, data: bytes, **start: Any) -> Any:
    """Send a file."""
    return served.call(METHOD, import_parts(data, **start), ROLE)


def rows(*lines: str) -> bytes:
    """Give a CSV file."""
    return (HEADER + "".join(f"{line}\n" for line in lines)).encode()


def count_of(served: Served, what: str) -> int:
    """Count rows."""
    with served.node.region.database.reading() as connection:
        return int(connection.exec_driver_sql(f"SELECT count(*) FROM {what}").scalar() or 0)


def spools() -> set[str]:
    """Give the temporary files of imports that are there."""
    return {path.name for path in Path(tempfile.gettempdir()).glob("activity-*")}


REFUSED_WHOLE = {
    "empty": (b"", "FILE_EMPTY"),
    "a byte order mark alone": (b"\xef\xbb\xbf", "FILE_EMPTY"),
    "a header alone": (HEADER.encode(), "FILE_EMPTY"),
    "blank lines alone": (HEADER.encode() + b"\n\n\r\n", "FILE_EMPTY"),
    "GBK": ((HEADER + "2025-01,1,1,电表\n").encode("gbk"), "FILE_NOT_UTF8"),
    "UTF-16": ((HEADER + "2025-01,1,1,M\n").encode("utf-16"), "FILE_NOT_UTF8"),
    "a broken character far down": (
        rows(*(f"2025-01,1,1,M{n}" for n in range(5000))) + b"\xff\n",
        "FILE_NOT_UTF8",
    ),
    "another unit": (b"period,on_grid_kwh\n2025-01,1\n", "FIELD_INVALID"),
    "a column twice": (b"period,period,on_grid_wh\n2025-01,2025-01,1\n", "FIELD_INVALID"),
    "a column missing": (b"period,meter\n2025-01,M\n", "COLUMN_MISSING"),
    "no header": (b"2025-01,5,5,M\n", "FIELD_INVALID"),
    "semicolons": (b"period;on_grid_wh\n2025-01;1\n", "FIELD_INVALID"),
    "one endless line": (HEADER.encode() + b"x" * 70_000, "ROW_INVALID"),
    "an unclosed quote": (HEADER.encode() + b'"2025-01,1,1,M\n' + b"a\n" * 10, None),
    "NUL bytes": (HEADER.encode() + b"2025-01,1,1,M\x00\n", None),
}
"""Name → file, reason; None: told as a row."""


@pytest.mark.parametrize("name", REFUSED_WHOLE)
def test_a_file_that_cannot_be_read_is_refused_with_its_reason_and_changes_nothing(
    name: str, served: Served
) -> None:
    data, symbol = REFUSED_WHOLE[name]
    before = served.digest()
    answer = send(served, data)
    if symbol is None:
        assert not isinstance(answer, Refused), answer
        assert not answer.committed
        assert answer.rejected_count >= 1
        assert answer.errors[0].refusal.sentence_zh
    else:
        assert isinstance(answer, Refused), answer
        assert answer.require_whole().symbol == symbol, answer.sentences
    assert served.digest() == before


BAD_ROWS = {
    "a negative quantity": ("2025-02,-5,0,M", "on_grid_wh", "FIELD_INVALID"),
    "a fraction": ("2025-02,1.5,0,M", "on_grid_wh", "FIELD_INVALID"),
    "no number": ("2025-02,viel,0,M", "on_grid_wh", "FIELD_INVALID"),
    "an empty quantity": ("2025-02,,0,M", "on_grid_wh", "FIELD_MISSING"),
    "a quantity beyond every plant": (f"2025-02,{10**23},0,M", "on_grid_wh", "FIELD_INVALID"),
    "more than the plant has": ("2025-02,999999999999,0,M", "on_grid_wh", "FIELD_INVALID"),
    "a month that is none": ("2025-13,1,0,M", "period", None),
    "a reversed period": ("2025-03-01/2025-02-01,1,0,M", "period", "RANGE_REVERSED"),
    "a month outside of the crediting period": ("2020-01,1,0,M", "period", "PERIOD_OUTSIDE_CLAIM"),
    "a month that is not over": ("2027-01,1,0,M", "period", "DATE_NOT_ALLOWED"),
    "moments of another time zone": (
        "2025-01-31T16:00:00Z/2025-02-28T16:00:00Z,1,0,M",
        "period",
        "FIELD_INVALID",
    ),
    "days with an offset": ("2025-02-01+00:00/2025-03-01+00:00,1,0,M", "period", "FIELD_INVALID"),
    "an over-long meter": (f"2025-02,1,0,{'M' * 65}", "meter", "TEXT_TOO_LONG"),
    "a cell too many": ("2025-02,1,0,M,extra", "", "ROW_INVALID"),
    "a cell too few": ("2025-02,1", "", "ROW_INVALID"),
    "a formula": ("2025-02,=1+1,0,M", "on_grid_wh", "FIELD_INVALID"),
    "full-width digits": ("2025-02,１２,0,M", "on_grid_wh", "FIELD_INVALID"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_one_bad_row_is_named_with_line_and_column_and_nothing_of_the_file_is_kept(
    name: str, served: Served
) -> None:
    line, column, symbol = BAD_ROWS[name]
    before = served.digest()
    answer = send(served, rows("2025-01,1,0,OK-1", line, "2025-03,1,0,OK-2"))
    assert not isinstance(answer, Refused), answer
    assert (answer.row_count, answer.rejected_count, answer.committed) == (3, 1, False)
    (error,) = answer.errors
    assert (error.line_number, error.column) == (3, column)
    assert symbol in (None, error.refusal.reason), error
    assert error.refusal.sentence_zh
    assert error.refusal.sentence_en
    assert served.digest() == before


def test_a_row_twice_in_the_file_and_one_that_overlaps_are_both_named(served: Served) -> None:
    before = served.digest()
    answer = send(
        served,
        rows("2025-04,1,0,D", "2025-04,1,0,D", "2025-06,1,0,D", "2025-06-15/2025-07-15,1,0,D"),
    )
    assert not answer.committed
    assert [(error.line_number, error.refusal.reason) for error in answer.errors] == [
        (3, "DUPLICATE_KEY"),
        (5, "RANGE_OVERLAP"),
    ]
    assert served.digest() == before


def test_the_past_again_changes_nothing_and_another_past_is_named(served: Served) -> None:
    first = send(served, rows("2025-04,4,0,PAST", "2025-05,5,0,PAST"))
    assert first.committed
    batches = count_of(served, "activity_batch")
    # The same rows under a new id, CRLF and a byte order mark included: known, so that no batch is made of
    # them.
    again = send(
        served, b"\xef\xbb\xbf" + rows("2025-05,5,0,PAST", "2025-04,4,0,PAST").replace(b"\n", b"\r\n")
    )
    assert not isinstance(again, Refused), again
    assert (again.accepted_count, again.committed) == (2, True)
    changed = send(served, rows("2025-04,4,0,PAST", "2025-05,6,0,PAST", "2025-06,6,0,PAST"))
    assert not changed.committed
    assert [(error.line_number, error.refusal.reason) for error in changed.errors] == [(3, "DUPLICATE_KEY")]
    assert count_of(served, "activity WHERE meter = 'PAST'") == 2
    assert count_of(served, "activity_batch") == batches


def test_the_same_request_again_gets_the_first_answer_and_another_file_is_refused(served: Served) -> None:
    request_id = fresh_id()
    data = rows("2025-07,7,0,AGAIN")
    first = send(served, data, request_id=request_id)
    before = served.digest()
    assert send(served, data, request_id=request_id) == first
    other = send(served, rows("2025-08,7,0,AGAIN"), request_id=request_id)
    assert isinstance(other, Refused)
    assert other.require_whole().symbol == "REQUEST_ID_REUSED"
    assert served.digest() == before


def test_json_lines_are_held_against_the_same_rules(served: Served) -> None:
    before = served.digest()
    lines = [
        '{"period": "2025-09", "on_grid_wh": 1, "meter": "J"}',
        '{"period": "2025-10", "on_grid_wh": 1.5, "meter": "J"}',
        '{"period": "2025-11", "on_grid_kwh": 1}',
        "[1, 2]",
        '{"period": "2025-12", "on_grid_wh": true}',
        '{"period": 202512, "on_grid_wh": 1}',
        "{" * 2000,
        '{"period": "2025-12", "on_grid_wh": ' + "9" * 5000 + "}",
    ]
    answer = send(served, "\n".join(lines).encode(), kind=2)
    assert not isinstance(answer, Refused), answer
    assert (answer.row_count, answer.rejected_count, answer.committed) == (8, 7, False)
    assert [error.line_number for error in answer.errors] == [2, 3, 4, 5, 6, 7, 8]
    assert served.digest() == before


# -- cut off
# ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut_after", [0, 1, 5])
def test_a_stream_that_its_client_cuts_off_leaves_nothing_behind(cut_after: int, served: Served) -> None:
    """What came before the cut is a whole, valid file: it must not pass for the one that was meant."""
    before, spooled = served.digest(), spools()
    for attempt in range(6):
        waiting, sent = threading.Event(), threading.Event()
        piece = "".join(f"2025-01,1,0,CUT-{attempt}-{number}\n" for number in range(1000)).encode()

        def parts(
            piece: bytes = piece, waiting: threading.Event = waiting, sent: threading.Event = sent
        ) -> Iterator[Any]:
            yield import_parts(HEADER.encode())[0]
            yield registers_pb2.ImportActivityRequest(chunk=HEADER.encode())
            for number in range(cut_after):
                yield registers_pb2.ImportActivityRequest(chunk=piece.replace(b"CUT", f"C{number}".encode()))
            sent.set()
            waiting.wait(10)

        stub = registers_pb2_grpc.IssuanceServiceStub(served.channel(ROLE))
        call = stub.ImportActivity.future(parts(), timeout=60)
        assert sent.wait(10)
        if attempt % 2:
            threading.Event().wait(0.1)
        call.cancel()
        waiting.set()
        with pytest.raises((grpc.RpcError, grpc.FutureCancelledError)):
            call.result()
    # An order behind the cut ones: the writer has worked off whatever it was given.
    served.node.run(lambda _group: None)
    deadline = threading.Event()
    for _ in range(50):
        if spools() <= spooled:
            break
        deadline.wait(0.1)
    assert spools() <= spooled
    assert served.digest() == before


# -- large
# -----------------------------------------------------------------------------------------------------


def resident_bytes() -> int:
    """Give the memory that this process has in use."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


def large_file(count: int, bad_line: int) -> Iterator[bytes]:
    """Give a large file in chunks; the row at one line is bad."""
    buffer = bytearray(HEADER.encode())
    for number in range(count):
        year, month = 2025, number % 12 + 1
        quantity = "-1" if number + 2 == bad_line else "1000"
        buffer += f"{year}-{month:02d},{quantity},0,L-{number // 12}\n".encode()
        if len(buffer) >= CHUNK_BYTES:
            yield bytes(buffer)
            buffer.clear()
    yield bytes(buffer)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_one_bad_row_in_a_very_long_file_is_named_and_memory_does_not_grow_with_the_file(
    served: Served,
) -> None:
    before = served.digest()
    stub = registers_pb2_grpc.IssuanceServiceStub(served.channel(ROLE))
    growth = []
    for count in (MANY_ROWS // 10, MANY_ROWS):
        bad_line = count - 17
        peak = [resident_bytes()]
        done = threading.Event()

        def watch(peak: list[int] = peak, done: threading.Event = done) -> None:
            while not done.wait(0.02):
                peak.append(resident_bytes())

        watcher = threading.Thread(target=watch)
        watcher.start()

        def parts(count: int = count, bad_line: int = bad_line) -> Iterator[Any]:
            yield import_parts(b"")[0]
            for chunk in large_file(count, bad_line):
                yield registers_pb2.ImportActivityRequest(chunk=chunk)

        answer = stub.ImportActivity(parts(), timeout=150)
        done.set()
        watcher.join()
        growth.append(max(peak) - peak[0])
        assert (answer.row_count, answer.rejected_count, answer.committed) == (count, 1, False)
        assert [(error.line_number, error.column) for error in answer.errors] == [(bad_line, "on_grid_wh")]
    print(f"resident growth: {[one >> 20 for one in growth]} MiB for {MANY_ROWS // 10} and {MANY_ROWS} rows")
    assert growth[1] < RESIDENT_GROWTH_BYTES_MAX
    assert served.digest() == before


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_file_of_bad_rows_alone_shows_the_first_thousand_and_counts_them_all(served: Served) -> None:
    before = served.digest()
    answer = send(served, rows(*("2025-01,-1,0,M" for _ in range(20_000))))
    assert not isinstance(answer, Refused), answer
    assert (answer.rejected_count, len(answer.errors), answer.committed) == (20_000, 1000, False)
    assert served.digest() == before
