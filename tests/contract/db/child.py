"""Programs that the contract suite runs as processes of their own, to be starved, broken and killed.

Each prints one line of JSON per step.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence

import sqlalchemy as sa

from tanqiao.db.engine import Database, open_engine
from tanqiao.db.group_commit import GroupCommit
from tanqiao.db.unit_of_work import UnitOfWork
from tanqiao.kernel.errors import DomainError
from tanqiao.testing import disk_faults

ROW_BYTES = 20_000


def say(**facts: object) -> None:
    print(json.dumps(facts), flush=True)


def write_pair(node: Database, number: int, size: int = 10) -> str:
    """Write two rows that belong together; "committed", or the reason why nothing was written."""
    try:
        with UnitOfWork(node) as unit:
            for half in (0, 1):
                unit.connection.execute(
                    sa.text("INSERT INTO pair VALUES (:number, :half, :filling)"),
                    {"number": number, "half": half, "filling": "x" * size},
                )
            unit.commit()
    except DomainError as refusal:
        return refusal.symbol
    return "committed"


def write_until_refused(node: Database, first: int, *, size: int = ROW_BYTES) -> int:
    """Write until a refusal, say it, and give the next number."""
    number = first
    while (result := write_pair(node, number, size)) == "committed":
        number += 1
    say(refused=result, number=number, failure=node.failure)
    return number


def limit(url: str) -> None:
    """Reach a file size limit, stay refused, and go on once there is room."""
    node = open_engine(url, role="writer")
    disk_faults.limit_file_size(400_000)
    number = write_until_refused(node, 1)
    say(again=write_pair(node, number, ROW_BYTES))
    disk_faults.limit_file_size(None)
    say(after=write_pair(node, number, ROW_BYTES), number=number)


def break_after_one(fault: Callable[[], None]) -> Callable[[str], None]:
    """Write once, break the disk for good, write again twice."""

    def program(url: str) -> None:
        node = open_engine(url, role="writer")
        say(first=write_pair(node, 1))
        fault()
        say(second=write_pair(node, 2), failure=node.failure)
        say(third=write_pair(node, 3), failure=node.failure)
        with node.reading() as connection:
            say(rows=connection.execute(sa.text("SELECT count(*) FROM pair")).scalar_one())

    return program


def group(url: str) -> None:
    """Submit a group whose forced write fails: every caller is told, none waits."""
    node = open_engine(url, role="writer")

    def handler(connection: sa.Connection, numbers: Sequence[int]) -> list[int | DomainError]:
        connection.execute(
            sa.text("INSERT INTO pair VALUES (:number, :half, 'x')"),
            [{"number": number, "half": half} for number in numbers for half in (0, 1)],
        )
        return list(numbers)

    commits: GroupCommit[int, int] = GroupCommit(node, handler, name="group")
    say(first=[future.result(20) for future in commits.submit_many([1, 2])])
    disk_faults.break_forced_writes()
    symbols = []
    for future in commits.submit_many([3, 4, 5]):
        error = future.exception(20)
        symbols.append(error.symbol if isinstance(error, DomainError) else repr(error))
    say(second=symbols)
    try:
        commits.submit(6)
    except DomainError as refusal:
        say(third=refusal.symbol, sentence=str(refusal.metadata.get("detail")))
    commits.close()


def pass_over(url: str) -> None:
    """Pass over a full disk in the middle of a unit, go on writing, and commit."""
    node = open_engine(url, role="writer")
    disk_faults.limit_file_size(200_000)
    insert = sa.text("INSERT INTO pair VALUES (:number, 0, :filling)")
    try:
        with UnitOfWork(node) as unit:
            unit.connection.exec_driver_sql(
                "PRAGMA cache_size = 1"
            )  # so that pages are written before the commit
            for number in range(1, 40):
                try:
                    unit.connection.execute(insert, {"number": number, "filling": "x" * ROW_BYTES})
                except DomainError as refusal:
                    say(passed_over=refusal.symbol, at=number)
                    break
            disk_faults.limit_file_size(None)
            unit.connection.execute(insert, {"number": 1_000, "filling": "after"})
            unit.commit()
            say(refused=None)
    except DomainError as refusal:
        say(refused=refusal.symbol)


def hold(url: str) -> None:
    """Open as the writer and hold it until killed."""
    try:
        node = open_engine(url, role="writer")
    except DomainError as refusal:
        say(refused=refusal.symbol, sentence=refusal.sentence("en"), holder=refusal.metadata.get("process"))
        return
    say(opened=True)
    sys.stdin.read()
    node.close()


def write_for_ever(url: str) -> None:
    """Write pairs and say each one that was committed, until killed."""
    node = open_engine(url, role="writer")
    with node.reading() as connection:
        number = connection.execute(sa.text("SELECT coalesce(max(number), 0) FROM pair")).scalar_one()
    while True:
        number += 1
        say(number=number, result=write_pair(node, number, 3_000))


def try_to_open(url: str) -> None:
    """Open as the writer and say the refusal."""
    try:
        open_engine(url, role="writer").close()
    except DomainError as refusal:
        say(refused=refusal.symbol, sentence=refusal.sentence("en"), detail=refusal.metadata.get("detail"))
    else:
        say(opened=True)


PROGRAMS: dict[str, Callable[[str], None]] = {
    "limit": limit,
    "full": break_after_one(disk_faults.fill_disk),
    "broken-write": break_after_one(disk_faults.break_writes),
    "broken-fsync": break_after_one(disk_faults.break_forced_writes),
    "group": group,
    "pass-over": pass_over,
    "hold": hold,
    "write-for-ever": write_for_ever,
    "try-to-open": try_to_open,
}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](sys.argv[2])
