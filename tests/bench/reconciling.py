"""How soon reconciliation names one altered block among a million: real processes, real databases.

The books are written straight into the tables, half of the blocks held and half used, so that no two of them
are one block; then a row of the region is altered, and the bridge is asked to reconcile.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import reconcile_pb2, reconcile_pb2_grpc
from tanqiao.cli.local.members import BRIDGE_MEMBER, SHANGHAI, Member
from tanqiao.db.guards import install, remove
from tanqiao_bridge.settings import load_settings as bridge_settings
from tanqiao_bridge.storage import schema as bridge_schema
from tanqiao_region.settings import load_settings as region_settings
from tanqiao_region.storage import schema as region_schema
from tests.bench.bench import Bench
from tests.bench.processes import Federation
from tests.bench.results import Result

BLOCKS: Final = 1_000_000
BLOCKS_QUICK: Final = 2_000
BLOCK_KG: Final = 10
SIGNATURE_ID: Final = 1_000_000_000
"""Far behind those that the bridge has given."""
REGION: Final = "region/310000"
READER: Final = "reader/national"
SERIES: Final = "310000:SH_SHCER:P-BENCH:2026:1"
WAIT_SECONDS: Final = 120.0
LOOK_SECONDS: Final = 0.05
ROWS_PER_FETCH: Final = 20_000

_SERIES_COLUMNS: Final = "programme, source_id, vintage_year, batch_number, methodology_id, unit_class"
_SERIES_VALUES: Final = "'SH_SHCER', 'P-BENCH', 2026, 1, 'SHCER01010012024I', 'I'"


def measure(bench: Bench, database: str) -> list[Result]:
    """Measure from the question until the altered block is named, frozen and in the log."""
    count = bench.scaled(BLOCKS, BLOCKS_QUICK)
    federation = bench.federation(database)
    members = (BRIDGE_MEMBER, SHANGHAI)
    federation.start(members)
    for member in members:
        federation.kill(member)
    _fill(federation, count)
    federation.start(members)
    stub = reconcile_pb2_grpc.ReconcileServiceStub(federation.channel(BRIDGE_MEMBER, READER))
    _wait_clean(stub)
    engine = sa.create_engine(_url(federation, SHANGHAI))
    seconds: list[float] = []
    limit: list[float] = []
    for number in range(1 if bench.quick else bench.rounds):
        serial = (count // 2 + 2 * number) * BLOCK_KG
        _alter(engine, serial, state=5)
        start = time.perf_counter()
        _named(stub, serial)
        seconds.append(time.perf_counter() - start)
        _alter(engine, serial, state=1)
        limit.append(_bare(engine))
    engine.dispose()
    words = "a program that reads the region's rows once and hashes them with SHA-256"
    title = f"reconciliation of {count} blocks, one altered: until it is named"
    return [Result("reconcile", title, database, "s", tuple(seconds), tuple(limit), words)]


def _url(federation: Federation, member: Member) -> str:
    load: Any = bridge_settings if member is BRIDGE_MEMBER else region_settings
    settings = load(federation.home.config(member))
    return str(settings.owner_database_url or settings.database_url)


def _numbers(dialect: str, count: int) -> str:
    if dialect == "sqlite":
        return (
            f"(WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {count - 1}) "
            "SELECT i FROM n) AS n"
        )
    return f"generate_series(0, {count - 1}) AS n(i)"


def _fill(federation: Federation, count: int) -> None:
    """Write one series of alternating blocks into both books, as of the log's first leaf."""
    end = count * BLOCK_KG
    for member, schema, statements in (
        (
            BRIDGE_MEMBER,
            bridge_schema,
            (
                (
                    f"INSERT INTO series (series_id, region, {_SERIES_COLUMNS}, log_index) "
                    f"VALUES ('{SERIES}', '{REGION}', {_SERIES_VALUES}, 0)"
                ),
                (
                    "INSERT INTO signature (signature_id, payload_type, size, hashes, signatures) "
                    f"VALUES ({SIGNATURE_ID}, 'bench', 0, {{empty}}, {{empty}})"
                ),
                (
                    "INSERT INTO issue (region, issue_id, message_hash, payload, receipt_payload, "
                    "receipt_hash, accepted, series_id, start_serial, end_serial, claim_id, log_index, "
                    "signature_id, item_index) "
                    f"VALUES ('{REGION}', {{empty}}, {{empty}}, {{empty}}, {{empty}}, {{empty}}, "
                    f"{{true}}, '{SERIES}', 0, {end}, '', 0, {SIGNATURE_ID}, 0)"
                ),
                (
                    "INSERT INTO location (series_id, start_serial, end_serial, region, state, log_index) "
                    f"SELECT '{SERIES}', i * {BLOCK_KG}, (i + 1) * {BLOCK_KG}, '{REGION}', 1 + (i & 1), 0 "
                    "FROM {numbers}"
                ),
            ),
        ),
        (
            SHANGHAI,
            region_schema,
            (
                (
                    f"INSERT INTO series (series_id, region_code, {_SERIES_COLUMNS}) "
                    f"VALUES ('{SERIES}', '310000', {_SERIES_VALUES})"
                ),
                (
                    "INSERT INTO account (account_id, kind, state, display_name, uscc, seat, invented, "
                    "pseudonym, opened_at, opened_by, suspense_of) "
                    "VALUES ('ABENCH', 3, 1, '', '', '', {true}, {empty}, 0, '', '')"
                ),
                "INSERT INTO node_state (name, value) VALUES ('applied_log_index', '0')",
                (
                    "INSERT INTO holding (series_id, start_serial, end_serial, account_id, state, "
                    "transfer_id) "
                    f"SELECT '{SERIES}', i * {BLOCK_KG}, (i + 1) * {BLOCK_KG}, 'ABENCH', "
                    "1 + 3 * (i & 1), {empty} FROM {numbers}"
                ),
            ),
        ),
    ):
        _write(_url(federation, member), schema.GUARDS, statements, count)


