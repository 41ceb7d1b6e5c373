"""How soon a node serves, and what it holds when nobody asks it anything."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Final

from tanqiao.cli.local.members import BRIDGE_MEMBER, GEC, SHANGHAI, Member
from tests.bench.bench import Bench
from tests.bench.machine import resident_mb
from tests.bench.processes import Federation
from tests.bench.results import Result

MEASURED: Final = (BRIDGE_MEMBER, SHANGHAI, GEC)
SETTLE_SECONDS: Final = 2.0
BARE: Final = (
    "import grpc, google.protobuf, sqlalchemy, alembic, psycopg, sqlite3\n"
    "import cryptography.x509, structlog, click\n"
    "print('ready', flush=True)\n"
    "input()\n"
)
BARE_WORDS: Final = "a Python that imports the same libraries, says so, and waits"


def measure(bench: Bench, database: str) -> list[Result]:
    """Measure starts on a database that exists already, and resident memory some time after."""
    federation = bench.federation(database)
    federation.start((BRIDGE_MEMBER,))
    bare = [_bare() for _ in range(bench.rounds)]
    results = []
    for member in MEASURED:
        seconds, sizes = _starts(bench, federation, member)
        name = member.name if member is not SHANGHAI else "region"
        results += [
            Result(
                "nodes",
                f"{name}: start to serving",
                database,
                "s",
                tuple(seconds),
                tuple(second for second, _ in bare),
                BARE_WORDS,
            ),
            Result(
                "nodes",
                f"{name}: resident when idle",
                database,
                "MB",
                tuple(sizes),
                tuple(size for _, size in bare),
                BARE_WORDS,
            ),
        ]
    return results


def _starts(bench: Bench, federation: Federation, member: Member) -> tuple[list[float], list[float]]:
    """Start a node again and again; the first start, which makes its tables, does not count."""
    federation.start((member,))
    seconds, sizes = [], []
    for _ in range(bench.rounds):
        federation.kill(member)
        seconds.append(federation.start_seconds(member))
        time.sleep(0.2 if bench.quick else SETTLE_SECONDS)
        sizes.append(resident_mb(federation.pid(member)))
    return seconds, sizes


def _bare() -> tuple[float, float]:
    start = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", BARE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        if process.stdout is None or process.stdin is None:
            raise RuntimeError("the bare program has no pipes")
        process.stdout.readline()
        seconds = time.perf_counter() - start
        size = resident_mb(process.pid)
        process.stdin.write("\n")
        process.stdin.close()
    return seconds, size
