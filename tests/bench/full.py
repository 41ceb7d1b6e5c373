"""`make bench-full`: a claim check on one, ten and fifty million claims, and a search over two large lists.

Bounded: a size that the disk or the time does not allow is made smaller or left out; the report says so.
"""

from __future__ import annotations

import itertools
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from tanqiao.api.bridge.v1 import claims_pb2, claims_pb2_grpc
from tanqiao.cli.local.members import BRIDGE_MEMBER
from tests.bench import claims, searching
from tests.bench.bare_index import bare_index
from tests.bench.command import WIDTH_MIN, show
from tests.bench.lists import import_lists
from tests.bench.loading import Index, index_of
from tests.bench.machine import machine_facts
from tests.bench.many_claims import CLAIMS_PER_ASSET, SHAPES, claim
from tests.bench.played import SHANGHAI
from tests.bench.processes import BRIDGE_AND_GATEWAYS, Federation
from tests.bench.results import Report, Result

MILLION: Final = 1_000_000
POSTGRES_CLAIMS: Final = (MILLION, 10 * MILLION, 50 * MILLION)
SQLITE_CLAIMS: Final = (MILLION, 5 * MILLION)
RECORDS: Final = 100_000
MINUTES: Final = 120
FREE_GB: Final = 5.0
GIGABYTE: Final = 10**9
LOAD_ROOM: Final = 1.25
"""While indexes are made, a load takes up to so many times what it leaves."""
BYTES_PER_CLAIM_GUESS: Final = 900
CLAIMS_PER_SECOND_GUESS: Final = 15_000
CHECKS: Final = 1_000
CHECKS_BEFORE: Final = 200
GROWTH_WANTED: Final = 1.5
LISTED_PLANTS: Final = 2_000
DECLARED_BATCHES: Final = 20
WAIT_SECONDS: Final = 60.0
PARTS: Final = ("search", "postgres", "sqlite")
_LISTS_SEEN: Final = "SELECT count(*) FROM node_state WHERE name LIKE 'list_seen/%' AND value <> ''"


