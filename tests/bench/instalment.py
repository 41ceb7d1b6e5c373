"""One instalment of very many metered records: a file taken in, quantified and issued in one batch.

Bridge and regions run in this process, so that what the statements of the region's database take can be told
from the rest. The commits are not in that part.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import grpc
import sqlalchemy as sa

from tanqiao.api.common.v1 import values_pb2
from tanqiao.api.region.v1 import registers_pb2
from tanqiao.db import direct, embedded_postgres
from tanqiao.db.direct import cursor_of
from tanqiao.db.engine import Database
from tanqiao.rpc.errors import from_rpc_error
from tanqiao.rpc.protocol_facts import date_message
from tanqiao.testing.databases import DatabaseMaker
from tests.bench.bench import Bench, timed
from tests.bench.results import Result
from tests.contract.region.harness import SHANGHAI
from tests.contract.region.market import Market, request_id
from tests.contract.region.served import full_network
from tests.contract.region.trio import Trio, trio
from tests.contract.region.world import import_parts
from tests.contract.region_registers.approvals import approve_issuance
from tests.contract.region_registers.office import PROJECT

RECORDS: Final = 100_000
FIRST_DAY: Final = date(2026, 1, 1)
DAYS: Final = 50
WH_PER_RECORD: Final = 5_000
CALL_SECONDS: Final = 600.0
BUSY_SECONDS: Final = 0.2
KINDS: Final = {"sqlite": "sqlite", "postgres": "postgresql"}
HANDS: Final = (("operator/310000/sh.centre", 1), ("operator/310000/sh.bureau", 1))
"""The project has been issued to in this year: the bureau approves beside the centre."""


class TimedCursor:
    """A cursor of the driver whose time is added to a clock.

    Args:
        clock: told the seconds.
        cursor: the driver's.
    """

    def __init__(self, clock: Clock, cursor: Any) -> None:
        self._clock = clock
        self._cursor = cursor

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._cursor, name)
        return self._timed(found) if name in {"execute", "executemany", "fetchall"} else found

    def _timed(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: object) -> Any:
            began = time.perf_counter()
            try:
                return work(*arguments)
            finally:
                self._clock.seconds += time.perf_counter() - began

        return run


@dataclass(slots=True)
class Clock:
    """Seconds that the statements of one database took.

    Args:
        engines: those of the database.
    """

    engines: tuple[sa.Engine, ...]
    seconds: float = 0.0

    def before(self, connection: sa.Connection, *_: object) -> None:
        """Note when a statement begins."""
        connection.info["began"] = time.perf_counter()

    def after(self, connection: sa.Connection, *_: object) -> None:
        """Add what it took."""
        if connection.engine in self.engines:
            self.seconds += time.perf_counter() - connection.info["began"]

    def cursor_of(self, connection: sa.Connection) -> Any:
        """Give the cursor of a statement that SQLAlchemy does not execute."""
        cursor = cursor_of(connection)
        return TimedCursor(self, cursor) if connection.engine in self.engines else cursor


def measure(bench: Bench, database: str) -> list[Result]:
    """Measure one instalment on a database."""
    count = bench.scaled(RECORDS, 2_000)
    folder = bench.folder / f"instalment-{database}"
    folder.mkdir()
    with (
        _maker(folder, database) as maker,
        trio(full_network(folder / "network"), maker, KINDS[database]) as nodes,
        _clock(nodes.running[SHANGHAI].database) as clock,
    ):
        bench.report(f"an instalment of {count:,} records on {database}")
        imported, _ = timed(lambda: _import(nodes.market, count))
        issued, quantity_kg = timed(lambda: _issue(nodes))
        share = clock.seconds / (imported + issued)
    note = (
        f"{count:,} records: {imported:.1f} s to take the file in, {issued:.1f} s to quantify and issue "
        f"{quantity_kg:,} kg; {share:.0%} of it in statements of the database ({database})"
    )
    rate = (count / (imported + issued),)
    return [Result("instalment", "records imported, issued at once", database, "records/s", rate, note=note)]


@contextmanager
def _maker(folder: Path, database: str) -> Iterator[DatabaseMaker]:
    server = folder / "postgres"
    yield DatabaseMaker(folder, lambda: embedded_postgres.start(server))
    if database == "postgres":
        embedded_postgres.remove(server)


@contextmanager
def _clock(database: Database) -> Iterator[Clock]:
    with database.reading() as reading:
        engines = [reading.engine]
    with database.writing() as writing:
        engines.append(writing.engine)
    clock = Clock(tuple(engines))
    listened = (("before_cursor_execute", clock.before), ("after_cursor_execute", clock.after))
    for name, heard in listened:
        sa.event.listen(sa.Engine, name, heard)
    with patch.object(direct, "cursor_of", clock.cursor_of):
        yield clock
    for name, heard in listened:
        sa.event.remove(sa.Engine, name, heard)


def _import(market: Market, count: int) -> None:
    rows = ["period,on_grid_wh,meter"]
    for day in (FIRST_DAY + timedelta(days=number) for number in range(DAYS)):
        period = f"{day}/{day + timedelta(days=1)}"
        rows += [f"{period},{WH_PER_RECORD},M-{meter}" for meter in range(count // DAYS)]
    parts = import_parts("\n".join([*rows, ""]).encode())
    taken = market.issuance("sh.project_applicant").ImportActivity(iter(parts), timeout=CALL_SECONDS)
    if not taken.committed or taken.accepted_count != count:
        raise RuntimeError(f"the file was not taken: {taken}")


def _until_answered(call: Callable[[], Any]) -> Any:
    """Send the same request again where the node says that it is busy, as its clients do."""
    until = time.monotonic() + CALL_SECONDS
    while True:
        try:
            return call()
        except grpc.RpcError as error:
            refusal = from_rpc_error(error)
            if refusal.symbol != "BUSY" or time.monotonic() > until:
                raise refusal from error
            time.sleep(BUSY_SECONDS)


def _issue(nodes: Trio) -> int:
    request = registers_pb2.IssueUnitsRequest(
        request_id=request_id(),
        project_id=PROJECT,
        period=values_pb2.Period(
            start_date=date_message(FIRST_DAY.isoformat()),
            end_date=date_message((FIRST_DAY + timedelta(days=DAYS)).isoformat()),
        ),
        override_reason="虚构 invented",
        audit=registers_pb2.IssuanceAudit(
            passed=True, audit_date=date_message("2026-03-01"), body="虚构 invented"
        ),
    )
    approve_issuance(nodes.network, request, *HANDS)
    issuances: Any = nodes.market.issuance("sh.centre")
    made = _until_answered(lambda: issuances.IssueUnits(request, timeout=CALL_SECONDS).issuance)
    asked = registers_pb2.GetIssuanceRequest(issuance_id=made.issuance_id)
    nodes.market.wait(
        lambda: (
            issuances.GetIssuance(asked, timeout=CALL_SECONDS).issuance.state
            == registers_pb2.ISSUANCE_STATE_ISSUED
        ),
        "the instalment has been issued",
    )
    return int(made.quantity_kg)