def _write(url: str, guards: Sequence[Any], statements: Sequence[str], count: int) -> None:
    engine = sa.create_engine(url)
    sqlite = engine.dialect.name == "sqlite"
    words = {
        "empty": "x''" if sqlite else "''::bytea",
        "true": "1" if sqlite else "TRUE",
        "numbers": _numbers(engine.dialect.name, count),
    }
    with engine.begin() as connection:
        remove(connection, guards)
        for statement in statements:
            connection.exec_driver_sql(statement.format(**words))
        install(connection, guards)
    engine.dispose()


def _alter(engine: sa.Engine, serial: int, *, state: int) -> None:
    with engine.begin() as connection:
        changed = connection.execute(
            sa.text("UPDATE holding SET state = :state WHERE series_id = :series AND start_serial = :serial"),
            {"state": state, "series": SERIES, "serial": serial},
        )
        if changed.rowcount != 1:
            raise RuntimeError(f"no block begins at {serial}")


def _run(stub: Any, known: bytes) -> reconcile_pb2.Reconciliation:
    """Wait for a run that has ended and is not the known one."""
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until:
        for one in _list(stub):
            if one.run_id != known and one.state != reconcile_pb2.RECONCILE_STATE_RUNNING:
                return one
        time.sleep(LOOK_SECONDS)
    raise TimeoutError("no reconciliation has ended")


def _list(stub: Any) -> list[reconcile_pb2.Reconciliation]:
    request = reconcile_pb2.ListReconciliationsRequest(region=REGION)
    return list(stub.ListReconciliations(request, timeout=WAIT_SECONDS).reconciliations)


def _ask(stub: Any) -> reconcile_pb2.Reconciliation:
    known = next((one.run_id for one in _list(stub)), b"")
    request = reconcile_pb2.StartReconciliationRequest(
        region=REGION, depth=reconcile_pb2.RECONCILE_DEPTH_FULL
    )
    until = time.monotonic() + WAIT_SECONDS
    while not stub.StartReconciliation(request, timeout=WAIT_SECONDS).asked_regions:
        if time.monotonic() > until:
            raise TimeoutError("the region is not on the line")
        time.sleep(LOOK_SECONDS)
    return _run(stub, known)


def _wait_clean(stub: Any) -> None:
    first = _ask(stub)
    if first.state != reconcile_pb2.RECONCILE_STATE_CLEAN:
        raise RuntimeError(f"the books differ before anything was altered: {first.bad_blocks[:1]}")


def _named(stub: Any, serial: int) -> None:
    found = _ask(stub)
    bad = [(one.block.start_serial, one.block.end_serial) for one in found.bad_blocks]
    if bad != [(serial, serial + BLOCK_KG)]:
        raise RuntimeError(f"named {bad[:3]}, altered {serial}")


def _bare(engine: sa.Engine) -> float:
    start = time.perf_counter()
    digest = hashlib.sha256()
    with engine.connect().execution_options(yield_per=ROWS_PER_FETCH) as connection:
        result = connection.exec_driver_sql(
            "SELECT series_id, start_serial, end_serial, state FROM holding ORDER BY 1, 2"
        )
        for part in result.partitions():
            for row in part:
                digest.update(repr(tuple(row)).encode())
    return time.perf_counter() - start