@dataclass(slots=True)
class Room:
    """What a run may use.

    Args:
        folder: on the disk that is filled.
        until: monotonic end of the run, in seconds.
        free_bytes: that stay free.
    """

    folder: Path
    until: float
    free_bytes: int
    bytes_per_claim: float = BYTES_PER_CLAIM_GUESS
    claims_per_second: float = CLAIMS_PER_SECOND_GUESS

    def most_claims(self, loaded: int) -> int:
        """Give how many claims there may be in all, for the disk and for the time."""
        free = shutil.disk_usage(self.folder).free - self.free_bytes
        by_disk = free / (self.bytes_per_claim * LOAD_ROOM)
        by_time = (self.until - time.monotonic()) * self.claims_per_second
        return loaded + max(0, int(min(by_disk, by_time)) // MILLION * MILLION)


@click.command()
@click.option("--claims", "sizes", multiple=True, type=click.IntRange(1), help="Sizes on PostgreSQL.")
@click.option(
    "--sqlite-claims", "sqlite_sizes", multiple=True, type=click.IntRange(1), help="Sizes on SQLite."
)
@click.option(
    "--records", default=RECORDS, show_default=True, type=click.IntRange(1), help="Rows of each list."
)
@click.option(
    "--minutes",
    default=MINUTES,
    show_default=True,
    type=click.IntRange(1),
    help="No load begins that would end later.",
)
@click.option("--free-gb", default=FREE_GB, show_default=True, help="That stay free on the disk.")
@click.option("--only", multiple=True, type=click.Choice(PARTS), help="Parts; may be given again.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False))
def main(
    *,
    sizes: tuple[int, ...],
    sqlite_sizes: tuple[int, ...],
    records: int,
    minutes: int,
    free_gb: float,
    only: tuple[str, ...],
    json_file: Path | None,
) -> None:
    """Measure checks on millions of claims, and a search over large lists."""
    progress = Console(stderr=True)

    def report(line: str) -> None:
        progress.print(line, highlight=False)

    wanted = {"postgres": sizes or POSTGRES_CLAIMS, "sqlite": sqlite_sizes or SQLITE_CLAIMS}
    with tempfile.TemporaryDirectory(prefix="tanqiao-bench-") as folder:
        found = Report(machine_facts(Path(folder)))
        room = Room(Path(folder), time.monotonic() + minutes * 60, int(free_gb * GIGABYTE))
        for part in [one for one in PARTS if not only or one in only]:
            results: list[Result] = []
            try:
                if part == "search":
                    report(f"search of {records:,} × {records:,} records")
                    results += searching.measure(Path(folder), records)
                else:
                    _checks(room, part, sorted(wanted[part]), results, report)
            except Exception as error:  # noqa: BLE001 - one part that fails leaves the others their numbers
                found.failures.append(f"{part}: {type(error).__name__}: {error}")
            found.add(results)
    console = Console()
    show(found, console if console.is_terminal else Console(width=max(WIDTH_MIN, console.width)), json_file)


def _checks(
    room: Room,
    database: str,
    sizes: Sequence[int],
    results: list[Result],
    report: Callable[[str], None],
) -> None:
    """Check on each size; the index grows from one to the next. What was found before a failure is kept."""
    federation = Federation(room.folder / database, database, report)
    medians: dict[int, float] = {}
    try:
        results += _declared_bytes(federation)
        with index_of(federation) as index:
            for wanted in sizes:
                size = min(wanted, max(room.most_claims(index.claims), index.claims))
                if size == index.claims:
                    report(f"{database}: no room for {wanted:,} claims")
                    continue
                report(f"{database}: loading {size:,} claims" + (f" of {wanted:,}" if size < wanted else ""))
                seconds = _load(index, size, room)
                medians[size], result = _check(federation, size, wanted)
                results += [result, _loaded(index, database, seconds)]
                report(f"{database}: {size:,} claims: median of a check {medians[size]:.2f} ms")
    finally:
        federation.stop()
    if len(medians) > 1:
        first, last = min(medians), max(medians)
        title = f"median of a check, {last:,} claims against {first:,}"
        note = f"wanted: below {GROWTH_WANTED}"
        results.append(Result("full", title, database, "ratio", (medians[last] / medians[first],), note=note))


def _load(index: Index, size: int, room: Room) -> float:
    before = index.claims
    begun = time.perf_counter()
    index.fill(size)
    seconds = time.perf_counter() - begun
    room.claims_per_second = (size - before) / seconds
    room.bytes_per_claim = index.bytes() / size
    return seconds


def _loaded(index: Index, database: str, seconds: float) -> Result:
    title = f"bytes per claim, {index.claims:,} loaded"
    note = f"claim and keys with their indexes; loaded in {seconds:.0f} s"
    return Result("full", title, database, "bytes", (index.bytes() / index.claims,), note=note)


def _declared_bytes(federation: Federation) -> list[Result]:
    """Declare claims as a region does, and see what they take with receipts, leaves and locks; migrates."""
    federation.start(BRIDGE_AND_GATEWAYS)
    import_lists(federation, LISTED_PLANTS)
    _wait_until_lists_are_seen(federation)
    stub = claims_pb2_grpc.ClaimServiceStub(federation.channel(BRIDGE_MEMBER, SHANGHAI))
    sizes = []
    for _ in range(2):
        sizes.append(_bytes_of_database(federation))
        claims.declare(federation, stub, DECLARED_BATCHES)
    sizes.append(_bytes_of_database(federation))
    federation.kill(BRIDGE_MEMBER)
    grown = tuple(
        (after - before) / (DECLARED_BATCHES * claims.BATCH) for before, after in itertools.pairwise(sizes)
    )
    title = "bytes per claim, declared through the bridge"
    note = "all tables: claim, keys, locks, signed receipt, leaf of the log"
    return [Result("full", title, federation.database, "bytes", grown, note=note)]


def _wait_until_lists_are_seen(federation: Federation) -> None:
    """Wait until the bridge has seen the first list of every gateway: after one it reviews every claim."""
    until = time.monotonic() + WAIT_SECONDS
    while _asked(federation, _LISTS_SEEN) < len(BRIDGE_AND_GATEWAYS) - 1:
        if time.monotonic() > until:
            raise TimeoutError("the bridge has not looked at the lists")
        time.sleep(1.0)


def _bytes_of_database(federation: Federation) -> int:
    if federation.database == "sqlite":  # counts the pages that still lie in the WAL
        return _asked(federation, "PRAGMA page_count") * _asked(federation, "PRAGMA page_size")
    return _asked(federation, "SELECT pg_database_size(current_database())")


def _asked(federation: Federation, question: str) -> int:
    """Ask the bridge's database for a number."""
    if federation.database == "sqlite":
        path = federation.home.node(BRIDGE_MEMBER) / "data" / f"{BRIDGE_MEMBER.name}.sqlite"
        with closing(sqlite3.connect(path)) as file:
            return int(file.execute(question).fetchone()[0])
    import psycopg  # noqa: PLC0415 - only here

    url = federation.postgres.admin_url.set(drivername="postgresql", database=f"tanqiao_{BRIDGE_MEMBER.name}")
    with psycopg.connect(url.render_as_string(hide_password=False)) as connection:
        return int(connection.execute(question).fetchall()[0][0])


def _check(federation: Federation, size: int, wanted: int) -> tuple[float, Result]:
    """Start the bridge on what was loaded, and check one claim after the other, anywhere in the index."""
    federation.start(BRIDGE_AND_GATEWAYS)
    stub = claims_pb2_grpc.ClaimServiceStub(federation.channel(BRIDGE_MEMBER, SHANGHAI))
    assets = size // CLAIMS_PER_ASSET
    took, kinds = [], set()
    for number in range(CHECKS_BEFORE + CHECKS):
        # A multiple of a large prime: every page of the index is as likely, and each asset is met once.
        asset = number * 2_654_435_761 % assets
        message = claim(asset, number % CLAIMS_PER_ASSET)
        message.claim_id = f"bench:{number}"
        begun = time.perf_counter()
        answer = stub.CheckClaim(claims_pb2.CheckClaimRequest(claim=message), timeout=WAIT_SECONDS)
        if number >= CHECKS_BEFORE:
            took.append((time.perf_counter() - begun) * 1000)
        if asset % SHAPES == 0:
            kinds.add(answer.verdict.verdict)
    if claims_pb2.VERDICT_KIND_BLOCK not in kinds:
        raise RuntimeError("the loaded claims were not found by any check")
    median = statistics.median(took)
    with bare_index(federation, min(size, MILLION)) as bare:
        reads = bare.read_ms(CHECKS)
    federation.kill(BRIDGE_MEMBER)
    title = f"claim check, single, {size:,} claims"
    note = "" if size == wanted else f"{title}: {wanted:,} had no room on the disk or in the time"
    bare_title = f"one row read by key from a bare table of {min(size, MILLION):,}"
    deciles = statistics.quantiles(took, n=10)
    return median, Result(
        "full",
        title,
        federation.database,
        "ms",
        (deciles[0], median, deciles[-1]),
        (statistics.median(reads),),
        bare_title,
        note or "the lowest tenth, the median, the highest tenth; from one connection",
    )


if __name__ == "__main__":
    main()
